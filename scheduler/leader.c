/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/leader.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "scheduler/metric.h"
#include "scheduler/retention.h"

#define TICK_MS     100
#define ELECTION_MS 500

enum leader_state { STANDBY, LOADING, LEADING };

struct leader {
    struct loop *loop;
    const struct scheduler_conf *conf;
    struct serve *serve;
    struct ingest *ingest;
    struct db *db;
    struct store *store;
    struct retention *retention;
    struct core *core;
    struct timer *tick, *election;
    atomic_bool *ready;
    enum leader_state state;
    uint64_t epoch;
    uint64_t generation; /* answers to an earlier attempt are ignored */
    bool said_down;
};

/* The generation travels with each question, so that late answers are told apart. */
struct question {
    struct leader *leader;
    uint64_t generation;
};

static void step_down(struct leader *l, enum err code, const char *why);

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

/* ---- loading ---- */

static struct core_conf core_conf_of(const struct scheduler_conf *c)
{
    return (struct core_conf){.cap = c->cap,
        .queue_max = c->queue_max,
        .lease_ms = c->lease_ms,
        .heartbeat_ms = c->heartbeat_ms,
        .attempts_max = c->attempts_max,
        .retry_ms = c->retry_ms,
        .make_room = c->make_room != 0,
        .make_room_grace_ms = c->make_room_grace_ms,
        .cap_policy = strcmp(c->cap_policy, "reject") == 0 ? CAP_REJECT : CAP_QUEUE,
        .random = rng_bytes};
}

static enum job_kind kind_of(const char *name)
{
    for (int k = JOB_START; k <= JOB_IMPORT; k++)
        if (strcmp(job_kind_name((enum job_kind)k), name) == 0)
            return (enum job_kind)k;
    return JOB_STOP;
}

static void load_workers(struct leader *l, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct uuid id = db_uuid(r, i, 0);
        core_load_worker(
            l->core, &id, db_text(r, i, 1), db_text(r, i, 2), db_text(r, i, 3), db_int(r, i, 4));
    }
}

static const char *text_or_null(const struct db_result *r, size_t row, int col)
{
    return db_is_null(r, row, col) ? NULL : db_text(r, row, col);
}

static void load_tasks(struct leader *l, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_task t = {.id = db_uuid(r, i, 0),
            .organization_id = db_uuid(r, i, 1),
            .owner_id = db_uuid(r, i, 2),
            .template_id = db_uuid(r, i, 3),
            .version_id = db_uuid(r, i, 4),
            .workspace_id = db_uuid(r, i, 5),
            .file_id = db_uuid(r, i, 6),
            .build_id = db_uuid(r, i, 7),
            .job_id = db_uuid(r, i, 8),
            .worker_id = db_uuid(r, i, 9),
            .agent_id = db_uuid(r, i, 10),
            .agent_token = db_uuid(r, i, 11),
            .name = db_text(r, i, 12),
            .provisioner = db_text(r, i, 13),
            .app_slug = db_text(r, i, 14),
            .owner_name = db_text(r, i, 15),
            .template_name = db_text(r, i, 16),
            .host = text_or_null(r, i, 17),
            .app_state = text_or_null(r, i, 18),
            .lifecycle = text_or_null(r, i, 19),
            .error = db_text(r, i, 20),
            .build_number = (int32_t)db_int(r, i, 21),
            .priority = (int32_t)db_int(r, i, 22),
            .attempt = (int32_t)db_int(r, i, 23),
            .token = db_int(r, i, 24),
            .kind = kind_of(db_text(r, i, 25)),
            .deleted = db_bool(r, i, 27),
            .holds_compute = db_bool(r, i, 28),
            .cancel_requested = db_bool(r, i, 29),
            .status_seq = db_int(r, i, 30),
            .app_health = text_or_null(r, i, 31),
            .ttl_ms = db_int(r, i, 32),
            .activity_bump_ms = db_int(r, i, 33),
            .has_deadline = !db_is_null(r, i, 34),
            .deadline_left_ms = db_int(r, i, 34),
            .message_seq = db_int(r, i, 35),
            .revision = db_int(r, i, 40),
            .start_after_us = db_is_null(r, i, 36) ? 0 : db_time_us(r, i, 36),
            .time_limit_ms = db_int(r, i, 37),
            .ran_ms = db_int(r, i, 38),
            .has_parameters = db_bool(r, i, 39)};
        if (job_state_parse(db_text(r, i, 26), &t.state))
            core_load_task(l->core, &t);
    }
}

static void load_messages(struct leader *l, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_message m = {.id = db_uuid(r, i, 0),
            .task_id = db_uuid(r, i, 1),
            .seq = db_int(r, i, 2),
            .bytes = (size_t)db_int(r, i, 3)};
        core_load_message(l->core, &m);
    }
}

static void load_imports(struct leader *l, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_import m = {.job_id = db_uuid(r, i, 0),
            .version_id = db_uuid(r, i, 1),
            .organization_id = db_uuid(r, i, 2),
            .file_id = db_uuid(r, i, 3),
            .worker_id = db_uuid(r, i, 4),
            .provisioner = db_text(r, i, 5),
            .token = db_int(r, i, 7),
            .attempt = (int32_t)db_int(r, i, 8)};
        if (job_state_parse(db_text(r, i, 6), &m.state))
            core_load_import(l->core, &m);
    }
}

static void begin_to_lead(struct leader *l)
{
    l->state = LEADING;
    store_lead(l->store, l->core, l->epoch);
    serve_lead(l->serve, l->core, l->epoch, l->db);
    ingest_lead(l->ingest, l->epoch);
    timer_start(l->tick, TICK_MS, TICK_MS);
    METRIC_SET(leading, 1);
    METRIC_SET(epoch, l->epoch);
    struct core_counts n = core_counts(l->core);
    log_info("leading epoch=%llu listen=%s tasks=%zu holding=%zu waiting=%zu cap=%lld",
        (unsigned long long)l->epoch, serve_url(l->serve), n.tasks, n.holding, n.waiting,
        (long long)l->conf->cap);
}

static void on_loaded(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l == NULL)
        return;
    if (code != ERR_OK) {
        step_down(l, code, ctx->text);
        return;
    }
    (void)n;
    struct core_conf conf = core_conf_of(l->conf);
    l->core = core_new(&conf);
    core_set_now(l->core, clock_mono_ms());
    load_workers(l, results[3]);
    load_tasks(l, results[4]);
    load_messages(l, results[5]);
    load_imports(l, results[6]);
    core_load_done(l->core);
    begin_to_lead(l);
}

static void load(struct leader *l)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)l->epoch);
    db_batch_add(b, SQL_LOAD_PLAN_FOR_ALL);
    db_batch_add(b, SQL_LOAD_DROP_STRAYS);
    db_batch_add(b, SQL_LOAD_WORKERS);
    db_batch_add(b, SQL_LOAD_TASKS);
    db_batch_add(b, SQL_LOAD_MESSAGES);
    db_batch_add(b, SQL_LOAD_IMPORTS);
    db_send(l->db, b, on_loaded, ask(l));
}

/* ---- election ---- */

static void on_epoch(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l == NULL)
        return;
    if (code != ERR_OK || n == 0) {
        step_down(l, code, ctx->text);
        return;
    }
    l->epoch = (uint64_t)db_int(results[0], 0, 0);
    load(l);
}

static void on_lock(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct leader *l = answered(arg);
    if (l == NULL)
        return;
    if (code != ERR_OK || n < 2) {
        log_warn("cannot stand for election, trying again in %d ms error=%s", ELECTION_MS,
            LOG_Q(ctx->text));
        return;
    }
    atomic_store(l->ready, true);
    if (!db_bool(results[0], 0, 0)) {
        serve_set_leader(l->serve, db_text(results[1], 0, 1));
        return;
    }
    timer_stop(l->election);
    l->state = LOADING;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_RAISE_EPOCH);
    db_add_text(b, serve_url(l->serve));
    db_send(l->db, b, on_epoch, ask(l));
}

static void on_election(void *arg)
{
    struct leader *l = arg;
    if (l->state != STANDBY || !db_is_up(l->db) || db_in_flight(l->db) > 0)
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_TRY_LOCK);
    db_batch_add(b, SQL_LEADER_FIND);
    db_send(l->db, b, on_lock, ask(l));
}

/* ---- the end of a leadership ---- */

static void step_down(struct leader *l, enum err code, const char *why)
{
    if (l->state != STANDBY)
        log_error("stepping down, everything is read again from Postgres code=%s error=%s",
            err_name(code), LOG_Q(why));
    l->state = STANDBY;
    l->generation++;
    atomic_store(l->ready, false);
    METRIC_SET(leading, 0);
    timer_stop(l->tick);
    ingest_lead(l->ingest, 0);
    store_lead(l->store, NULL, 0);
    serve_set_leader(l->serve, "");
    serve_lead(l->serve, NULL, 0, NULL);
    core_free(l->core);
    l->core = NULL;
    if (db_is_up(l->db))
        db_reset(l->db); /* gives the lock back */
    timer_start(l->election, ELECTION_MS, ELECTION_MS);
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
        on_election(l);
        return;
    }
    if (l->state != STANDBY)
        step_down(l, ERR_DB_DOWN, db_why(l->db));
    else if (!l->said_down)
        log_warn("cannot reach Postgres, trying until it is back error=%s", LOG_Q(db_why(l->db)));
    l->said_down = true;
    atomic_store(l->ready, false);
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
    show_counts(l);
    retention_tick(l->retention, l->epoch, clock_mono_ms());
}

/* A turn of the loop: what arrived becomes one batch, if none is on its way. */
static void on_turn(void *arg)
{
    struct leader *l = arg;
    if (l->state != LEADING)
        return;
    core_set_now(l->core, clock_mono_ms());
    store_kick(l->store);
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
    l->retention = retention_new(conf, l->db);
    l->store = store_new(l->db, feed, serve, on_commit_failed, l);
    l->tick = timer_new(loop, on_tick, l);
    l->election = timer_new(loop, on_election, l);
    timer_start(l->election, ELECTION_MS, ELECTION_MS);
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
    free(l);
}
