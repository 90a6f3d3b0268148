/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what one side tells of changes, the other hears once, in order; and when something cannot
 * have been heard, that is said.
 * Method: a private redis-server on a socket, emptied and killed; skipped where there is none.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <signal.h>

#include "core/base/log.h"
#include "core/kv/feed.h"
#include "tests/unit/core/private_server.h"

static struct private_server server;
static bool have_server;
static struct loop *loop;
static struct feed *feed;
static struct feed_writer *writer;
static struct kv *kv;
static int n_heard, n_gaps, n_up, n_down;
static unsigned char newest; /* first byte of the last id that was heard */
static struct feed_id at;

static void on_change(void *arg, struct feed_id id, const struct uuid *ids, size_t n)
{
    (void)arg;
    assert_true(feed_id_compare(id, at) > 0);
    at = id;
    n_heard += (int)n;
    newest = ids[n - 1].b[0];
}

static void on_gap(void *arg, struct feed_id id)
{
    (void)arg;
    at = id;
    n_gaps++;
}

static void on_state(void *arg, bool heard)
{
    (void)arg;
    n_up += heard;
    n_down += !heard;
}

static void tell(unsigned char word)
{
    struct uuid id = {
        {word, 1}
    };
    feed_writer_tell(writer, &id, 1);
}

#define UNTIL(condition) \
    while (!(condition)) \
    unit_run_for(loop, 2)

static void command(const char *a, const char *b)
{
    const char *argv[] = {a, b};
    kv_command(kv, NULL, NULL, b != NULL ? 2 : 1, argv, NULL);
}

static int set_up(void **state)
{
    (void)state;
    static const struct feed_sink sink = {
        .on_change = on_change, .on_gap = on_gap, .on_state = on_state};
    loop = loop_new();
    if (!have_server)
        return 0;
    n_heard = n_gaps = n_up = n_down = newest = 0;
    at = (struct feed_id){0, 0};
    kv = kv_new(loop, server.url, NULL, NULL);
    UNTIL(kv_is_up(kv));
    command("FLUSHALL", NULL);
    writer = feed_writer_new(loop, server.url, 's', NULL, NULL);
    feed = feed_new(loop, server.url, &sink);
    UNTIL(n_up == 1 && feed_writer_why(writer)[0] == '\0');
    n_gaps = 0;
    feed_writer_begin(writer, 7);
    UNTIL(n_gaps == 1); /* a new leader: anything may have changed */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (have_server) {
        feed_free(feed);
        feed_writer_free(writer);
        kv_free(kv);
    }
    loop_free(loop);
    return 0;
}

static void places_are_read_and_written(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "-", "1", "1-", "-1", "1-2 ", "1-2;m=3", "x-1", "1--2",
        "1-99999999999999999999", " 1-2"};
    struct feed_id id;
    char text[FEED_ID_SIZE];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(feed_id_parse(bad[i], strlen(bad[i]), &id));
    assert_true(feed_id_parse("1763725000123-45;m=3", 16, &id));
    feed_id_format(id, text);
    assert_string_equal(text, "1763725000123-45");
    struct feed_id older = {5, 9}, newer = {6, 0}, newest_of = {6, 1};
    assert_int_equal(feed_id_compare(older, newer), -1);
    assert_int_equal(feed_id_compare(newest_of, newer), 1);
    assert_int_equal(feed_id_compare(newer, newer), 0);
}

static void changes_are_heard_in_order(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    for (unsigned char i = 1; i <= 200; i++)
        tell(i);
    UNTIL(n_heard >= 200);
    assert_int_equal(n_heard, 200);
    assert_int_equal(newest, 200);
    assert_int_equal(n_gaps, 1);
    struct uuid many[1000] = {{{9}}};
    feed_writer_tell(writer, many, 1000);
    UNTIL(n_heard >= 1200);
    assert_int_equal(n_heard, 1200);
}

static void set_memory(const char *bytes)
{
    const char *argv[] = {"CONFIG", "SET", "maxmemory", bytes};
    kv_command(kv, NULL, NULL, 4, argv, NULL);
    unit_run_for(loop, 50);
}

/* And nothing else changes afterwards. */
static void what_redis_refuses_is_made_good(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    set_memory("1");
    tell(1);
    unit_run_for(loop, 50);
    assert_int_equal(n_heard, 0);
    set_memory("0");
    UNTIL(n_gaps == 2);
}

static void an_emptied_redis_is_noticed(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    tell(1);
    UNTIL(n_heard == 1);
    command("FLUSHALL", NULL);
    UNTIL(n_gaps == 2); /* though nobody writes */
    tell(2);
    UNTIL(n_heard == 2);
    assert_int_equal(n_gaps, 2);
    assert_int_equal(n_down, 0);
}

static void what_redis_lost_is_a_gap(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    tell(1);
    UNTIL(n_heard == 1);
    private_server_stop(&server, SIGKILL);
    UNTIL(n_down == 1);
    UNTIL(feed_writer_why(writer)[0] != '\0');
    tell(2); /* to nobody */
    private_server_start(&server);
    UNTIL(n_up == 2 && n_gaps >= 2);
    UNTIL(feed_writer_why(writer)[0] == '\0');
    tell(3);
    UNTIL(newest == 3);
    assert_int_equal(n_heard, 2);
}

static void a_missing_number_is_a_gap(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    tell(1);
    UNTIL(n_heard == 1);
    static const char *const argv[] = {
        "XADD", FEED_STREAM, "*", "t", "0123456789abcdef", "w", "s:7:99"};
    kv_command(kv, NULL, NULL, 7, argv, NULL);
    UNTIL(n_gaps == 2);
    assert_int_equal(n_heard, 1);
    feed_writer_begin(writer, 8);
    UNTIL(n_gaps == 3);
    tell(2);
    UNTIL(n_heard == 2);
    assert_int_equal(n_gaps, 3);
}

static void what_is_no_stream_is_taken_away(void **state)
{
    (void)state;
    if (!have_server)
        skip();
    log_set_level(LOG_ERROR + 1);
    command("DEL", FEED_STREAM);
    static const char *const argv[] = {"SET", FEED_STREAM, "no stream"};
    kv_command(kv, NULL, NULL, 3, argv, NULL);
    UNTIL(n_down == 1);
    tell(1);
    UNTIL(n_up == 2);
    tell(2);
    UNTIL(newest == 2);
    assert_true(n_gaps >= 2);
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
    if (have_server)
        private_server_done(&server);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(places_are_read_and_written),
        TEST(changes_are_heard_in_order),
        TEST(what_redis_refuses_is_made_good),
        TEST(an_emptied_redis_is_noticed),
        TEST(what_redis_lost_is_a_gap),
        TEST(a_missing_number_is_a_gap),
        TEST(what_is_no_stream_is_taken_away),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
