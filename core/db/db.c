/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - one connection in pipeline mode.
 *
 *     +--------> down --timer--> connecting --> up --------+
 *     +------ lost, refused, too slow, reset <-------------+
 *
 * What a batch sends, and what comes back for it, in this order:
 *
 *     [Parse a, Parse b, Sync]  Bind+Execute a, Bind+Execute b, ... Sync
 *     [   ok,       ok,  sync]       result a,       result b,  ... sync
 *
 * The bracket is there only when statements are new on this connection.  It has a sync of its own:
 * a statement that fails takes the rest of its own transaction down, but not the preparation of one
 * that a batch behind it already counts on.
 *
 * A callback may send, reset or free: `generation` changes with every connection, and the memory of
 * a freed db lives until the loop comes by.
 */
#include "core/db/db.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/db/db_internal.h"

#define CONNECT_TIMEOUT_MS 5000
#define RETRY_MIN_MS       50
#define RETRY_MAX_MS       2000

enum state { DOWN, CONNECTING, UP };

struct db {
    struct loop *loop;
    char *url, *application_name;
    void (*on_state)(void *arg, bool up);
    void *arg;

    enum state state;
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
    bool prepared[SQL_COUNT + 1];
};

static void lose(struct db *db, const char *why);
static void step_connecting(struct db *db);
static void on_ready(struct db *db);

/* ---- SQLSTATE ---- */

/* By the longest prefix that fits; sorted so that the first that fits is the longest. */
static const struct {
    const char *sqlstate;
    enum err code;
} sqlstates[] = {
    {"23505", ERR_CONFLICT   }, /* unique violation */
    {"23P01", ERR_CONFLICT   }, /* exclusion violation */
    {"25006", ERR_DB_DOWN    }, /* read-only: this server is a standby now */
    {"40001", ERR_TIMEOUT    }, /* serialization failure */
    {"40P01", ERR_TIMEOUT    }, /* deadlock */
    {"53100", ERR_NO_SPACE   }, /* disk full */
    {"53300", ERR_DB_DOWN    }, /* too many connections */
    {"55P03", ERR_TIMEOUT    }, /* lock not available */
    {"57014", ERR_TIMEOUT    }, /* statement timeout */
    {"57P",   ERR_DB_DOWN    }, /* shutting down, starting up */
    {"08",    ERR_DB_DOWN    }, /* connection */
    {"ST001", ERR_STALE_EPOCH}, /* raised by scheduler_assert_epoch() */
};

enum err db_code_of(const char *sqlstate)
{
    for (size_t i = 0; sqlstate != NULL && i < COUNT(sqlstates); i++)
        if (strncmp(sqlstate, sqlstates[i].sqlstate, strlen(sqlstates[i].sqlstate)) == 0)
            return sqlstates[i].code;
    return ERR_DB_FAILED;
}

void db_one_line(char *buf, size_t size, const char *message)
{
    snprintf(buf, size, "%s", message);
    size_t n = strlen(buf);
    while (n > 0 && buf[n - 1] == '\n')
        buf[--n] = '\0';
    for (char *p = buf; *p != '\0'; p++)
        if (*p == '\n' || *p == '\t')
            *p = ' ';
}

/* ---- watching the socket ---- */

static void on_watch_closed(uv_handle_t *h)
{
    free((uv_poll_t *)h);
}

static void unwatch(struct db *db)
{
    if (db->watch == NULL)
        return;
    uv_close((uv_handle_t *)db->watch, on_watch_closed);
    db->watch = NULL;
    db->events = 0;
}

/* Errors of the socket come with status < 0 and are left to libpq to find. */
static void on_socket(uv_poll_t *h, int status, int events)
{
    struct db *db = h->data;
    (void)status;
    (void)events;
    if (db->state == CONNECTING)
        step_connecting(db);
    else
        on_ready(db);
}

static void watch(struct db *db, int events)
{
    if (db->watch == NULL) {
        db->watch = mem_alloc(sizeof(*db->watch));
        db->watch->data = db;
        if (uv_poll_init(loop_uv(db->loop), db->watch, PQsocket(db->conn)) != 0)
            abort(); /* libpq gave no socket, or one that is watched */
    }
    if (events != db->events)
        uv_poll_start(db->watch, events, on_socket);
    db->events = events;
}

/* Send what libpq has gathered; what the socket does not take goes when it is writable. */
static void flush(struct db *db)
{
    int left = PQflush(db->conn);
    if (left < 0)
        lose(db, PQerrorMessage(db->conn));
    else
        watch(db, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* ---- connecting ---- */

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void on_connected(struct db *db)
{
    timer_stop(db->timer);
    PQsetnonblocking(db->conn, 1);
    PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
    if (PQenterPipelineMode(db->conn) != 1) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    memset(db->prepared, 0, sizeof(db->prepared));
    db->state = UP;
    db->retry_ms = RETRY_MIN_MS;
    db->why[0] = '\0';
    watch(db, UV_READABLE);
    db->on_state(db->arg, true);
}

/* libpq may change its socket at any step, so nobody watches the old one meanwhile. */
static void step_connecting(struct db *db)
{
    unwatch(db);
    switch (PQconnectPoll(db->conn)) {
    case PGRES_POLLING_READING:
        watch(db, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        watch(db, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        on_connected(db);
        break;
    default:
        lose(db, PQerrorMessage(db->conn));
    }
}

static void connect_now(struct db *db)
{
    /* In front of dbname, which is the whole URL: what the URL says goes. */
    const char *const keys[] = {"application_name", "keepalives", "keepalives_idle",
        "keepalives_interval", "keepalives_count", "tcp_user_timeout", "dbname", NULL};
    const char *const values[] = {
        db->application_name, "1", "10", "5", "3", "15000", db->url, NULL};
    db->state = CONNECTING;
    db->generation++;
    db->conn = PQconnectStartParams(keys, values, 1);
    if (db->conn == NULL)
        abort(); /* out of memory */
    if (PQstatus(db->conn) == CONNECTION_BAD) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    timer_start(db->timer, CONNECT_TIMEOUT_MS, 0);
    watch(db, UV_WRITABLE);
}

static void on_timer(void *arg)
{
    struct db *db = arg;
    if (db->state == CONNECTING)
        lose(db, "the server does not answer");
    else if (db->state == DOWN)
        connect_now(db);
}

static void retry_later(struct db *db)
{
    uint16_t dice;
    rng_bytes(&dice, sizeof(dice));
    timer_start(db->timer, db->retry_ms / 2 + db->retry_ms * dice / UINT16_MAX / 2, 0);
    db->retry_ms = db->retry_ms * 2 < RETRY_MAX_MS ? db->retry_ms * 2 : RETRY_MAX_MS;
}

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

static void answer_all(struct db *db, enum err code, const char *why)
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

/* The connection is gone, or was never made. */
static void lose(struct db *db, const char *why)
{
    bool was_up = db->state == UP;
    bool news = was_up || db->why[0] == '\0';
    char text[sizeof(db->why)];
    db_one_line(text, sizeof(text), why);
    memcpy(db->why, text, sizeof(text));
    db->state = DOWN;
    db->generation++;
    unwatch(db);
    PQfinish(db->conn);
    db->conn = NULL;
    if (news)
        log_warn("the database cannot be reached, trying on error=%s", LOG_Q(text));
    retry_later(db);
    answer_all(db, ERR_DB_DOWN, text);
    if (was_up && !db->freed)
        db->on_state(db->arg, false);
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

/* Every result is followed by a NULL, but not a sync; two in a row mean that there is no more. */
static void read_results(struct db *db)
{
    unsigned generation = db->generation;
    int nulls = 0;
    while (generation == db->generation && !list_is_empty(&db->flights) && nulls < 2 &&
           !PQisBusy(db->conn)) {
        PGresult *res = PQgetResult(db->conn);
        nulls = res == NULL ? nulls + 1 : 0;
        if (res != NULL)
            on_result(db, res);
    }
    if (generation == db->generation && PQstatus(db->conn) == CONNECTION_BAD)
        lose(db, PQerrorMessage(db->conn));
}

static void on_ready(struct db *db)
{
    unsigned generation = db->generation;
    if (PQconsumeInput(db->conn) != 1) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    read_results(db);
    if (generation == db->generation)
        flush(db);
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
    if (db->state != UP) {
        err_set(&b->error, ERR_DB_DOWN, "%s", db->why[0] != '\0' ? db->why : "not connected yet");
        answer(db, b, ERR_DB_DOWN);
        return;
    }
    b->results = mem_calloc(b->n, sizeof(PGresult *));
    list_append(&db->flights, &b->node);
    db->in_flight++;
    if (!send_all(db, b)) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    db_batch_sent(b);
    flush(db);
}

/* ---- life ---- */

struct db *db_new(struct loop *l, const char *url, const char *application_name,
    void (*on_state)(void *arg, bool up), void *arg)
{
    struct db *db = mem_alloc(sizeof(*db));
    db->loop = l;
    db->url = mem_strdup(url);
    db->application_name = mem_strdup(application_name);
    db->on_state = on_state;
    db->arg = arg;
    db->retry_ms = RETRY_MIN_MS;
    list_init(&db->flights);
    db->timer = timer_new(l, on_timer, db);
    timer_start(db->timer, 0, 0);
    return db;
}

static void release(void *arg)
{
    struct db *db = arg;
    free(db->url);
    free(db->application_name);
    free(db);
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    db->freed = true;
    db->state = DOWN;
    db->generation++;
    timer_free(steal(db->timer));
    unwatch(db);
    PQfinish(steal(db->conn));
    answer_all(db, ERR_CANCELED, "the connection is being closed");
    loop_post(db->loop, release, db); /* a caller further up may still look at it */
}

bool db_is_up(const struct db *db)
{
    return db->state == UP;
}

const char *db_why(const struct db *db)
{
    return db->why;
}

void db_reset(struct db *db)
{
    if (db->conn != NULL)
        lose(db, "reset by this process");
}

const char *db_error_constraint(const struct db *db)
{
    return db->answering != NULL ? db->answering->constraint : "";
}

size_t db_in_flight(const struct db *db)
{
    return db->in_flight;
}
