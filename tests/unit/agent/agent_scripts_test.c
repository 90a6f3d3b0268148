/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: start scripts run in their order and no further than their time, stop scripts within the
 * budget, cron scripts when they are due and not twice at once; nothing that a script does holds up
 * the others.
 * Method: real scripts on a real loop; what they print comes back as lines of log.  For cron the
 * wall clock is the test's: a minute of it takes a quarter of a second.
 */
#include "agent/scripts.h"
#include "tests/unit/agent/bench.h"

#define START       "\"command\":[\"x\"],\"scripts\":["
#define SH          "\"command\":[\"sh\",\"-c\","
#define IS_BLOCKING "\"run\":\"start\",\"blocking\":true"

static int64_t begin_mono_ms;

/* From 2026-11-20 00:00:00 on, 240 times as fast. */
static int64_t fast_clock(void)
{
    return 1795132800 + (clock_mono_ms() - begin_mono_ms) * 240 / 1000;
}

struct run {
    struct bench *b;
    struct scripts *scripts;
    bool is_done;
    enum scripts_outcome outcome;
};

static void open_scripts(struct run *r, struct bench *b, const char *keys)
{
    *r = (struct run){.b = b};
    bench_open(b);
    bench_manifest(b, keys);
    const struct scripts_conf conf = {.loop = b->loop,
        .children = b->children,
        .log = b->log,
        .manifest = b->manifest,
        .env = b->env.v.v,
        .now = fast_clock,
        .look_ms = 10};
    r->scripts = scripts_new(&conf);
}

static void close_scripts(struct run *r)
{
    scripts_free(r->scripts);
    bench_close(r->b);
}

static void on_done(void *arg, enum scripts_outcome outcome)
{
    struct run *r = arg;
    assert_false(r->is_done);
    r->is_done = true;
    r->outcome = outcome;
}

static enum scripts_outcome start(struct run *r)
{
    scripts_start(r->scripts, on_done, r);
    assert_false(r->is_done); /* never from inside */
    lab_run_until(r->b->loop, bench_is_set, &r->is_done);
    return r->outcome;
}

static enum scripts_outcome stop(struct run *r, int64_t budget_ms)
{
    r->is_done = false;
    scripts_stop(r->scripts, budget_ms, on_done, r);
    assert_false(r->is_done);
    lab_run_until(r->b->loop, bench_is_set, &r->is_done);
    return r->outcome;
}

/* ---- start ---- */

static void test_no_scripts(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b, START "]");
    assert_int_equal(start(&r), SCRIPTS_OK);
    assert_int_equal(stop(&r, 1000), SCRIPTS_OK);
    assert_waiting(b.reports, "");
    close_scripts(&r);
}

static void test_blocking_scripts_run_in_order(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"one\"," SH "\"sleep 0.1; echo first; echo again >&2\"]," IS_BLOCKING "},"
              "{\"name\":\"end\"," SH "\"echo not now\"],\"run\":\"stop\"},"
              "{\"name\":\"two\"," SH "\"echo second\"]," IS_BLOCKING "}]");
    assert_int_equal(start(&r), SCRIPTS_OK);
    assert_waiting(b.reports, "log 1 one info \"first\"\nlog 2 one info \"again\"\n"
                              "log 3 two info \"second\"\n");
    close_scripts(&r);
}

static void test_others_run_beside(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"slow\"," SH
              "\"while [ ! -e $LAB/go ]; do sleep 0.01; done; echo gone\"],"
              "\"run\":\"start\"},"
              "{\"name\":\"one\"," SH "\"echo first\"]," IS_BLOCKING "}]");
    assert_int_equal(start(&r), SCRIPTS_OK);
    assert_waiting(b.reports, "log 1 one info \"first\"\n");
    lab_write(&b.lab, "go", "", 0);
    bench_wait(&b, "slow info \"gone\"");
    close_scripts(&r);
}

static void test_failure_does_not_hold_up_the_next(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"bad\"," SH "\"exit 3\"]," IS_BLOCKING "},"
              "{\"name\":\"none\",\"command\":[\"/not/there\"]," IS_BLOCKING "},"
              "{\"name\":\"two\"," SH "\"echo second\"]," IS_BLOCKING "}]");
    assert_int_equal(start(&r), SCRIPTS_ERROR);
    assert_waiting(b.reports, "log 1 bad error \"The script has failed: exit status 3.\"\n"
                              "log 2 none error \"The script did not run: cannot run "
                              "\"/not/there\": No such file or directory.\"\n"
                              "log 3 two info \"second\"\n");
    close_scripts(&r);
}

static void test_script_that_ignores_sigterm(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"mule\"," SH
              "\"trap '' TERM; echo no; while :; do sleep 0.05; done\"]," IS_BLOCKING
              ",\"timeout_ms\":200},"
              "{\"name\":\"two\"," SH "\"echo second\"]," IS_BLOCKING "}]");
    int64_t begin = clock_mono_ms();
    assert_int_equal(start(&r), SCRIPTS_TIMEOUT);
    int64_t took = clock_mono_ms() - begin;
    assert_true(took >= 2200 && took < 10000);
    assert_waiting(b.reports,
        "log 1 mule info \"no\"\n"
        "log 2 mule error \"The script was ended: its time was over (SIGKILL).\"\n"
        "log 3 two info \"second\"\n");
    close_scripts(&r);
}

/* A server that a script leaves behind holds its pipe: the script has ended all the same, and what
 * the server prints still comes. */
static void test_script_that_leaves_something_running(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"one\"," SH
              "\"(while [ ! -e $LAB/go ]; do sleep 0.01; done; echo late) & "
              "echo up\"]," IS_BLOCKING "}]");
    assert_int_equal(start(&r), SCRIPTS_OK);
    assert_waiting(b.reports, "log 1 one info \"up\"\n");
    lab_write(&b.lab, "go", "", 0);
    bench_wait(&b, "log 2 one info \"late\"");
    close_scripts(&r);
}

/* ---- stop ---- */

static void test_stop_scripts_run_in_order(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"one\"," SH "\"sleep 0.1; echo first\"],\"run\":\"stop\"},"
              "{\"name\":\"two\"," SH "\"echo second; exit 1\"],\"run\":\"stop\"},"
              "{\"name\":\"three\"," SH "\"echo third\"],\"run\":\"stop\"}]");
    assert_int_equal(stop(&r, 10000), SCRIPTS_ERROR);
    assert_waiting(b.reports, "log 1 one info \"first\"\nlog 2 two info \"second\"\n"
                              "log 3 two error \"The script has failed: exit status 1.\"\n"
                              "log 4 three info \"third\"\n");
    close_scripts(&r);
}

static void test_stop_keeps_to_its_budget(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"mule\"," SH "\"trap '' TERM; echo no; while :; do sleep 0.05; done\"],"
              "\"run\":\"stop\"},{\"name\":\"two\"," SH "\"echo second\"],\"run\":\"stop\"}]");
    int64_t begin = clock_mono_ms();
    assert_int_equal(stop(&r, 300), SCRIPTS_TIMEOUT);
    assert_true(clock_mono_ms() - begin < 2000);
    assert_false(bench_has(&b, "second"));
    close_scripts(&r);
}

static void test_stop_while_starting(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    open_scripts(&r, &b,
        START "{\"name\":\"slow\"," SH "\"echo slow; sleep 100\"]," IS_BLOCKING "},"
              "{\"name\":\"two\"," SH "\"echo second\"]," IS_BLOCKING "},"
              "{\"name\":\"end\"," SH "\"echo ended\"],\"run\":\"stop\"}]");
    scripts_start(r.scripts, on_done, &r);
    bench_wait(&b, "slow");
    assert_int_equal(stop(&r, 10000), SCRIPTS_OK);
    children_signal(b.children, SIGTERM);
    bench_wait(&b, "SIGTERM");
    assert_true(bench_has(&b, "ended"));
    assert_false(bench_has(&b, "second"));
    close_scripts(&r);
}

/* ---- cron ---- */

static void test_cron(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    begin_mono_ms = clock_mono_ms();
    open_scripts(&r, &b,
        START "{\"name\":\"tick\"," SH "\"echo tick\"],\"run\":\"cron\",\"cron\":\"* * * * *\"},"
              "{\"name\":\"rare\"," SH "\"echo rare\"],\"run\":\"cron\",\"cron\":\"0 0 1 1 *\"},"
              "{\"name\":\"never\"," SH
              "\"echo never\"],\"run\":\"cron\",\"cron\":\"0 0 30 2 *\"}]");
    assert_int_equal(start(&r), SCRIPTS_OK);
    assert_waiting(b.reports, "");
    scripts_begin_cron(r.scripts);
    bench_wait_n(&b, "tick info", 3);
    int64_t minutes = (clock_mono_ms() - begin_mono_ms) * 240 / 60000;
    assert_true(minutes >= 3);
    /* The stop ends it. */
    assert_int_equal(stop(&r, 10000), SCRIPTS_OK);
    unsigned n = bench_count(&b, "tick info");
    assert_true(n <= minutes + 2);
    assert_false(bench_has(&b, "rare") || bench_has(&b, "never"));
    close_scripts(&r);
}

static void test_cron_script_that_never_ends(void **state)
{
    (void)state;
    struct bench b;
    struct run r;
    begin_mono_ms = clock_mono_ms();
    open_scripts(&r, &b,
        START
        "{\"name\":\"hang\"," SH "\"echo up; sleep 1000\"],\"run\":\"cron\",\"cron\":\"* * * * "
        "*\"},{\"name\":\"tick\"," SH "\"echo tick\"],\"run\":\"cron\",\"cron\":\"* * * * *\"}]");
    scripts_begin_cron(r.scripts);
    /* It runs once and is left out then, said once; the other one is not held up. */
    bench_wait_n(&b, "tick info", 4);
    assert_int_equal(bench_count(&b, "hang info \"up\""), 1);
    assert_int_equal(bench_count(&b, "hang warn"), 1);
    close_scripts(&r);
}

int main(void)
{
    setenv("TZ", "UTC0", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_scripts),
        cmocka_unit_test(test_blocking_scripts_run_in_order),
        cmocka_unit_test(test_others_run_beside),
        cmocka_unit_test(test_failure_does_not_hold_up_the_next),
        cmocka_unit_test(test_script_that_ignores_sigterm),
        cmocka_unit_test(test_script_that_leaves_something_running),
        cmocka_unit_test(test_stop_scripts_run_in_order),
        cmocka_unit_test(test_stop_keeps_to_its_budget),
        cmocka_unit_test(test_stop_while_starting),
        cmocka_unit_test(test_cron),
        cmocka_unit_test(test_cron_script_that_never_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
