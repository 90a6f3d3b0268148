/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db_pipeline.c - batches on the wire.
 *
 * What a batch sends, and what comes back for it, in this order:
 *
 *     [Parse a, Parse b, Sync]  Bind+Execute a, Bind+Execute b, ... Sync
 *     [   ok,       ok,  sync]       result a,       result b,  ... sync
 *
 * The bracket is there only when statements are new on this connection.  It has a sync of its own:
 * a statement that fails takes the rest of its own transaction down, but not the preparation of one
 * that a batch behind it already counts on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/db/db_internal.h"

#define NULLS_MAX 1000 /* in a row: libpq and we do not agree on what is in flight */

/* ---- answers ---- */

static void answer(struct db *db, struct db_batch *b, enum err code)
{
    const struct db_result *const *results = (const struct db_result *const *)(void *)b->results;
    const struct db_batch *outer = db->answering;
    bool ok = code == ERR_OK;
    db->answering = b;
    b->done(b->arg, code, ok ? results : NULL, ok ? b->n_results : 0, &b->error);
    db->answering = outer;
    db_batch_free(b);
}

void db_answer_all(struct db *db, enum err code, const char *why)
{
    struct list flights;
    struct list *item;
    list_init(&flights);
    while ((item = list_pop(&db->flights)) != NULL)
        list_append(&flights, item);
    db->in_flight = 0;
    while ((item = list_pop(&flights)) != NULL) {
        struct db_batch *b = container_of(item, struct db_batch, node);
        err_set(&b->error, code, "%s", why);
        answer(db, b, code);
    }
}

static bool is_error(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

static const char *name_of(const struct db_batch *b, size_t i)
{
    return i < b->n ? sql_queries[b->statements[i].id].name : "commit";
}

/* The first error is the cause, the others follow from it. */
static void keep_error(struct db_batch *b, const char *name, const PGresult *res)
{
    if (b->error.code != ERR_OK)
        return;
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME);
    err_set(&b->error, db_code_of(state), "%s: %s (%s)", name,
        message != NULL ? message : PQresultErrorMessage(res),
        state != NULL ? state : "no SQLSTATE");
    snprintf(b->constraint, sizeof(b->constraint), "%s", constraint != NULL ? constraint : "");
}

/* The preparations come back in the order in which the statements asked for them. */
static void on_prepared(struct db *db, struct db_batch *b, PGresult *res)
{
    size_t i = 0;
    while (i < b->n && !b->statements[i].prepare)
        i++;
    if (i < b->n) {
        b->statements[i].prepare = false;
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
            db->prepared[b->statements[i].id] = false;
    }
    if (is_error(res))
        keep_error(b, name_of(b, i), res);
    PQclear(res);
}

static void on_sync(struct db *db, struct db_batch *b)
{
    if (b->preparing) {
        b->preparing = false;
        return;
    }
    list_unlink(&b->node);
    db->in_flight--;
    db->alive_mono_ms = b->sent_mono_ms;
    answer(db, b, b->error.code);
}

static void on_result(struct db *db, PGresult *res)
{
    struct db_batch *b = container_of(db->flights.next, struct db_batch, node);
    if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        on_sync(db, b);
    } else if (b->preparing) {
        on_prepared(db, b, res);
    } else {
        if (is_error(res))
            keep_error(b, name_of(b, b->n_results), res);
        if (b->n_results < b->n)
            b->results[b->n_results++] = res;
        else
            PQclear(res); /* an error of the commit itself */
    }
}

/*
 * Every result is followed by a NULL, and libpq steps over the edges of batches with NULLs of its
 * own, so NULLs say nothing; whether there is more to come is told by the batches in flight.  What
 * libpq has read already must be taken now: the socket will not call again for it.
 */
void db_read_results(struct db *db)
{
    unsigned generation = db->generation;
    int nulls = 0;
    while (generation == db->generation && !list_is_empty(&db->flights) && nulls < NULLS_MAX &&
           !PQisBusy(db->conn)) {
        PGresult *res = PQgetResult(db->conn);
        nulls = res == NULL ? nulls + 1 : 0;
        if (res != NULL)
            on_result(db, res);
    }
    if (generation == db->generation && PQstatus(db->conn) == CONNECTION_BAD)
        db_lose(db, PQerrorMessage(db->conn));
}

/* ---- sending ---- */

static bool send_preparations(struct db *db, struct db_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct db_statement *s = &b->statements[i];
        if (db->prepared[s->id])
            continue;
        Oid oids[DB_PARAMS_MAX];
        for (size_t k = 0; k < s->n_params; k++)
            oids[k] = b->params[s->first + k].type;
        const struct sql_query *q = &sql_queries[s->id];
        if (PQsendPrepare(db->conn, q->name, q->text, (int)s->n_params, oids) != 1)
            return false;
        db->prepared[s->id] = true;
        s->prepare = b->preparing = true;
    }
    return !b->preparing || PQpipelineSync(db->conn) == 1;
}

static bool send_statement(struct db *db, const struct db_batch *b, const struct db_statement *s)
{
    const char *values[DB_PARAMS_MAX];
    int sizes[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
    for (size_t k = 0; k < s->n_params; k++) {
        const struct db_param *p = &b->params[s->first + k];
        values[k] = p->n >= 0 ? db_param_value(b, p) : NULL;
        sizes[k] = p->n;
        formats[k] = 1;
    }
    return PQsendQueryPrepared(
               db->conn, sql_queries[s->id].name, (int)s->n_params, values, sizes, formats, 1) == 1;
}

static bool send_all(struct db *db, struct db_batch *b)
{
    if (!send_preparations(db, b))
        return false;
    for (size_t i = 0; i < b->n; i++)
        if (!send_statement(db, b, &b->statements[i]))
            return false;
    return PQpipelineSync(db->conn) == 1;
}

void db_send(struct db *db, struct db_batch *take_batch, db_done_fn done, void *arg)
{
    struct db_batch *b = take_batch;
    b->done = done;
    b->arg = arg;
    if (db->state != DB_IS_UP) {
        err_set(&b->error, ERR_DB_DOWN, "%s", db->why[0] != '\0' ? db->why : "not connected yet");
        answer(db, b, ERR_DB_DOWN);
        return;
    }
    b->results = mem_calloc(b->n, sizeof(PGresult *));
    b->sent_mono_ms = clock_mono_ms();
    list_append(&db->flights, &b->node);
    db->in_flight++;
    if (!send_all(db, b)) {
        db_lose(db, PQerrorMessage(db->conn));
        return;
    }
    db_batch_sent(b);
    db_flush(db);
}

const char *db_error_constraint(const struct db *db)
{
    return db->answering != NULL ? db->answering->constraint : "";
}

size_t db_in_flight(const struct db *db)
{
    return db->in_flight;
}

int64_t db_alive_mono_ms(const struct db *db)
{
    return db->alive_mono_ms;
}
