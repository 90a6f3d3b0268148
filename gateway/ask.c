/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c - the questions that handlers ask on behalf of a request.
 *
 * A question for the database that comes while it is away waits a little for it to come back, so
 * that a restart of Postgres is a pause and not an error.  What was on its way when the connection
 * broke is answered 503: it may have been done.
 */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "gateway/request.h"

#define PATIENCE_MS    3000
#define WAITING_MAX    10000
#define SCHEDULER_AWAY "The scheduler cannot be reached."

/* ---- the database ---- */

static void on_db(void *arg, enum err code, const struct db_result *const *results,
    size_t n_results, const struct errctx *ctx)
{
    (void)n_results;
    struct request *r = arg;
    ask_failed_fn failed = r->on_db_failed;
    r->on_db_failed = NULL;
    if (code == ERR_OK) {
        r->on_db(r, results + r->n_before);
        return;
    }
    if (code != ERR_DB_DOWN && code != ERR_CONFLICT)
        log_warn("a statement failed route=%s error=%s", r->route->pattern, LOG_Q(ctx->text));
    if (failed != NULL && code != ERR_DB_DOWN)
        failed(r, code, code == ERR_CONFLICT ? db_error_constraint(r->gw->db) : "");
    else
        answer_db_failed(r, code);
}

static void wait_for_db(struct request *r, struct db_batch *take_batch)
{
    struct gateway *gw = r->gw;
    if (gw->n_waiting >= WAITING_MAX) {
        metric_add(&gw->metrics.database_full, 1);
        db_batch_free(take_batch);
        answer_db_failed(r, ERR_DB_DOWN);
        return;
    }
    r->waiting_batch = take_batch;
    r->waiting_until_mono_ms = clock_mono_ms() + PATIENCE_MS;
    list_append(&gw->waiting, &r->waiting);
    if (gw->n_waiting++ == 0)
        timer_start(gw->patience, PATIENCE_MS / 10, PATIENCE_MS / 10);
}

static struct request *next_waiting(struct gateway *gw)
{
    struct request *r = container_of(list_pop(&gw->waiting), struct request, waiting);
    if (--gw->n_waiting == 0)
        timer_stop(gw->patience);
    return r;
}

void ask_db_is_back(struct gateway *gw)
{
    while (!list_is_empty(&gw->waiting) && db_is_up(gw->db)) {
        struct request *r = next_waiting(gw);
        db_send(gw->db, steal(r->waiting_batch), on_db, r);
    }
}

/* The first to wait is the first whose patience ends. */
void ask_give_up(struct gateway *gw)
{
    int64_t now = clock_mono_ms();
    while (!list_is_empty(&gw->waiting)) {
        struct request *r = container_of(gw->waiting.next, struct request, waiting);
        if (r->waiting_until_mono_ms > now)
            break;
        next_waiting(gw);
        db_batch_free(steal(r->waiting_batch));
        answer_db_failed(r, ERR_DB_DOWN);
    }
}

/* What changes rows says first who does it: the database writes the audit in the same transaction
 * (audit_row() in sql/migration). */
static struct db_batch *with_context(struct request *r, struct db_batch *take_batch)
{
    r->n_before = 0;
    if ((r->method == METHOD_GET && r->audit_action == NULL) || !db_batch_writes(take_batch))
        return take_batch;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_AUDIT_CONTEXT);
    db_add_uuid(b, &r->who.id);
    db_add_text(b, r->audit_action != NULL ? r->audit_action : "");
    Stint__V1__Origin origin = ask_origin(r);
    db_add_text(b, origin.ip);
    db_add_text(b, origin.user_agent);
    db_add_text(b, origin.request_id);
    db_batch_append(b, take_batch);
    r->n_before = 1;
    return b;
}

static void send_batch(struct request *r, struct db *db, struct db_batch *take_batch)
{
    struct db_batch *b = with_context(r, take_batch);
    if (db_is_up(db))
        db_send(db, b, on_db, r);
    else
        wait_for_db(r, b);
}

void ask_db(struct request *r, struct db_batch *take_batch, ask_db_fn done)
{
    r->on_db = done;
    send_batch(r, r->gw->db, take_batch);
}

void ask_db_bulk(struct request *r, struct db_batch *take_batch, ask_db_fn done)
{
    r->on_db = done;
    /* After an outage one of the two is back first. */
    send_batch(r, db_is_up(r->gw->db_bulk) ? r->gw->db_bulk : r->gw->db, take_batch);
}

void ask_db_or(struct request *r, struct db_batch *take_batch, ask_db_fn done, ask_failed_fn failed)
{
    r->on_db_failed = failed;
    ask_db(r, take_batch, done);
}

/* ---- the scheduler ---- */

static void on_bus(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct request *r = arg;
    if (code == ERR_OK)
        r->on_bus(r, reply);
    else if (code == ERR_TIMEOUT)
        answer_error(r, 503, SCHEDULER_AWAY,
            "It did not answer in time, so this may or may not have been done. Look before you try "
            "again, and check that stint-scheduler runs.");
    else
        answer_error(r, 503, SCHEDULER_AWAY,
            "Check that stint-scheduler runs and that scheduler_url names it, then try again.");
}

Stint__V1__Origin ask_origin(struct request *r)
{
    Stint__V1__Origin origin = STINT__V1__ORIGIN__INIT;
    address_format(&r->client, r->address);
    origin.ip = r->address;
    origin.request_id = r->id;
    if (r->user_agent != NULL)
        origin.user_agent = r->user_agent;
    return origin;
}

void ask_bus(struct request *r, Stint__V1__Envelope *question, int64_t timeout_ms, ask_bus_fn done)
{
    r->on_bus = done;
    Stint__V1__Origin origin = ask_origin(r);
    question->origin = &origin;
    bus_send(r->gw->bus, question, timeout_ms, on_bus, r);
}
