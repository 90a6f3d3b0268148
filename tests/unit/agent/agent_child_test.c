/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every process is reaped and its end told to whom it belongs, whatever the others do; ending
 * takes the grace time and no more.
 * Method: real processes on a real loop.
 */
#include "agent/child.h"
#include "tests/unit/agent/bench.h"

#include <sys/wait.h>

#define MANY 50

struct seen {
    int n;
    int wait_status;
};

static void on_exit_of(void *arg, int wait_status)
{
    struct seen *seen = arg;
    seen->n++;
    seen->wait_status = wait_status;
}

static struct child *start(struct bench *b, const char *script, struct seen *seen)
{
    char *const argv[] = {
        (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL};
    char lab[128];
    snprintf(lab, sizeof(lab), "LAB=%s", b->lab.path);
    char *const env[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", lab, NULL};
    const struct child_spec spec = {
        .argv = argv, .env = env, .dir = b->lab.path, .on_exit = on_exit_of, .arg = seen};
    struct child *child;
    struct errctx ctx = {0};
    int output;
    if (children_start(b->children, &spec, &child, &output, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    close(output);
    return child;
}

static bool has_ended(void *arg)
{
    return ((struct seen *)arg)->n > 0;
}

static void wait_end(struct bench *b, struct seen *seen)
{
    lab_run_until(b->loop, has_ended, seen);
    assert_int_equal(seen->n, 1);
}

struct file {
    struct bench *b;
    const char *name;
};

static bool is_there(void *arg)
{
    struct file *f = arg;
    return lab_size(&f->b->lab, f->name) >= 0;
}

static void wait_file(struct bench *b, const char *name)
{
    struct file f = {b, name};
    lab_run_until(b->loop, is_there, &f);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct bench b;
    struct seen seen[MANY] = {0};
    bench_open(&b);
    char script[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(script, sizeof(script), "sleep 0.0%d; exit %d", i % 5, i);
        assert_true(child_pid(start(&b, script, &seen[i])) > 0);
    }
    for (int i = 0; i < MANY; i++) {
        wait_end(&b, &seen[i]);
        assert_int_equal(WEXITSTATUS(seen[i].wait_status), i);
    }
    bench_close(&b);
}

static void test_one_is_ended_the_others_go_on(void **state)
{
    (void)state;
    struct bench b;
    struct seen mule = {0}, lamb = {0}, other = {0};
    bench_open(&b);
    struct child *k = start(&b, "trap '' TERM; touch mule; while :; do sleep 0.02; done", &mule);
    struct child *meek = start(&b, "touch lamb; exec sleep 100", &lamb);
    start(&b, "exec sleep 100", &other);
    wait_file(&b, "mule");
    wait_file(&b, "lamb");
    int64_t begin = clock_mono_ms();
    child_end(k, 200);
    child_end(k, 0); /* changes nothing */
    child_end(meek, 10000);
    wait_end(&b, &lamb);
    assert_int_equal(lamb.wait_status, SIGTERM);
    wait_end(&b, &mule);
    assert_int_equal(mule.wait_status, SIGKILL);
    assert_true(clock_mono_ms() - begin >= 200);
    assert_int_equal(other.n, 0);
    bench_close(&b);
}

/* What the leader of the group leaves behind is ended with it. */
static void test_group_is_ended(void **state)
{
    (void)state;
    struct bench b;
    struct seen seen = {0};
    bench_open(&b);
    struct child *k = start(&b,
        "(trap '' TERM; while [ -d $LAB ]; do touch alive; sleep 0.02; done) & "
        "trap 'exit 0' TERM; wait",
        &seen);
    wait_file(&b, "alive");
    child_end(k, 10000);
    wait_end(&b, &seen);
    int64_t now = clock_mono_ms();
    unlinkat(b.lab.dir, "alive", 0);
    while (clock_mono_ms() < now + 200)
        uv_run(loop_uv(b.loop), UV_RUN_NOWAIT);
    assert_true(lab_size(&b.lab, "alive") < 0);
    bench_close(&b);
}

static void test_orphans_are_reaped(void **state)
{
    (void)state;
    struct bench b;
    struct seen seen = {0}, last = {0};
    bench_open(&b);
    start(&b, "(sleep 0.05; touch gone) & (sleep 0.05 & exec sleep 0.05) &", &seen);
    wait_end(&b, &seen);
    wait_file(&b, "gone");
    start(&b, "sleep 0.2", &last);
    wait_end(&b, &last);
    /* None is left, not even a dead one. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    bench_close(&b);
}

static void test_forgotten(void **state)
{
    (void)state;
    struct bench b;
    struct seen seen = {0}, other = {0};
    bench_open(&b);
    child_forget(start(&b, "exit 1", &seen));
    start(&b, "sleep 0.1", &other);
    wait_end(&b, &other);
    assert_int_equal(seen.n, 0);
    bench_close(&b);
}

static void on_gone(void *arg)
{
    *(bool *)arg = true;
}

static void test_end_of_all(void **state)
{
    (void)state;
    struct bench b;
    struct seen mule = {0}, lamb = {0};
    bool are_gone = false;
    bench_open(&b);
    start(&b, "trap '' TERM; touch mule; while :; do sleep 0.02; done", &mule);
    start(&b, "exec sleep 100", &lamb);
    wait_file(&b, "mule");
    int64_t begin = clock_mono_ms();
    children_end(b.children, 200, on_gone, &are_gone);
    assert_false(are_gone);
    lab_run_until(b.loop, bench_is_set, &are_gone);
    assert_in_range(clock_mono_ms() - begin, 200, 1200);
    assert_int_equal(lamb.wait_status, SIGTERM);
    assert_int_equal(mule.wait_status, SIGKILL);
    bench_close(&b);
}

static void test_texts(void **state)
{
    (void)state;
    char text[CHILD_END_TEXT_MAX];
    child_end_text(3 << 8, text);
    assert_string_equal(text, "exit status 3");
    child_end_text(SIGSEGV, text);
    assert_string_equal(text, "SIGSEGV");
    assert_true(child_has_succeeded(0));
    assert_false(child_has_succeeded(1 << 8) || child_has_succeeded(SIGKILL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_one_is_ended_the_others_go_on),
        cmocka_unit_test(test_group_is_ended),
        cmocka_unit_test(test_orphans_are_reaped),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_end_of_all),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
