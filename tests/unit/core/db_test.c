/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: batches commit together or not at all, answer in order, and are answered whatever happens;
 * every type goes both ways.
 * Method: a private Postgres, made here; skipped where initdb is missing.  core/db is compiled with
 * the statements of db_test.sql.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <signal.h>

#include "core/base/log.h"
#include "core/db/db_internal.h"
#include "tests/unit/core/private_server.h"
#include "tests/unit/core/rude_server.h"

static struct private_server server;
static bool have_server;
static struct loop *loop;
static struct db *db;
static int ups, downs;

static void on_state(void *arg, bool up)
{
    assert_ptr_equal(arg, &ups);
    assert_int_equal(up, db_is_up(db));
    ups += up;
    downs += !up;
    loop_stop(loop);
}

static void open_db(void)
{
    loop = loop_new();
    ups = downs = 0;
    db = db_new(loop, server.url, "stint-test", on_state, &ups);
    while (!db_is_up(db))
        unit_run(loop);
    assert_string_equal(db_why(db), "");
}

static int set_up(void **state)
{
    (void)state;
    if (have_server)
        open_db();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!have_server)
        return 0;
    db_free(db);
    loop_free(loop);
    return 0;
}

#define NEEDS_SERVER() \
    if (!have_server)  \
    skip()

/* ---- answers ---- */

struct answer {
    int n; /* how many have come */
    enum err code;
    size_t n_results;
    int64_t first; /* the first integer of the last result */
    char text[240], constraint[64];
};

static struct answer answers[400];
static int n_answers, awaited;

static void on_done(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    struct answer *a = arg;
    assert_ptr_equal(a, &answers[n_answers]); /* in the order of sending */
    n_answers++;
    a->n++;
    a->code = code;
    a->n_results = n_results;
    assert_int_equal(results == NULL, code != ERR_OK);
    if (code == ERR_OK && n_results > 0 && db_rows(results[n_results - 1]) > 0)
        a->first = db_int(results[n_results - 1], 0, 0);
    snprintf(a->text, sizeof(a->text), "%s", ctx->text);
    snprintf(a->constraint, sizeof(a->constraint), "%s", db_error_constraint(db));
    if (n_answers == awaited)
        loop_stop(loop);
}

static void begin(void)
{
    n_answers = awaited = 0;
    memset(answers, 0, sizeof(answers));
}

static void send_batch(struct db_batch *b)
{
    struct answer *a = &answers[awaited++];
    db_send(db, b, on_done, a);
}

static struct db_batch *batch_insert(int64_t id, const char *note)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_ROW_INSERT);
    db_add_int8(b, id);
    db_add_text(b, note);
    return b;
}

static struct db_batch *batch_of(enum sql_id id)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, id);
    return b;
}

/* ---- types ---- */

static const struct uuid some_id = {
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
};
#define SOME_TIME INT64_C(1700000000123456)

static void on_scalars(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    (void)arg;
    (void)ctx;
    assert_int_equal(code, ERR_OK);
    assert_int_equal(n_results, 2);
    const struct db_result *r = results[0];
    size_t n;
    struct uuid u = db_uuid(r, 0, 0);
    assert_true(uuid_eq(&u, &some_id));
    assert_int_equal(db_int(r, 0, 1), INT64_MIN + 1);
    assert_int_equal(db_int(r, 0, 2), INT32_MIN);
    assert_true(db_bool(r, 0, 3));
    assert_string_equal(db_text(r, 0, 4), "h\xc3\xa4llo 'x' \\");
    assert_memory_equal(db_bytes(r, 0, 5, &n), "\0\1\2", 3);
    assert_int_equal(n, 3);
    assert_int_equal(db_time_us(r, 0, 6), SOME_TIME);
    assert_int_equal(db_int(r, 0, 7), 7);

    r = results[1];
    for (int col = 0; col < 7; col++)
        assert_true(db_is_null(r, 0, col));
    u = db_uuid(r, 0, 0);
    assert_true(uuid_is_nil(&u));
    assert_int_equal(db_int(r, 0, 1), 0);
    assert_false(db_bool(r, 0, 3));
    assert_string_equal(db_text(r, 0, 4), "");
    assert_int_equal(db_time_us(r, 0, 6), INT64_MIN);
    loop_stop(loop);
}

static void scalars_go_both_ways(void **state)
{
    (void)state;
    NEEDS_SERVER();
    struct db_batch *b = batch_of(SQL_ECHO_SCALARS);
    db_add_uuid(b, &some_id);
    db_add_int8(b, INT64_MIN + 1);
    db_add_int4(b, INT32_MIN);
    db_add_bool(b, true);
    db_add_text(b, "h\xc3\xa4llo 'x' \\");
    db_add_bytes(b, "\0\1\2", 3);
    db_add_time(b, SOME_TIME);
    db_batch_add(b, SQL_ECHO_SCALARS);
    db_add_uuid(b, NULL);
    db_add_null(b);
    db_add_null(b);
    db_add_null(b);
    db_add_text(b, NULL);
    db_add_null(b);
    db_add_time(b, INT64_MIN);
    assert_int_equal(db_batch_count(b), 2);
    db_send(db, b, on_scalars, NULL);
    unit_run(loop);
}

static void on_arrays(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    size_t n = *(size_t *)arg, size;
    if (code != ERR_OK)
        fail_msg("%s", ctx->text);
    assert_int_equal(n_results, 1);
    const struct db_result *r = results[0];
    assert_int_equal(db_rows(r), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(db_is_null(r, i, 0), i % 2);
        assert_int_equal(db_int(r, i, 1), -(int64_t)i);
        assert_int_equal(db_int(r, i, 2), i);
        assert_int_equal(db_bool(r, i, 3), i % 3 == 0);
        assert_int_equal(db_is_null(r, i, 4), i % 5 == 0);
        assert_memory_equal(db_bytes(r, i, 5, &size), "\0x", 2);
        assert_int_equal(db_time_us(r, i, 6), i % 7 == 0 ? INT64_MIN : SOME_TIME + (int64_t)i);
    }
    loop_stop(loop);
}

static void send_arrays(size_t n)
{
    struct db_array *a[] = {db_array_new(DB_UUID), db_array_new(DB_INT8), db_array_new(DB_INT4),
        db_array_new(DB_BOOL), db_array_new(DB_TEXT), db_array_new(DB_BYTEA),
        db_array_new(DB_TIME)};
    for (size_t i = 0; i < n; i++) {
        db_array_uuid(a[0], i % 2 ? NULL : &some_id);
        db_array_int8(a[1], -(int64_t)i);
        db_array_int4(a[2], (int32_t)i);
        db_array_bool(a[3], i % 3 == 0);
        db_array_text(a[4], i % 5 == 0 ? NULL : "text");
        db_array_bytes(a[5], "\0x", 2);
        db_array_time(a[6], i % 7 == 0 ? INT64_MIN : SOME_TIME + (int64_t)i);
    }
    struct db_batch *b = batch_of(SQL_ECHO_ARRAYS);
    for (size_t i = 0; i < 7; i++)
        db_add_array(b, a[i]);
    db_send(db, b, on_arrays, &n);
    unit_run(loop);
}

static void arrays_go_both_ways(void **state)
{
    (void)state;
    NEEDS_SERVER();
    send_arrays(3);
    send_arrays(0);
    send_arrays(20000);
}

/* ---- transactions ---- */

static void batches_pipeline_in_order(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    send_batch(batch_of(SQL_ROW_DELETE_ALL));
    for (int i = 0; i < 300; i++) {
        struct db_batch *b = batch_insert(i, "x");
        db_batch_add(b, SQL_ROW_COUNT);
        send_batch(b);
    }
    assert_int_equal(db_in_flight(db), 301);
    unit_run(loop);
    assert_int_equal(db_in_flight(db), 0);
    for (int i = 1; i <= 300; i++) {
        assert_int_equal(answers[i].code, ERR_OK);
        assert_int_equal(answers[i].n_results, 2);
        assert_int_equal(answers[i].first, i);
    }
}

static void a_failed_statement_fails_its_batch_alone(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    send_batch(batch_of(SQL_ROW_DELETE_ALL));
    send_batch(batch_insert(1, "first"));
    struct db_batch *b = batch_insert(2, "never seen");
    db_batch_add(b, SQL_ROW_INSERT);
    db_add_int8(b, 1);
    db_add_text(b, "again");
    db_batch_add(b, SQL_ECHO_SCALARS); /* not prepared yet when the batch fails */
    for (int i = 0; i < 7; i++)
        db_add_null(b);
    send_batch(b);
    send_batch(batch_of(SQL_ROW_COUNT));
    b = batch_of(SQL_ECHO_SCALARS);
    for (int i = 0; i < 7; i++)
        db_add_null(b);
    send_batch(b);
    unit_run(loop);
    assert_int_equal(answers[1].code, ERR_OK);
    assert_string_equal(answers[1].constraint, "");
    assert_int_equal(answers[2].code, ERR_CONFLICT);
    assert_string_equal(answers[2].constraint, "rows_id_is_unique");
    assert_non_null(strstr(answers[2].text, "row_insert: duplicate key"));
    assert_non_null(strstr(answers[2].text, "23505"));
    assert_int_equal(answers[3].first, 1);
    assert_int_equal(answers[4].code, ERR_OK);
    assert_string_equal(db_error_constraint(db), "");
}

/* What may go well the next time must not count against the data. */
static void lack_of_means_is_no_verdict(void **state)
{
    (void)state;
    assert_int_equal(db_code_of("53200"), ERR_TIMEOUT); /* out of memory */
    assert_int_equal(db_code_of("53100"), ERR_NO_SPACE);
    assert_int_equal(db_code_of("58030"), ERR_TIMEOUT); /* I/O error */
    assert_int_equal(db_code_of("22P02"), ERR_DB_FAILED);
    assert_int_equal(db_code_of(NULL), ERR_DB_FAILED);
}

static void errors_have_codes(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    send_batch(batch_of(SQL_RAISE_STALE));
    send_batch(batch_of(SQL_BROKEN));
    send_batch(batch_of(SQL_BROKEN));
    struct db_batch *b = batch_of(SQL_ROW_INSERT_DEFERRED); /* fails when it commits */
    db_add_int8(b, 77);
    send_batch(b);
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_STALE_EPOCH);
    assert_non_null(strstr(answers[0].text, "raise_stale: not the leader"));
    assert_int_equal(answers[1].code, ERR_DB_FAILED);
    assert_non_null(strstr(answers[1].text, "nowhere"));
    assert_int_equal(answers[2].code, ERR_DB_FAILED);
    assert_int_equal(answers[3].code, ERR_DB_FAILED);
    assert_string_equal(answers[3].constraint, "deferred_id_is_a_row");
    assert_int_equal(answers[4].code, ERR_OK);

    /* A statement that could not be prepared is tried again. */
    begin();
    send_batch(batch_of(SQL_BROKEN));
    unit_run(loop);
    assert_non_null(strstr(answers[0].text, "nowhere"));
}

static void on_counts(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    (void)arg;
    (void)ctx;
    assert_int_equal(code, ERR_OK);
    assert_int_equal(n_results, 3);
    assert_int_equal(db_affected(results[1]), 50000);
    assert_int_equal(db_int(results[2], 0, 0), 50000);
    loop_stop(loop);
}

/* More than any socket takes at once. */
static void large_batches_do_not_block(void **state)
{
    (void)state;
    NEEDS_SERVER();
    struct db_array *ids = db_array_new(DB_INT8), *notes = db_array_new(DB_TEXT);
    char note[201];
    memset(note, 'n', 200);
    note[200] = '\0';
    for (int i = 0; i < 50000; i++) {
        db_array_int8(ids, i);
        db_array_text(notes, note);
    }
    struct db_batch *b = batch_of(SQL_ROW_DELETE_ALL);
    db_batch_add(b, SQL_ROW_INSERT_MANY);
    db_add_array(b, ids);
    db_add_array(b, notes);
    db_batch_add(b, SQL_ROW_COUNT);
    db_send(db, b, on_counts, NULL);
    unit_run(loop);
    begin();
    send_batch(batch_of(SQL_ROW_DELETE_ALL));
    unit_run(loop);
}

static void an_empty_batch_is_answered(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    send_batch(db_batch_new());
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
    assert_int_equal(answers[0].n_results, 0);
    db_batch_free(batch_insert(1, "never sent"));
    db_batch_free(NULL);
}

/* ---- connections ---- */

static void a_lost_connection_answers_all(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    struct db_batch *b = batch_of(SQL_SLEEP);
    db_add_int8(b, 10000);
    send_batch(b);
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run_for(loop, 50);
    private_server_stop(&server, SIGQUIT);
    unit_run(loop);
    assert_int_equal(n_answers, 2);
    assert_int_equal(answers[0].code, ERR_DB_DOWN);
    assert_int_equal(answers[1].code, ERR_DB_DOWN);
    while (downs == 0)
        unit_run(loop);
    assert_string_not_equal(db_why(db), "");

    begin();
    send_batch(batch_of(SQL_ROW_COUNT)); /* at once */
    assert_int_equal(n_answers, 1);
    assert_int_equal(answers[0].code, ERR_DB_DOWN);

    private_server_start(&server);
    while (!db_is_up(db))
        unit_run(loop);
    begin();
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
    assert_int_equal(downs, 1);
    assert_int_equal(ups, 2);
}

/* What comes before the error and the error itself arrive as one event, which ends libuv's watch.
 */
static void a_connection_reset_in_mid_word_is_lost(void **state)
{
    (void)state;
    NEEDS_SERVER();
    static const char greeting[] = "R\0\0\0\10\0\0\0\0Z\0\0\0\5I";
    struct rude_server rude = {.greeting = greeting,
        .greeting_n = sizeof(greeting) - 1,
        .last_words = "E\0\0\1",
        .last_words_n = 4};
    rude_server_start(&rude, ".s.PGSQL.5432");
    db_free(db);
    ups = downs = 0;
    char url[80];
    snprintf(url, sizeof(url), "host=%s user=stint dbname=stint", rude.dir);
    db = db_new(loop, url, "stint-test", on_state, &ups);
    unit_run(loop);
    assert_true(db_is_up(db));
    begin();
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_DB_DOWN);
    rude_server_done(&rude);
}

static void a_killed_backend_is_replaced(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    send_batch(batch_of(SQL_ROW_COUNT));
    send_batch(batch_of(SQL_KILL_SELF));
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
    assert_int_equal(answers[1].code, ERR_DB_DOWN);
    assert_int_equal(answers[2].code, ERR_DB_DOWN);
    while (ups < 2)
        unit_run(loop);
    begin();
    send_batch(batch_of(SQL_ROW_COUNT)); /* is prepared anew */
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
}

static void on_reset(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    on_done(arg, code, results, n_results, ctx);
    db_reset(db);
}

static void it_can_be_reset_from_inside(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    db_send(db, batch_of(SQL_ROW_COUNT), on_reset, &answers[awaited++]);
    send_batch(batch_of(SQL_ROW_COUNT));
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    while (ups < 2)
        unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
    assert_int_equal(answers[1].code, ERR_DB_DOWN);
    assert_int_equal(answers[2].code, ERR_DB_DOWN);
}

static void on_free(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    on_done(arg, code, results, n_results, ctx);
    db_free(db);
}

static void it_can_be_freed_from_inside(void **state)
{
    (void)state;
    NEEDS_SERVER();
    begin();
    db_send(db, batch_of(SQL_ROW_COUNT), on_free, &answers[awaited++]);
    send_batch(batch_of(SQL_ROW_COUNT));
    unit_run(loop);
    assert_int_equal(answers[0].code, ERR_OK);
    assert_int_equal(answers[1].code, ERR_CANCELED);
    loop_free(loop);
    open_db();
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    NEEDS_SERVER();
    struct db *lonely = db_new(loop, "host=127.0.0.1 port=1 user=x", "t", on_state, &ups);
    while (db_why(lonely)[0] == '\0')
        unit_run_for(loop, 10);
    assert_non_null(strstr(db_why(lonely), "refused"));
    assert_null(strchr(db_why(lonely), '\n'));
    db_free(lonely);
}

static void sessions_run_plain_sql(void **state)
{
    (void)state;
    NEEDS_SERVER();
    struct db_session *s;
    struct errctx ctx;
    char value[8];
    assert_int_equal(db_session_open("host=/nonexistent", &s, &ctx), ERR_DB_DOWN);
    assert_non_null(strstr(ctx.text, "cannot be reached"));
    assert_int_equal(db_session_open(server.url, &s, &ctx), ERR_OK);
    assert_int_equal(
        db_session_value(s, "SELECT 'abcdefghij'", value, sizeof(value), &ctx), ERR_OK);
    assert_string_equal(value, "abcdefg");
    assert_int_equal(
        db_session_value(s, "SELECT 1 WHERE false", value, sizeof(value), &ctx), ERR_OK);
    assert_string_equal(value, "");
    assert_int_equal(db_session_exec(s, "SELECT 1; SELECT x", &ctx), ERR_DB_FAILED);
    assert_non_null(strstr(ctx.text, "\"x\" does not exist"));
    assert_int_equal(db_session_exec(s, "", &ctx), ERR_OK);
    db_session_close(s);
    db_session_close(NULL);
}

/* ---- the server ---- */

static const char schema[] =
    "CREATE TABLE rows (id bigint CONSTRAINT rows_id_is_unique UNIQUE, note text);"
    "CREATE TABLE deferred (id bigint CONSTRAINT deferred_id_is_a_row"
    "    REFERENCES rows (id) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE FUNCTION raise_stale() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
    "    RAISE 'not the leader' USING ERRCODE = 'ST001'; END $$;";

static int start_server(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    have_server = private_postgres_make(&server);
    if (!have_server)
        return 0;
    private_server_start(&server);
    struct db_session *s;
    struct errctx ctx;
    for (int i = 0; db_session_open(server.url, &s, &ctx) != ERR_OK;
         i++) /* it may be starting up */
        if (i == 100000)
            return -1;
    enum err e = db_session_exec(s, schema, &ctx);
    db_session_close(s);
    return e == ERR_OK ? 0 : -1;
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
        TEST(scalars_go_both_ways),
        TEST(arrays_go_both_ways),
        TEST(batches_pipeline_in_order),
        TEST(a_failed_statement_fails_its_batch_alone),
        cmocka_unit_test(lack_of_means_is_no_verdict),
        TEST(errors_have_codes),
        TEST(large_batches_do_not_block),
        TEST(an_empty_batch_is_answered),
        TEST(a_lost_connection_answers_all),
        TEST(a_connection_reset_in_mid_word_is_lost),
        TEST(a_killed_backend_is_replaced),
        TEST(it_can_be_reset_from_inside),
        TEST(it_can_be_freed_from_inside),
        TEST(nobody_there_is_told),
        TEST(sessions_run_plain_sql),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
