/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an app's health is what Coder's rule says, said when it changes and only then.
 * Method: a real server on the test's loop that answers as it is told to, or not at all.
 */
#include "agent/health.h"
#include "tests/unit/agent/bench.h"
#include "tests/unit/agent/web.h"

struct run {
    struct bench b;
    struct web web;
    struct manifest_health check;
    struct health *health;
    const char *answer; /* a status; NULL: none comes */
};

static void on_request(void *arg, struct web_conn *c, const char *what, const char *body)
{
    struct run *r = arg;
    (void)body;
    assert_string_equal(what, "GET /healthz");
    if (r->answer != NULL)
        web_answer(c, r->answer, "a body of no interest");
}

static void open_health(struct run *r, const char *answer, int64_t interval_ms, int64_t threshold)
{
    *r = (struct run){.answer = answer};
    bench_open(&r->b);
    web_open(&r->web, r->b.loop, on_request, r);
    r->check = (struct manifest_health){.interval_ms = interval_ms, .threshold = threshold};
    char url[128];
    snprintf(url, sizeof(url), "%s/healthz", r->web.url);
    r->health = health_new(r->b.loop, r->b.status, url, &r->check);
}

static void close_health(struct run *r)
{
    health_free(r->health);
    web_shut(&r->web);
    bench_close(&r->b);
}

static void test_healthy_unhealthy_and_back(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, "200 OK", 20, 3);
    assert_waiting(r.b.reports, "health of app: initializing\n");
    bench_wait(&r.b, "health of app: healthy");
    r.answer = "500 Internal Server Error";
    unsigned before = r.web.n_requests;
    bench_wait(&r.b, "health of app: unhealthy");
    assert_true(r.web.n_requests >= before + 3);
    r.answer = "404 Not Found"; /* it is there */
    bench_wait_n(&r.b, "healthy", 3);
    assert_waiting(r.b.reports, "health of app: initializing\nhealth of app: healthy\n"
                                "health of app: unhealthy\nhealth of app: healthy\n");
    close_health(&r);
}

static void test_fewer_failures_than_the_threshold(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, "503 Service Unavailable", 10, 1000);
    struct bench_want want = {&r.b, "unhealthy", 1};
    for (unsigned n = 0; n < 20; n = r.web.n_requests)
        uv_run(loop_uv(r.b.loop), UV_RUN_ONCE);
    assert_false(bench_look(&want));
    assert_waiting(r.b.reports, "health of app: initializing\n");
    close_health(&r);
}

/* A server that hangs fails by the interval's end, a second at least. */
static void test_server_that_hangs(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, NULL, 100, 2);
    bench_wait(&r.b, "health of app: unhealthy");
    assert_int_equal(r.web.n_requests, 2);
    close_health(&r);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, "200 OK", 20, 3);
    health_free(r.health);
    /* A port that was free a moment ago. */
    r.health = health_new(r.b.loop, r.b.status, "http://127.0.0.1:1/healthz", &r.check);
    bench_wait(&r.b, "health of app: unhealthy");
    close_health(&r);
}

/* One that needs a moment to start is not kept waiting for an interval, nor is it blamed. */
static void test_an_app_that_is_starting(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, "503 Service Unavailable", 60000, 2);
    for (unsigned n = 0; n < 4; n = r.web.n_requests)
        uv_run(loop_uv(r.b.loop), UV_RUN_ONCE);
    assert_waiting(r.b.reports, "health of app: initializing\n");
    r.answer = "200 OK";
    bench_wait(&r.b, "health of app: healthy");
    close_health(&r);
}

/* Of a stream that never ends the beginning is enough. */
static void on_endless(void *arg, struct web_conn *c, const char *what, const char *body)
{
    (void)arg, (void)what, (void)body;
    web_send(c, "HTTP/1.1 200 OK\r\n\r\nand so on");
}

static void test_answer_without_an_end(void **state)
{
    (void)state;
    struct run r;
    open_health(&r, "200 OK", 50, 3);
    r.web.on_request = on_endless;
    bench_wait(&r.b, "health of app: healthy");
    close_health(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy_unhealthy_and_back),
        cmocka_unit_test(test_fewer_failures_than_the_threshold),
        cmocka_unit_test(test_server_that_hangs),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_an_app_that_is_starting),
        cmocka_unit_test(test_answer_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
