/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c - one connection in pipeline mode.
 *
 *     +--------> down --timer--> connecting --> up --------+
 *     +------ lost, refused, too slow, reset <-------------+
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
    {"53",    ERR_TIMEOUT    }, /* out of something else: memory, locks */
    {"55P03", ERR_TIMEOUT    }, /* lock not available */
    {"57014", ERR_TIMEOUT    }, /* statement timeout */
    {"57P",   ERR_DB_DOWN    }, /* shutting down, starting up */
    {"58",    ERR_TIMEOUT    }, /* the server's machine: a disk that fails */
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

/* Errors of the socket come with status < 0 and are left to libpq to find; libuv has ended the
 * watch then, and libpq may first read what came before the error. */
static void on_socket(uv_poll_t *h, int status, int events)
{
    struct db *db = h->data;
    (void)events;
    if (status < 0)
        db->events = 0;
    if (db->state == DB_CONNECTING)
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

/*
 * Send what libpq has gathered; what the socket does not take goes when it is writable.
 *
 * While it sends, libpq may read: what it has read then, the socket will not call for again, and
 * when it met the end of the connection, it has closed the socket without a word.
 */
void db_flush(struct db *db)
{
    int left = PQflush(db->conn);
    if (left < 0 || PQstatus(db->conn) == CONNECTION_BAD || PQsocket(db->conn) < 0) {
        db_lose(db, PQerrorMessage(db->conn));
        return;
    }
    watch(db, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    if (!list_is_empty(&db->flights) && !PQisBusy(db->conn))
        timer_start(db->timer, 0, 0);
}

/* ---- connecting ---- */

static void tell_state(struct db *db, bool up)
{
    if (db->on_state != NULL)
        db->on_state(db->arg, up);
}

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
        db_lose(db, PQerrorMessage(db->conn));
        return;
    }
    memset(db->prepared, 0, sizeof(db->prepared));
    db->alive_mono_ms = 0;
    db->state = DB_IS_UP;
    db->retry_ms = RETRY_MIN_MS;
    db->why[0] = '\0';
    watch(db, UV_READABLE);
    tell_state(db, true);
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
        db_lose(db, PQerrorMessage(db->conn));
    }
}

/* Every statement goes by a key or by UNNEST over keys: one plan, made once, and always the loop
 * over the index.  Left to itself, Postgres makes the plan while tables are empty (a scan is
 * cheapest then) and keeps it while they grow.  These discourage; where no index fits, a scan still
 * happens. */
#define PLANS                                                                               \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off " \
    "-c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"

static void connect_now(struct db *db)
{
    /* In front of dbname, which is the whole URL: what the URL says goes. */
    const char *const keys[] = {"application_name", "keepalives", "keepalives_idle",
        "keepalives_interval", "keepalives_count", "tcp_user_timeout", "options", "dbname", NULL};
    const char *const values[] = {
        db->application_name, "1", "10", "5", "3", "15000", PLANS, db->url, NULL};
    db->state = DB_CONNECTING;
    db->generation++;
    db->conn = PQconnectStartParams(keys, values, 1);
    if (db->conn == NULL)
        mem_out();
    if (PQstatus(db->conn) == CONNECTION_BAD) {
        db_lose(db, PQerrorMessage(db->conn));
        return;
    }
    timer_start(db->timer, CONNECT_TIMEOUT_MS, 0);
    watch(db, UV_WRITABLE);
}

static void on_timer(void *arg)
{
    struct db *db = arg;
    if (db->state == DB_CONNECTING)
        db_lose(db, "the server does not answer");
    else if (db->state == DB_IS_DOWN)
        connect_now(db);
    else
        on_ready(db);
}

static void retry_later(struct db *db)
{
    uint16_t dice;
    rng_bytes(&dice, sizeof(dice));
    timer_start(db->timer, db->retry_ms / 2 + db->retry_ms * dice / UINT16_MAX / 2, 0);
    db->retry_ms = db->retry_ms * 2 < RETRY_MAX_MS ? db->retry_ms * 2 : RETRY_MAX_MS;
}

/* ---- losing ---- */

static const char on_purpose[] = "reset by this process";

/* The connection is gone, or was never made. */
void db_lose(struct db *db, const char *why)
{
    bool was_up = db->state == DB_IS_UP;
    bool news = (was_up || db->why[0] == '\0') && why != on_purpose;
    char text[sizeof(db->why)];
    db_one_line(text, sizeof(text), why);
    memcpy(db->why, text, sizeof(text));
    db->state = DB_IS_DOWN;
    db->generation++;
    unwatch(db);
    PQfinish(db->conn);
    db->conn = NULL;
    if (news)
        log_warn("the database cannot be reached, trying on error=%s", LOG_Q(text));
    retry_later(db);
    db_answer_all(db, ERR_DB_DOWN, text);
    if (was_up && !db->freed)
        tell_state(db, false);
}

static void on_ready(struct db *db)
{
    unsigned generation = db->generation;
    if (PQconsumeInput(db->conn) != 1) {
        db_lose(db, PQerrorMessage(db->conn));
        return;
    }
    db_read_results(db);
    if (generation == db->generation)
        db_flush(db);
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
    db->state = DB_IS_DOWN;
    db->generation++;
    timer_free(steal(db->timer));
    unwatch(db);
    PQfinish(steal(db->conn));
    db_answer_all(db, ERR_CANCELED, "the connection is being closed");
    loop_post(db->loop, release, db); /* a caller further up may still look at it */
}

bool db_is_up(const struct db *db)
{
    return db->state == DB_IS_UP;
}

const char *db_why(const struct db *db)
{
    return db->why;
}

void db_reset(struct db *db)
{
    if (db->conn != NULL)
        db_lose(db, on_purpose);
}
