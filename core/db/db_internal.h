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
    size_t n_preparing; /* preparations sent and not answered; then comes a sync */
    bool preparing;
    struct errctx error;
    char constraint[64];
};

/* The value's first byte; never NULL. */
const char *db_param_value(const struct db_batch *b, const struct db_param *p);
/* The statements have been sent: forget the parameters. */
void db_batch_sent(struct db_batch *b);

/* The row of the SQLSTATE table that fits best. */
enum err db_code_of(const char *sqlstate);
/* libpq's messages end in a line break and may have more of them: one line of it. */
void db_one_line(char *buf, size_t size, const char *message);

#endif
