/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_internal.h - what the files of core/db share, and nobody else sees.
 */
#ifndef CORE_DB_DB_INTERNAL_H
#define CORE_DB_DB_INTERNAL_H

#include <libpq-fe.h>

#include "core/base/list.h"
#include "core/db/db.h"

#define DB_PARAMS_MAX 64 /* of one statement */

struct db_param {
    Oid type;               /* 0: Postgres finds out */
    int n;                  /* bytes, -1: NULL */
    size_t offset;          /* into the batch's bytes, unless ... */
    struct db_array *array; /* ... the value is this */
};

struct db_statement {
    enum sql_id id;
    size_t first; /* of its parameters */
    size_t n_params;
    bool prepare; /* this batch carries its preparation, too */
};

struct db_batch {
    struct list node; /* in flight */
    struct db_statement *statements;
    size_t n, room;
    struct db_param *params;
    size_t n_params, params_room;
    uint8_t *bytes;
    size_t n_bytes, bytes_room;

    /* In flight. */
    db_done_fn done;
    void *arg;
    PGresult **results;
    size_t n_results;
    int64_t sent_mono_ms;
    size_t n_preparing; /* preparations sent and not answered; then comes a sync */
    bool preparing;
    struct errctx error;
    char constraint[64];
};

enum db_state { DB_IS_DOWN, DB_CONNECTING, DB_IS_UP };

struct db {
    struct loop *loop;
    char *url, *application_name;
    void (*on_state)(void *arg, bool up);
    void *arg;

    enum db_state state;
    bool freed;
    unsigned generation;
    PGconn *conn;
    uv_poll_t *watch; /* NULL while not connected */
    int events;
    struct timer *timer; /* to try again; while connecting: to give up */
    int64_t retry_ms;
    char why[240];

    struct list flights; /* batches, oldest first */
    size_t in_flight;
    const struct db_batch *answering;
    int64_t alive_mono_ms;
    bool prepared[SQL_COUNT + 1];
};

/* ---- db.c ---- */

/* The connection is gone: answer all, try again later. */
void db_lose(struct db *db, const char *why);
/* Send what libpq has gathered; what the socket does not take goes when it is writable. */
void db_flush(struct db *db);
/* The row of the SQLSTATE table that fits best. */
enum err db_code_of(const char *sqlstate);
/* libpq's messages end in a line break and may have more of them: one line of it. */
void db_one_line(char *buf, size_t size, const char *message);

/* ---- db_pipeline.c ---- */

/* All results that are there; callbacks may change everything, see `generation`. */
void db_read_results(struct db *db);
void db_answer_all(struct db *db, enum err code, const char *why);

/* ---- db_batch.c ---- */

/* The value's first byte; never NULL. */
const char *db_param_value(const struct db_batch *b, const struct db_param *p);
/* The statements have been sent: forget the parameters. */
void db_batch_sent(struct db_batch *b);

#endif
