/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an app that crashes comes back, ever more slowly, and never costs more than that; one that
 * has done its work does not.
 * Method: real processes on a real loop, with a first waiting of a millisecond.
 */
#include "agent/apps.h"
#include "tests/unit/agent/bench.h"

#define APPS "\"command\":[\"x\"],\"apps\":["
#define SH   "\"command\":[\"sh\",\"-c\","

struct run {
    struct bench *b;
    struct apps *apps;
    unsigned n_started, n_ended, n_final;
    unsigned want_ended, want_final;
};

static void on_started(void *arg, const struct manifest_app *app)
{
    struct run *r = arg;
    (void)app;
    r->n_started++;
}

static void on_ended(
    void *arg, const struct manifest_app *app, int wait_status, bool is_started_again)
{
    struct run *r = arg;
    (void)app, (void)wait_status;
    r->n_ended++;
    r->n_final += !is_started_again;
}

static bool has_ended(void *arg)
{
    struct run *r = arg;
    return r->n_ended >= r->want_ended && r->n_final >= r->want_final;
}

static void open_apps(struct run *r, struct bench *b, const char *keys, int64_t delay_ms)
{
    *r = (struct run){.b = b};
    bench_open(b);
    bench_manifest(b, keys);
    const struct apps_conf conf = {.loop = b->loop,
        .children = b->children,
        .log = b->log,
        .manifest = b->manifest,
        .control_path = "/nowhere",
        .on_started = on_started,
        .on_ended = on_ended,
        .arg = r,
        .delay_ms = delay_ms};
    r->apps = apps_new(&conf);
    apps_start(r->apps);
}

static void close_apps(struct run *r)
{
    apps_free(r->apps);
    bench_close(r->b);
}

static void wait_ended(struct run *r, unsigned n_ended, unsigned n_final)
{
    r->want_ended = n_ended;
    r->want_final = n_final;
    lab_run_until(r->b->loop, has_ended, r);
}

static void test_app_that_does_its_work(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_apps(&r, &b,
        APPS "{\"slug\":\"web\"," SH "\"echo $K $PWD\"],\"env\":{\"K\":\"V\"},\"dir\":\"/\"}]", 1);
    wait_ended(&r, 1, 1);
    assert_int_equal(r.n_started, 1);
    assert_waiting(b.reports,
        "log 1 web info \"V /\"\nlog 2 web info \"The app has ended (exit status 0).\"\n");
    close_apps(&r);
}

static void test_restart_rules(void **state)
{
    (void)state;
    static const struct {
        const char *restart, *script;
        bool is_started_again;
    } rules[] = {
        {"on-failure", "exit 0",     false},
        {"on-failure", "exit 1",     true },
        {"on-failure", "kill -9 $$", true },
        {"always",     "exit 0",     true },
        {"always",     "exit 1",     true },
        {"never",      "exit 0",     false},
        {"never",      "exit 1",     false},
    };
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct bench b;
        struct run r;
        char keys[256];
        snprintf(keys, sizeof(keys), APPS "{\"slug\":\"web\"," SH "\"%s\"],\"restart\":\"%s\"}]",
            rules[i].script, rules[i].restart);
        open_apps(&r, &b, keys, 1);
        wait_ended(&r, rules[i].is_started_again ? 3 : 1, 0);
        assert_int_equal(r.n_final, rules[i].is_started_again ? 0 : 1);
        close_apps(&r);
    }
}

/* Waits of 1, 2, 4, … 32 ms, then 60 ms each. */
static void test_app_that_crashes_100_times(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    int64_t begin = clock_mono_ms();
    open_apps(&r, &b,
        APPS "{\"slug\":\"web\"," SH
             "\"echo $$ >> $LAB/starts; [ $(wc -l < $LAB/starts) -gt 100 ]\"]"
             "},{\"slug\":\"other\"," SH "\"echo up; sleep 1000\"]}]",
        1);
    wait_ended(&r, 101, 1);
    assert_true(clock_mono_ms() - begin >= 63 + 94 * 60);
    assert_int_equal(r.n_started, 102);
    assert_int_equal(bench_count(&b, "other"), 1);
    assert_true(bench_has(&b, "The app has ended (exit status 1); it is started again in 0.06 s."));
    assert_true(bench_has(&b, "web info \"The app has ended (exit status 0).\""));
    close_apps(&r);
}

/* It has run for sixty times the first waiting: the next one is a short one. */
static void test_waiting_begins_anew_after_a_long_run(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_apps(&r, &b,
        APPS "{\"slug\":\"web\"," SH "\"echo >> $LAB/s; [ $(wc -l < $LAB/s) -eq 5 ] && sleep 0.2; "
             "exit 1\"]}]",
        2);
    wait_ended(&r, 6, 0);
    assert_int_equal(bench_count(&b, "again in 0.002 s"), 2);
    assert_int_equal(bench_count(&b, "again in 0.016 s"), 1);
    close_apps(&r);
}

static void test_app_that_cannot_be_started(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_apps(&r, &b, APPS "{\"slug\":\"web\",\"command\":[\"/not/there\"]}]", 1);
    wait_ended(&r, 2, 0);
    assert_int_equal(r.n_started, 0);
    assert_true(
        bench_has(&b, "web warn \"The app has ended (cannot run \"/not/there\": No such file "
                      "or directory); it is started again in 0.001 s.\""));
    close_apps(&r);
}

static void test_stop_ends_the_starting_again(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_apps(&r, &b,
        APPS "{\"slug\":\"web\"," SH "\"exit 1\"]},{\"slug\":\"up\"," SH
             "\"echo up; sleep 1000\"]}]",
        1000);
    wait_ended(&r, 1, 0);
    bench_wait(&b, "up info");
    apps_stop(r.apps);
    children_signal(b.children, SIGTERM);
    wait_ended(&r, 2, 1);
    assert_int_equal(r.n_started, 2);
    assert_false(bench_has(&b, "SIGTERM")); /* no news */
    close_apps(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_that_does_its_work),
        cmocka_unit_test(test_restart_rules),
        cmocka_unit_test(test_app_that_crashes_100_times),
        cmocka_unit_test(test_waiting_begins_anew_after_a_long_run),
        cmocka_unit_test(test_app_that_cannot_be_started),
        cmocka_unit_test(test_stop_ends_the_starting_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
