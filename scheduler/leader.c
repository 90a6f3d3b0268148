/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leader.c - elections, the silence of leaders, and their end.
 *
 * Every STAND_MS a standby tries the lock, and asks who leads.  A leader that was killed has lost
 * its session with its sockets, and the lock with the session.  One that is frozen, or cut off, has
 * not: its session is there and says nothing.  So a leader says something at least every
 * HEARTBEAT_MS, Postgres keeps the time of it (pg_stat_activity), and standbys end the session of a
 * holder that has been silent for `leader_silence`: a lease on the database's clock (rule 11) that
 * costs no row.
 *
 * On its own clock the leader knows when its session was there for certain: when the youngest
 * answered batch was sent.  When that is longer ago than the silence, somebody else may lead; what
 * it writes would fail on the epoch, and what needs no write is not said until Postgres has
 * answered again.
 */
#include "scheduler/leader.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "scheduler/loader.h"
#include "scheduler/metric.h"
#include "scheduler/retention.h"

#define TICK_MS      100
#define STAND_MS     100
#define WATCH_MS     500 /* between looks for the silent */
#define HEARTBEAT_MS 250
#define LEAVE_MS     3000 /* for what is under way */
#define ASIDE_MS     3000 /* for a successor to come forward */
#define GIVE_UP      3    /* silences: then a leader that gets no answer connects anew */
#define SAYS_LOADING "stint-scheduler loading"
#define SAYS_LEADING "stint-scheduler leading"

enum leader_state { STANDBY, LOADING, LEADING, LEAVING };

struct leader {
    struct loop *loop;
    const struct scheduler_conf *conf;
    struct serve *serve;
    struct ingest *ingest;
    struct db *db;
    struct store *store;
    struct retention *retention;
    struct core *core;
    struct timer *tick, *election, *leave;
    atomic_bool *ready;
    enum leader_state state;
    uint64_t epoch;
    uint64_t generation; /* answers to an earlier attempt are ignored */
    int64_t watched_mono_ms, said_mono_ms, led_mono_ms;
    bool said_down;
    bool resetting; /* the connection goes because we want it to */

    /* The end of a leadership that was asked for. */
    bool ending;            /* this process is to end: it stands no more */
    bool is_alone;          /* nobody stands by */
    int64_t aside_until;    /* monotonic; until then it does not stand */
    struct bus_call *asked; /* who wants to hear of it, or NULL */
    void (*on_left)(void *arg);
    void *on_left_arg;
};

static const char *own_url(const struct leader *l)
{
    return l->conf->advertise_url != NULL ? l->conf->advertise_url : serve_url(l->serve);
}

/* The generation travels with each question, so that late answers are told apart. */
struct question {
    struct leader *leader;
    uint64_t generation;
};

static void step_down(struct leader *l, enum err code, const char *why);
static void left(struct leader *l);

static void *ask(struct leader *l)
{
    struct question *q = mem_alloc(sizeof(*q));
    *q = (struct question){l, l->generation};
    return q;
}

/* The leader of a question that still matters, else NULL; frees the question. */
static struct leader *answered(void *arg)
{
    scoped_free struct question *q = arg;
    return q->generation == q->leader->generation ? q->leader : NULL;
}

/* ---- the session says that it is there ---- */

static void on_said(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    (void)results;
    (void)n;
    if (l != NULL && code != ERR_OK && l->state != STANDBY)
        step_down(l, code, ctx->text);
}

/* NULL: the same as before. */
static void say(struct leader *l, const char *what)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)l->epoch);
    if (what != NULL) {
        db_batch_add(b, SQL_LEADER_SAY);
        db_add_text(b, what);
    }
    l->said_mono_ms = clock_mono_ms();
    db_send(l->db, b, on_said, ask(l));
}

/* Nobody else can lead yet. */
static bool is_certain(const struct leader *l)
{
    return clock_mono_ms() - db_alive_mono_ms(l->db) <= l->conf->leader_silence_ms;
}

static bool may_speak(void *arg)
{
    return is_certain(arg);
}

static void keep_saying(struct leader *l)
{
    int64_t now = clock_mono_ms(), heard = db_alive_mono_ms(l->db);
    if (now - (heard > l->led_mono_ms ? heard : l->led_mono_ms) >
        GIVE_UP * l->conf->leader_silence_ms)
        step_down(l, ERR_TIMEOUT, "Postgres does not answer, and somebody else may lead by now");
    else if (now - l->said_mono_ms >= HEARTBEAT_MS && db_in_flight(l->db) == 0)
        say(l, NULL);
}

/* ---- to lead ---- */

static void begin_to_lead(struct leader *l)
{
    l->state = LEADING;
    l->led_mono_ms = clock_mono_ms();
    left(l); /* nobody else wanted to */
    say(l, SAYS_LEADING);
    store_lead(l->store, l->core, l->epoch);
    serve_lead(l->serve, l->core, l->epoch, l->db);
    ingest_lead(l->ingest, l->epoch);
    timer_start(l->tick, TICK_MS, TICK_MS);
    METRIC_SET(leading, 1);
    METRIC_SET(epoch, l->epoch);
    struct core_counts n = core_counts(l->core);
    log_info("leading epoch=%llu listen=%s tasks=%zu holding=%zu waiting=%zu cap=%lld",
        (unsigned long long)l->epoch, own_url(l), n.tasks, n.holding, n.waiting,
        (long long)l->conf->cap);
}

static void on_loaded(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    (void)n;
    if (l == NULL)
        return;
    if (code != ERR_OK) {
        step_down(l, code, ctx->text);
        return;
    }
    l->core = loader_read(l->conf, results);
    begin_to_lead(l);
}

static void on_epoch(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l == NULL)
        return;
    if (code != ERR_OK || n < 3) {
        step_down(l, code, ctx->text);
        return;
    }
    l->epoch = (uint64_t)db_int(results[2], 0, 0);
    struct db_batch *b = db_batch_new();
    loader_ask(b, l->epoch);
    db_send(l->db, b, on_loaded, ask(l));
}

/* The lock is ours; a transaction of the one before may hold the epoch yet, for a moment. */
static void raise_epoch(struct leader *l)
{
    timer_stop(l->election);
    l->state = LOADING;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_SAY);
    db_add_text(b, SAYS_LOADING);
    db_batch_add(b, SQL_LEADER_WAIT_AT_MOST);
    db_add_int8(b, l->conf->leader_silence_ms);
    db_batch_add(b, SQL_LEADER_RAISE_EPOCH);
    db_add_text(b, own_url(l));
    db_send(l->db, b, on_epoch, ask(l));
}

/* ---- election ---- */

/* Who leads, as the epoch's row has it; our own old row points nowhere. */
static void learn_leader(struct leader *l, const struct db_result *row)
{
    uint64_t epoch = (uint64_t)db_int(row, 0, 0);
    bool is_ours = epoch == l->epoch;
    serve_set_leader(l->serve, is_ours ? "" : db_text(row, 0, 1));
    if (is_ours)
        return;
    l->aside_until = 0;
    left(l);
}

static void on_lock(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l == NULL)
        return;
    if (code != ERR_OK || n == 0) {
        log_warn("cannot stand for election, trying again in %d ms error=%s", STAND_MS,
            LOG_Q(ctx->text));
        return;
    }
    atomic_store(l->ready, true);
    if (n > 1 && db_bool(results[1], 0, 0))
        raise_epoch(l);
    else
        learn_leader(l, results[0]);
}

static void on_watched(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l != NULL && code != ERR_OK && code != ERR_DB_DOWN)
        log_warn("cannot look for a silent leader error=%s", LOG_Q(ctx->text));
    for (size_t i = 0; code == ERR_OK && n > 0 && i < db_rows(results[0]); i++) {
        METRIC_ADD(silent_ended, 1);
        log_warn("the session of a silent scheduler was ended pid=%lld silent_ms=%lld",
            (long long)db_int(results[0], i, 0), (long long)db_int(results[0], i, 1));
    }
}

/* Whose process says nothing while its session holds what a leader needs. */
static void watch_silent(struct leader *l)
{
    int64_t now = clock_mono_ms();
    if (now - l->watched_mono_ms < WATCH_MS)
        return;
    l->watched_mono_ms = now;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_END_SILENT);
    db_add_int8(b, l->conf->leader_silence_ms);
    db_send(l->db, b, on_watched, ask(l));
}

static void on_election(void *arg)
{
    struct leader *l = arg;
    if (l->state != STANDBY || !db_is_up(l->db) || db_in_flight(l->db) > 0)
        return;
    bool stands = !l->ending && clock_mono_ms() >= l->aside_until;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_FIND);
    if (stands)
        db_batch_add(b, SQL_LEADER_TRY_LOCK);
    db_send(l->db, b, on_lock, ask(l));
    if (stands)
        watch_silent(l);
}

/* Not all standbys at the same moments. */
static void stand(struct leader *l)
{
    uint16_t dice;
    rng_bytes(&dice, sizeof(dice));
    timer_start(l->election, dice % STAND_MS, STAND_MS);
}

static void on_registered(void *arg, enum err code, const struct db_result *const *results,
    size_t n, const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    (void)results;
    (void)n;
    if (l != NULL && code != ERR_OK && code != ERR_DB_DOWN)
        log_warn("others cannot see this scheduler error=%s", LOG_Q(ctx->text));
}

/* The row counts while the session lives. */
static void register_self(struct leader *l)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_SCHEDULER_FORGET_GONE);
    db_batch_add(b, SQL_SCHEDULER_REGISTER);
    db_add_text(b, own_url(l));
    db_add_text(b, STINT_VERSION);
    db_send(l->db, b, on_registered, ask(l));
}

/* ---- the end of a leadership ---- */

static void retire(struct leader *l)
{
    l->state = STANDBY;
    l->generation++;
    METRIC_SET(leading, 0);
    timer_stop(l->tick);
    timer_stop(l->leave);
    ingest_lead(l->ingest, 0);
    store_lead(l->store, NULL, 0);
    serve_set_leader(l->serve, "");
    serve_lead(l->serve, NULL, 0, NULL);
    core_free(l->core);
    l->core = NULL;
    l->resetting = true;
    if (db_is_up(l->db))
        db_reset(l->db); /* gives the lock back */
    l->resetting = false;
    stand(l);
}

static void step_down(struct leader *l, enum err code, const char *why)
{
    if (l->state != STANDBY)
        log_error("stepping down, everything is read again from Postgres code=%s error=%s",
            err_name(code), LOG_Q(why));
    atomic_store(l->ready, false);
    retire(l);
    if (l->ending)
        left(l);
}

static void on_commit_failed(void *arg, enum err code, const char *why)
{
    step_down(arg, code, why);
}

static void on_db_state(void *arg, bool up)
{
    struct leader *l = arg;
    if (up) {
        l->said_down = false;
        register_self(l);
        stand(l);
        return;
    }
    if (l->resetting)
        return;
    if (l->state != STANDBY)
        step_down(l, ERR_DB_DOWN, db_why(l->db));
    else if (!l->said_down)
        log_warn("cannot reach Postgres, trying until it is back error=%s", LOG_Q(db_why(l->db)));
    l->said_down = true;
    atomic_store(l->ready, false);
}

/* ---- the end that was asked for ---- */

/*
 *   LEADING --asked--> LEAVING --what was under way is answered--> aside --another leads--> left
 *
 * Whoever asks from now on is told to ask elsewhere, and does so until somebody leads.
 */
static void begin_to_leave(struct leader *l)
{
    log_info("handing over epoch=%llu", (unsigned long long)l->epoch);
    l->state = LEAVING;
    timer_stop(l->tick);
    serve_close(l->serve);
    timer_start(l->leave, LEAVE_MS, 0);
}

static void step_aside(struct leader *l)
{
    log_debug("what was under way is answered epoch=%llu", (unsigned long long)l->epoch);
    l->aside_until = clock_mono_ms() + ASIDE_MS;
    retire(l);
    timer_start(l->leave, ASIDE_MS, 0);
    if (l->ending && l->is_alone)
        left(l);
}

/* Another one leads, or nobody wants to. */
static void left(struct leader *l)
{
    struct bus_call *asked = l->asked;
    void (*on_left)(void *arg) = l->on_left;
    l->asked = NULL;
    l->on_left = NULL;
    if (asked != NULL || on_left != NULL) {
        timer_stop(l->leave);
        log_info("handed over to=%s",
            serve_leader(l->serve)[0] != '\0' ? serve_leader(l->serve) : "nobody");
    }
    if (asked != NULL)
        bus_reply_status(asked, REFUSAL_NONE, serve_leader(l->serve));
    if (on_left != NULL)
        on_left(l->on_left_arg);
}

static void on_leave_timer(void *arg)
{
    struct leader *l = arg;
    if (l->state == LEAVING)
        step_aside(l); /* what is not answered yet is asked again elsewhere */
    else if (l->state == LEADING)
        begin_to_leave(l); /* Postgres did not say who stands by */
    else
        left(l);
}

static void on_others(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    (void)ctx;
    if (l == NULL || l->state != LEADING)
        return;
    l->is_alone = code == ERR_OK && n > 0 && db_int(results[0], 0, 0) == 0;
    begin_to_leave(l);
}

void leader_end(struct leader *l, void (*on_left)(void *arg), void *arg)
{
    l->ending = true;
    l->on_left = on_left;
    l->on_left_arg = arg;
    if (l->state == LOADING)
        retire(l);
    if (l->state == STANDBY) {
        left(l);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_SCHEDULER_OTHERS);
    db_add_text(b, own_url(l));
    db_send(l->db, b, on_others, ask(l));
    timer_start(l->leave, LEAVE_MS, 0);
}

static void on_audited(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    (void)ctx;
    if (l == NULL || l->asked == NULL)
        return;
    if (code == ERR_OK && l->state == LEADING && n > 1 && db_affected(results[1]) > 0) {
        begin_to_leave(l);
        return;
    }
    bus_reply_status(steal(l->asked), code == ERR_OK ? REFUSAL_NO_STANDBY : REFUSAL_STORE_DOWN, "");
}

/* The request may come again, to whoever leads by then: it says which leadership is meant. */
static void on_step_down(void *arg, struct bus_call *call, const Stint__V1__Envelope *request)
{
    struct leader *l = arg;
    const Stint__V1__SchedulerStepDown *m = request->scheduler_step_down;
    struct uuid initiator;
    if (!wire_get_uuid(&m->initiator_id, &initiator) || uuid_is_nil(&initiator)) {
        bus_reply_status(call, REFUSAL_MALFORMED, "SchedulerStepDown lacks an id");
        return;
    }
    if (m->epoch != l->epoch || l->asked != NULL) {
        bus_reply_status(call, m->epoch != l->epoch ? REFUSAL_NONE : REFUSAL_OVERLOADED, "");
        return;
    }
    l->asked = call;
    const Stint__V1__Origin none = STINT__V1__ORIGIN__INIT;
    const Stint__V1__Origin *from = request->origin != NULL ? request->origin : &none;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)l->epoch);
    db_batch_add(b, SQL_SCHEDULER_AUDIT_STEP_DOWN);
    db_add_text(b, own_url(l));
    db_add_uuid(b, &initiator);
    db_add_text(b, from->ip);
    db_add_text(b, from->user_agent);
    db_add_text(b, from->request_id);
    db_send(l->db, b, on_audited, ask(l));
}

/* ---- while leading ---- */

static void show_counts(const struct leader *l)
{
    struct core_counts n = core_counts(l->core);
    METRIC_SET(tasks, n.tasks);
    METRIC_SET(holding, n.holding);
    METRIC_SET(cap, n.cap);
    METRIC_SET(waiting, n.waiting);
    METRIC_SET(workers, n.workers);
    METRIC_SET(jobs_running, n.jobs_running);
    METRIC_SET(stale_results, n.stale_results);
    METRIC_SET(leases_lost, n.leases_lost);
    METRIC_SET(retries, n.retries);
    METRIC_SET(jobs_dead, n.dead);
    METRIC_SET(jobs_revived, n.revived);
    METRIC_SET(made_room, n.made_room);
    METRIC_SET(auto_paused, n.auto_paused);
    METRIC_SET(time_limited, n.time_limited);
    METRIC_SET(sleeping, n.sleeping);
    METRIC_SET(messages_waiting, n.messages);
    METRIC_SET(messages_delivered, n.delivered);
}

static void on_tick(void *arg)
{
    struct leader *l = arg;
    core_set_now(l->core, clock_mono_ms());
    core_tick(l->core);
    keep_saying(l);
    if (l->state != LEADING)
        return;
    show_counts(l);
    retention_tick(l->retention, l->epoch, clock_mono_ms());
}

/* A turn of the loop: what arrived becomes one batch, if none is on its way. */
static void on_turn(void *arg)
{
    struct leader *l = arg;
    if ((l->state != LEADING && l->state != LEAVING) || !is_certain(l))
        return;
    core_set_now(l->core, clock_mono_ms());
    store_kick(l->store);
    if (l->state == LEAVING && store_is_idle(l->store) && db_in_flight(l->db) == 0)
        step_aside(l);
}

void leader_conf_changed(struct leader *l)
{
    if (l->core == NULL)
        return;
    struct core_conf conf = loader_core_conf(l->conf);
    core_set_conf(l->core, &conf);
}

void leader_agents_said(struct leader *l, const struct agent_said *events, size_t n)
{
    if (l->state != LEADING)
        return;
    core_set_now(l->core, clock_mono_ms());
    for (size_t i = 0; i < n; i++) {
        const struct agent_said *e = &events[i];
        if (e->health != NULL)
            core_agent_health(l->core, &e->agent_id, e->slug, e->health);
        else
            core_agent_said(l->core, &e->agent_id, e->state, e->lifecycle);
    }
}

/* ---- life ---- */

struct leader *leader_new(struct loop *loop, const struct scheduler_conf *conf, struct serve *serve,
    struct feed_writer *feed, struct ingest *ingest, atomic_bool *ready)
{
    struct leader *l = mem_alloc(sizeof(*l));
    *l = (struct leader){
        .loop = loop, .conf = conf, .serve = serve, .ingest = ingest, .ready = ready};
    l->db = db_new(loop, conf->database_url, "stint-scheduler", on_db_state, l);
    l->retention = retention_new(loop, conf);
    l->store = store_new(l->db, feed, serve, on_commit_failed, l);
    l->tick = timer_new(loop, on_tick, l);
    l->election = timer_new(loop, on_election, l);
    l->leave = timer_new(loop, on_leave_timer, l);
    serve_ask_leader(serve, &(struct serve_leader){may_speak, on_step_down, l});
    stand(l);
    loop_on_turn(loop, on_turn, l);
    return l;
}

void leader_free(struct leader *l)
{
    if (l == NULL)
        return;
    loop_on_turn(l->loop, NULL, NULL);
    l->generation++;
    serve_lead(l->serve, NULL, 0, NULL);
    store_lead(l->store, NULL, 0);
    db_free(l->db);
    store_free(l->store);
    retention_free(l->retention);
    core_free(l->core);
    timer_free(l->tick);
    timer_free(l->election);
    timer_free(l->leave);
    free(l);
}
