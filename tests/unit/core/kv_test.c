/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: commands, streams and subscriptions over one connection, and what is said when it breaks.
 * Method: a private redis-server on a socket; skipped where there is none.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <signal.h>

#include "core/base/log.h"
#include "core/kv/kv.h"
#include "tests/unit/core/private_server.h"
#include "tests/unit/core/rude_server.h"

static struct private_server server;
static bool have_server;
static struct loop *loop;
static int ups, downs, stop_at_ups, stop_at_downs;

static void on_state(void *arg, bool up)
{
    (void)arg;
    ups += up;
    downs += !up;
    if ((up && ups == stop_at_ups) || (!up && downs == stop_at_downs))
        loop_stop(loop);
}

static int awaited, n_ok, n_failed, n_down;
static char last[64];

static void on_done(void *arg, enum err code, const struct redisReply *reply)
{
    (void)arg;
    n_ok += code == ERR_OK;
    n_failed += code == ERR_FAILED;
    n_down += code == ERR_KV_DOWN;
    assert_int_equal(reply == NULL, code == ERR_KV_DOWN);
    if (reply != NULL && reply->str != NULL)
        snprintf(last, sizeof(last), "%s", reply->str);
    if (--awaited == 0)
        loop_stop(loop);
}

#define COMMAND(kv, ...)                                                                     \
    do {                                                                                     \
        const char *command_[] = {__VA_ARGS__};                                              \
        awaited++;                                                                           \
        kv_command(kv, on_done, NULL, sizeof(command_) / sizeof(*command_), command_, NULL); \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    loop = loop_new();
    ups = downs = stop_at_downs = awaited = n_ok = n_failed = n_down = 0;
    stop_at_ups = 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void commands_are_answered(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    struct kv *kv = kv_new(loop, server.url, on_state, NULL);
    awaited = 1;
    COMMAND(kv, "PING");
    awaited = 0;
    assert_int_equal(n_down, 1); /* at once: nothing is queued */
    unit_run(loop);
    assert_true(kv_is_up(kv));
    assert_string_equal(kv_why(kv), "");
    for (int i = 0; i < 1000; i++)
        COMMAND(kv, "INCR", "n");
    COMMAND(kv, "GET", "n");
    unit_run(loop);
    assert_string_equal(last, "1000");
    COMMAND(kv, "NONSENSE");
    unit_run(loop);
    assert_int_equal(n_failed, 1);

    const char *words[] = {"SET", "binary", "a\0b"};
    const size_t sizes[] = {3, 6, 3};
    kv_command(kv, NULL, NULL, 3, words, sizes);
    COMMAND(kv, "STRLEN", "binary");
    COMMAND(kv, "XADD", "s", "MAXLEN", "~", "10", "*", "r", "x");
    unit_run(loop);
    assert_int_equal(n_ok, 1003);
    kv_free(kv);
}

static int n_messages, n_fresh;

static void on_message(void *arg, const char *channel, const char *data, size_t n)
{
    assert_ptr_equal(arg, &n_messages);
    assert_string_equal(channel, "news");
    if (data == NULL) {
        n_fresh++;
    } else {
        assert_int_equal(n, 3);
        assert_memory_equal(data, "a\0b", 3);
        n_messages++;
    }
    loop_stop(loop);
}

static void publish(struct kv *kv)
{
    const char *words[] = {"PUBLISH", "news", "a\0b"};
    const size_t sizes[] = {7, 4, 3};
    kv_command(kv, NULL, NULL, 3, words, sizes);
}

static void subscriptions_come_back(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    stop_at_ups = 0;
    n_messages = n_fresh = 0;
    struct kv *ear = kv_new(loop, server.url, on_state, NULL);
    struct kv *mouth = kv_new(loop, server.url, on_state, NULL);
    kv_subscribe(ear, "news", on_message, &n_messages);
    unit_run(loop);
    assert_int_equal(n_fresh, 1);
    while (!kv_is_up(mouth))
        unit_run_for(loop, 5);
    publish(mouth);
    unit_run(loop);
    assert_int_equal(n_messages, 1);

    stop_at_downs = 2;
    private_server_stop(&server, SIGKILL);
    unit_run(loop);
    assert_false(kv_is_up(ear));
    private_server_start(&server);
    while (n_fresh < 2 || !kv_is_up(mouth))
        unit_run_for(loop, 5);
    publish(mouth);
    while (n_messages < 2)
        unit_run_for(loop, 5);
    kv_free(ear);
    kv_free(mouth);
}

static void what_is_in_flight_is_answered(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    struct kv *kv = kv_new(loop, server.url, on_state, NULL);
    unit_run(loop);
    COMMAND(kv, "BLPOP", "never", "0");
    COMMAND(kv, "PING");
    unit_run_for(loop, 20);
    private_server_stop(&server, SIGKILL);
    unit_run(loop);
    assert_int_equal(n_down, 2);
    unit_run_for(loop, 20);
    assert_int_equal(downs, 1);
    assert_string_not_equal(kv_why(kv), "");
    stop_at_ups = 2;
    private_server_start(&server);
    unit_run(loop);

    COMMAND(kv, "BLPOP", "never", "0");
    unit_run_for(loop, 20);
    awaited = -1;
    kv_free(kv);
    assert_int_equal(n_down, 3);
}

/* What comes before the error and the error itself arrive as one event, which ends libuv's watch.
 */
static void a_connection_reset_in_mid_word_is_lost(void **state)
{
    (void)state;
    struct rude_server rude = {
        .greeting = "+PONG\r\n", .greeting_n = 7, .last_words = "$10\r\nhal", .last_words_n = 8};
    rude_server_start(&rude, "redis.sock");
    char url[96];
    snprintf(url, sizeof(url), "unix://%s", rude.path);
    struct kv *kv = kv_new(loop, url, on_state, NULL);
    unit_run(loop);
    COMMAND(kv, "PING");
    unit_run(loop);
    assert_int_equal(n_down, 1);
    kv_free(kv);
    rude_server_done(&rude);
}

static void nobody_there_is_noticed(void **state)
{
    (void)state;
    struct kv *refused = kv_new(loop, "redis://:secret@127.0.0.1:1/3", on_state, NULL);
    struct kv *absent = kv_new(loop, "unix:///nonexistent/redis.sock", on_state, NULL);
    while (kv_why(refused)[0] == '\0' || kv_why(absent)[0] == '\0')
        unit_run_for(loop, 10);
    assert_non_null(strstr(kv_why(refused), "refused"));
    assert_int_equal(ups + downs, 0);
    kv_free(refused);
    kv_free(absent);
}

static int start_server(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    have_server = private_redis_make(&server);
    if (have_server)
        private_server_start(&server);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    private_server_done(&server);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(commands_are_answered),
        TEST(subscriptions_come_back),
        TEST(what_is_in_flight_is_answered),
        TEST(a_connection_reset_in_mid_word_is_lost),
        TEST(nobody_there_is_noticed),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
