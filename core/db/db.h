/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.h - Postgres: prepared statements in pipelined transactions on one connection.
 *
 * A `struct db` keeps one connection to one server: it connects, prepares statements when they are
 * first used, and connects again (50 ms, doubling to 2 s, with jitter) when the connection breaks.
 * All calls and callbacks are on the loop's thread.
 *
 * A `struct db_batch` is a list of statements of sql/query/<noun>.sql that commit together: they
 * are sent in one pipeline ended by one sync, which Postgres runs as one transaction.  Several
 * batches may be in flight; they run and answer in the order of sending.
 *
 * Parameters and results travel in binary.  Arrays are for UNNEST: one statement carries a whole
 * batch of rows.
 *
 * When the connection breaks, every batch in flight is answered ERR_DB_DOWN: it may or may not have
 * been committed, and the caller must find out (rule 2: forget, read again).
 */
#ifndef CORE_DB_DB_H
#define CORE_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "sql_query.h"

struct db;
struct db_batch;
struct db_array;
struct db_result; /* one statement's rows */

/* ---- connection ---- */

/* `on_state(arg, up)` (or NULL) tells every change; not called from inside db_new().
 * `application_name` shows in pg_stat_activity.  `url` is a libpq connection string. */
struct db *db_new(struct loop *l, const char *url, const char *application_name,
    void (*on_state)(void *arg, bool up), void *arg);
/* Batches in flight are answered ERR_CANCELED. */
void db_free(struct db *db);
bool db_is_up(const struct db *db);
/* Why it is down, for a log line; "" when up. */
const char *db_why(const struct db *db);
/* Break the connection on purpose; it is opened again.  For leaders that step down. */
void db_reset(struct db *db);

/* ---- sending ---- */

struct db_batch *db_batch_new(void);
void db_batch_free(struct db_batch *b);
size_t db_batch_count(const struct db_batch *b);
/* Does any statement change rows? */
bool db_batch_writes(const struct db_batch *b);
/* The statements of `take_tail` follow those of `b`. */
void db_batch_append(struct db_batch *b, struct db_batch *take_tail);

/* Add one statement; its parameters follow in order ($1, $2, ...) by the db_add_* calls. */
void db_batch_add(struct db_batch *b, enum sql_id id);
void db_add_null(struct db_batch *b);
void db_add_uuid(struct db_batch *b, const struct uuid *u); /* NULL or nil: SQL NULL */
void db_add_int8(struct db_batch *b, int64_t v);
void db_add_int4(struct db_batch *b, int32_t v);
void db_add_bool(struct db_batch *b, bool v);
void db_add_text(struct db_batch *b, const char *s); /* NULL: SQL NULL */
void db_add_bytes(struct db_batch *b, const void *data, size_t n);
void db_add_time(struct db_batch *b, int64_t wall_us); /* INT64_MIN: SQL NULL */
void db_add_array(struct db_batch *b, struct db_array *take_array);

/* Arrays, one element per call; element type fixed at db_array_new(). */
enum db_type { DB_UUID, DB_INT8, DB_INT4, DB_BOOL, DB_TEXT, DB_BYTEA, DB_TIME };
struct db_array *db_array_new(enum db_type type);
void db_array_uuid(struct db_array *a, const struct uuid *u); /* NULL or nil: SQL NULL */
void db_array_int8(struct db_array *a, int64_t v);
void db_array_int4(struct db_array *a, int32_t v);
void db_array_bool(struct db_array *a, bool v);
void db_array_text(struct db_array *a, const char *s); /* NULL: SQL NULL */
void db_array_textn(struct db_array *a, const char *s, size_t n);
void db_array_bytes(struct db_array *a, const void *data, size_t n);
void db_array_time(struct db_array *a, int64_t wall_us); /* INT64_MIN: SQL NULL */
void db_array_free(struct db_array *a);

/*
 * The answer.  code ERR_OK: `results[i]` belongs to the i-th statement.  Otherwise results is NULL,
 * nothing of the batch was committed (but see ERR_DB_DOWN above) and ctx says why.  SQLSTATEs
 * become codes by the table in db.c: unique violations ERR_CONFLICT, serialization and deadlock
 * ERR_TIMEOUT, raised 'ST001' ERR_STALE_EPOCH, disk full ERR_NO_SPACE, else ERR_DB_FAILED.
 * ctx->constraint-like details: db_error_constraint() while in the callback.
 */
typedef void (*db_done_fn)(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx);

/* Takes the batch.  When the connection is down, done() is called at once with ERR_DB_DOWN. */
void db_send(struct db *db, struct db_batch *take_batch, db_done_fn done, void *arg);

/* Inside a failed done(): name of the violated constraint, "" if none. */
const char *db_error_constraint(const struct db *db);

/* Batches sent and not answered. */
size_t db_in_flight(const struct db *db);

/* The server had this session at this time for certain: then the youngest batch that it has
 * answered was sent.  0: it has answered none yet. */
int64_t db_alive_mono_ms(const struct db *db);

/* ---- reading results (binary) ---- */

size_t db_rows(const struct db_result *r);
/* Rows touched by an INSERT, UPDATE or DELETE. */
int64_t db_affected(const struct db_result *r);
bool db_is_null(const struct db_result *r, size_t row, int col);
struct uuid db_uuid(const struct db_result *r, size_t row, int col); /* NULL: nil */
int64_t db_int(const struct db_result *r, size_t row, int col);      /* int2, int4, int8; NULL: 0 */
bool db_bool(const struct db_result *r, size_t row, int col);
/* NUL-terminated, valid until done() returns; NULL: "". */
const char *db_text(const struct db_result *r, size_t row, int col);
const void *db_bytes(const struct db_result *r, size_t row, int col, size_t *ret_n);
int64_t db_time_us(const struct db_result *r, size_t row, int col); /* NULL: INT64_MIN */

/* ---- start-up, blocking ---- */

/* Run plain SQL text (migrations) or take a look before the loop runs. */
struct db_session;
enum err must_check db_session_open(const char *url, struct db_session **ret, struct errctx *ctx);
void db_session_close(struct db_session *s);
/* Several statements in one text are allowed. */
enum err must_check db_session_exec(struct db_session *s, const char *sql, struct errctx *ctx);
/* One value as text from the first row, "" if none; `buf` is always terminated. */
enum err must_check db_session_value(
    struct db_session *s, const char *sql, char *buf, size_t size, struct errctx *ctx);

#endif
