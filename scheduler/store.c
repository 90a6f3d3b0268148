/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - a batch as one pipelined transaction.
 *
 *   assert epoch | inserts | fenced updates | reads for what will be said      one sync, one commit
 *        committed ─> tokens counted ─> replies, dispatches, "changed"
 *
 * Rows go column by column into arrays, one statement per kind of row (sql/query/store.sql).
 */
#include "scheduler/store.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "scheduler/metric.h"

struct store {
    struct db *db;
    struct kv *kv;
    struct serve *serve;
    void (*on_failed)(void *arg, enum err code, const char *why);
    void *arg;
    struct core *core;
    uint64_t epoch;
    uint64_t generation; /* of leadership; a batch of an older one is disowned */
    bool in_flight;
    struct effects batch; /* the one in flight */
    int64_t sent_us;
};

/* What the callback needs to read the answer. */
struct sent {
    struct store *store;
    uint64_t generation;
    size_t n_statements, n_rows;
    int at_jobs, at_prompts, at_agents; /* statement numbers, -1: none */
};

struct store *store_new(struct db *db, struct kv *kv, struct serve *serve,
    void (*on_failed)(void *arg, enum err code, const char *why), void *arg)
{
    struct store *s = mem_alloc(sizeof(*s));
    *s = (struct store){.db = db, .kv = kv, .serve = serve, .on_failed = on_failed, .arg = arg};
    return s;
}

void store_free(struct store *s)
{
    if (s == NULL)
        return;
    effects_done(&s->batch);
    free(s);
}

void store_lead(struct store *s, struct core *core, uint64_t epoch)
{
    s->core = core;
    s->epoch = epoch;
    s->generation++;
    s->in_flight = false;
    effects_clear(&s->batch);
}

/* ---- rows to arrays ---- */

/* One column: COLUMN(b, DB_UUID, uuid, rows, &row->id) fills an array from every row. */
#define COLUMN(b, type, kind, rows, value)              \
    do {                                                \
        struct db_array *a_ = db_array_new(type);       \
        for (size_t i_ = 0; i_ < (rows)->n; i_++) {     \
            __typeof__((rows)->v) row = &(rows)->v[i_]; \
            db_array_##kind(a_, (value));               \
        }                                               \
        db_add_array(b, a_);                            \
    } while (0)

static void add_tasks(struct db_batch *b, const struct effects *e)
{
    if (e->tasks_new.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_TASKS);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->organization_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->owner_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->workspace_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->tasks_new, row->name);
    COLUMN(b, DB_TEXT, text, &e->tasks_new, row->display_name);
    COLUMN(b, DB_TEXT, text, &e->tasks_new, row->prompt);
}

/* Each new task has its first build in the same batch; find both in step. */
static void add_workspaces(struct db_batch *b, const struct effects *e)
{
    if (e->tasks_new.n == 0)
        return;
    struct db_array *builds = db_array_new(DB_UUID), *agents = db_array_new(DB_UUID);
    for (size_t i = 0, k = 0; i < e->tasks_new.n; i++, k++) {
        while (!uuid_eq(&e->builds_new.v[k].task_id, &e->tasks_new.v[i].id))
            k++;
        db_array_uuid(builds, &e->builds_new.v[k].id);
        db_array_uuid(agents, &e->builds_new.v[k].agent_id);
    }
    db_batch_add(b, SQL_STORE_INSERT_WORKSPACES);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->workspace_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->organization_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->owner_id);
    COLUMN(b, DB_UUID, uuid, &e->tasks_new, &row->template_id);
    db_add_array(b, builds);
    db_add_array(b, agents);
    COLUMN(b, DB_TEXT, text, &e->tasks_new, row->name);
    COLUMN(b, DB_TEXT, text, &e->tasks_new, row->provisioner);
}

static void add_builds(struct db_batch *b, const struct effects *e)
{
    if (e->builds_new.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_BUILDS);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->workspace_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->initiator_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->version_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->job_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->agent_id);
    COLUMN(b, DB_INT4, int4, &e->builds_new, row->number);
    COLUMN(b, DB_TEXT, text, &e->builds_new, job_kind_name(row->kind));
    COLUMN(b, DB_TEXT, text, &e->builds_new, row->reason);

    db_batch_add(b, SQL_STORE_INSERT_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->job_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->organization_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->initiator_id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->builds_new, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->builds_new, job_kind_name(row->kind));
    COLUMN(b, DB_TEXT, text, &e->builds_new, job_state_name(row->job_state));
    COLUMN(b, DB_TEXT, text, &e->builds_new, row->provisioner);
    COLUMN(b, DB_INT4, int4, &e->builds_new, row->priority);
    COLUMN(b, DB_BOOL, bool, &e->builds_new, row->holds_compute);
}

static void add_agents(struct db_batch *b, const struct effects *e)
{
    VEC(struct row_build_new) with_agent = {0};
    for (size_t i = 0; i < e->builds_new.n; i++)
        if (!uuid_is_nil(&e->builds_new.v[i].agent_id))
            *vec_push(&with_agent) = e->builds_new.v[i];
    if (with_agent.n > 0) {
        db_batch_add(b, SQL_STORE_INSERT_AGENTS);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->agent_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->task_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->workspace_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->agent_token);

        db_batch_add(b, SQL_STORE_INSERT_APPS);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->app_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->agent_id);
        COLUMN(b, DB_TEXT, text, &with_agent, row->app_slug);
    }
    vec_done(&with_agent);
}

static void add_jobs_new(struct db_batch *b, const struct effects *e)
{
    if (e->jobs_new.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->organization_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->initiator_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->build_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->jobs_new, job_kind_name(row->kind));
    COLUMN(b, DB_TEXT, text, &e->jobs_new, ((void)row, "pending"));
    COLUMN(b, DB_TEXT, text, &e->jobs_new, row->provisioner);
    COLUMN(b, DB_INT4, int4, &e->jobs_new, ((void)row, 0));
    COLUMN(b, DB_BOOL, bool, &e->jobs_new, ((void)row, false));
}

static void add_jobs(struct db_batch *b, const struct effects *e)
{
    db_batch_add(b, SQL_STORE_UPDATE_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs, &row->worker_id);
    COLUMN(b, DB_TEXT, text, &e->jobs, job_state_name(row->state));
    COLUMN(b, DB_INT8, int8, &e->jobs, row->token);
    COLUMN(b, DB_INT8, int8, &e->jobs, row->token_was);
    COLUMN(b, DB_INT4, int4, &e->jobs, row->attempt);
    COLUMN(b, DB_BOOL, bool, &e->jobs, row->holds_compute);
    COLUMN(b, DB_BOOL, bool, &e->jobs, row->cancel_requested);
    COLUMN(b, DB_TEXT, text, &e->jobs, row->error);
}

static void add_workspace_changes(struct db_batch *b, const struct effects *e)
{
    if (e->workspaces.n == 0)
        return;
    db_batch_add(b, SQL_STORE_UPDATE_WORKSPACES);
    COLUMN(b, DB_UUID, uuid, &e->workspaces, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->workspaces, &row->latest_build_id);
    COLUMN(b, DB_UUID, uuid, &e->workspaces, &row->latest_agent_id);
    COLUMN(b, DB_INT4, int4, &e->workspaces, row->build_number);
    COLUMN(b, DB_TEXT, text, &e->workspaces, row->host);
    COLUMN(b, DB_BOOL, bool, &e->workspaces, row->deleted);
}

static void add_task_changes(struct db_batch *b, const struct effects *e)
{
    struct db_array *deleted = NULL;
    for (size_t i = 0; i < e->tasks.n; i++) {
        const struct row_task_change *t = &e->tasks.v[i];
        if (t->prompt != NULL) {
            db_batch_add(b, SQL_STORE_UPDATE_PROMPT);
            db_add_uuid(b, &t->id);
            db_add_text(b, t->prompt);
        }
        if (t->deleted) {
            if (deleted == NULL)
                deleted = db_array_new(DB_UUID);
            db_array_uuid(deleted, &t->id);
        }
    }
    if (deleted != NULL) {
        db_batch_add(b, SQL_STORE_DELETE_TASKS);
        db_add_array(b, deleted);
    }
}

static void add_versions(struct db_batch *b, const struct effects *e)
{
    for (size_t i = 0; i < e->versions.n; i++) {
        db_batch_add(b, SQL_STORE_FINISH_VERSION);
        db_add_uuid(b, &e->versions.v[i].id);
        db_add_bool(b, e->versions.v[i].has_ai_task);
        db_add_text(b, e->versions.v[i].app_slug != NULL ? e->versions.v[i].app_slug : "");
    }
}

static void add_workers(struct db_batch *b, const struct effects *e)
{
    if (e->workers.n == 0)
        return;
    db_batch_add(b, SQL_STORE_UPSERT_WORKERS);
    COLUMN(b, DB_UUID, uuid, &e->workers, &row->id);
    COLUMN(b, DB_TEXT, text, &e->workers, row->name);
    COLUMN(b, DB_TEXT, text, &e->workers, row->host);
    COLUMN(b, DB_TEXT, text, &e->workers, row->version);
    COLUMN(b, DB_TEXT, text, &e->workers, row->state);
    COLUMN(b, DB_TEXT, text, &e->workers, row->provisioners);
    COLUMN(b, DB_INT4, int4, &e->workers, row->slots);
    COLUMN(b, DB_INT8, int8, &e->workers, row->lease_left_ms);
}

static void add_statuses(struct db_batch *b, const struct effects *e)
{
    if (e->statuses.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_STATUSES);
    COLUMN(b, DB_UUID, uuid, &e->statuses, &row->agent_id);
    COLUMN(b, DB_INT8, int8, &e->statuses, row->seq);
    COLUMN(b, DB_TEXT, text, &e->statuses, row->slug);
    COLUMN(b, DB_TEXT, text, &e->statuses, row->state);
    COLUMN(b, DB_TEXT, text, &e->statuses, row->message);
    COLUMN(b, DB_TEXT, text, &e->statuses, row->uri);
}

static void add_logs(struct db_batch *b, const struct effects *e)
{
    if (e->logs.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_LOGS);
    COLUMN(b, DB_UUID, uuid, &e->logs, &row->job_id);
    COLUMN(b, DB_INT8, int8, &e->logs, row->id);
    COLUMN(b, DB_INT8, int8, &e->logs, row->at_us);
    COLUMN(b, DB_TEXT, text, &e->logs, row->level);
    COLUMN(b, DB_TEXT, text, &e->logs, row->stage);
    COLUMN(b, DB_TEXT, text, &e->logs, row->output);
}

static void add_audits(struct db_batch *b, const struct effects *e)
{
    if (e->audits.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_AUDITS);
    COLUMN(b, DB_UUID, uuid, &e->audits, &row->actor_id);
    COLUMN(b, DB_UUID, uuid, &e->audits, &row->resource_id);
    COLUMN(b, DB_TEXT, text, &e->audits, row->action);
    COLUMN(b, DB_TEXT, text, &e->audits, row->resource_type);
}

/* ---- reads for what will be said ---- */

static int add_prompts(struct db_batch *b, const struct effects *e)
{
    struct db_array *ids = NULL;
    for (size_t i = 0; i < e->dispatches.n; i++) {
        const struct work *w = &e->dispatches.v[i].work;
        for (size_t k = 0; k < w->jobs.n; k++) {
            if (!w->jobs.v[k].wants_prompt)
                continue;
            if (ids == NULL)
                ids = db_array_new(DB_UUID);
            db_array_uuid(ids, &w->jobs.v[k].task_id);
        }
    }
    if (ids == NULL)
        return -1;
    db_batch_add(b, SQL_STORE_READ_PROMPTS);
    db_add_array(b, ids);
    return (int)db_batch_count(b) - 1;
}

static int add_opened(struct db_batch *b, const struct effects *e)
{
    struct db_array *ids = NULL;
    for (size_t i = 0; i < e->replies.n; i++) {
        if (uuid_is_nil(&e->replies.v[i].watermark_of))
            continue;
        if (ids == NULL)
            ids = db_array_new(DB_UUID);
        db_array_uuid(ids, &e->replies.v[i].watermark_of);
    }
    if (ids == NULL)
        return -1;
    db_batch_add(b, SQL_STORE_OPEN_AGENTS);
    db_add_array(b, ids);
    return (int)db_batch_count(b) - 1;
}

/* ---- release ---- */

static void publish_changed(struct store *s, const struct effects *e)
{
    if (e->changed.n == 0 || !kv_is_up(s->kv))
        return;
    const char *argv[] = {"PUBLISH", "stint:changed", (const char *)e->changed.v};
    size_t lens[] = {7, 13, e->changed.n * sizeof(*e->changed.v)};
    kv_command(s->kv, NULL, NULL, COUNT(argv), argv, lens);
}

static uint64_t watermark_of(const struct db_result *r, const struct uuid *id)
{
    for (size_t i = 0; r != NULL && i < db_rows(r); i++) {
        struct uuid row = db_uuid(r, i, 0);
        if (uuid_eq(&row, id))
            return (uint64_t)db_int(r, i, 1);
    }
    return 0;
}

static void release(struct store *s, const struct effects *e, const struct db_result *prompts,
    const struct db_result *agents)
{
    for (size_t i = 0; i < e->replies.n; i++)
        serve_reply(
            s->serve, &e->replies.v[i], watermark_of(agents, &e->replies.v[i].watermark_of));
    serve_dispatches(s->serve, e, s->epoch, prompts);
    publish_changed(s, e);
}

static void fail(struct store *s, enum err code, const char *why)
{
    METRIC_ADD(commit_failures, 1);
    /* A refused statement would be refused again: say no to those who asked for it.  After a lost
     * connection everybody may ask again (handlers are idempotent). */
    if (code != ERR_DB_DOWN && code != ERR_STALE_EPOCH)
        for (size_t i = 0; i < s->batch.replies.n; i++)
            serve_refuse(s->serve, s->batch.replies.v[i].ticket, REFUSAL_STORE_DOWN, why);
    s->on_failed(s->arg, code, why);
}

static void on_done(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    scoped_free struct sent *sent = arg;
    struct store *s = sent->store;
    if (sent->generation != s->generation)
        return; /* of an earlier leadership */
    s->in_flight = false;
    if (code != ERR_OK) {
        fail(s, code, ctx->text);
        return;
    }
    if (sent->at_jobs >= 0 && db_affected(results[sent->at_jobs]) != (int64_t)s->batch.jobs.n) {
        fail(s, ERR_STALE_EPOCH, "a job's token in Postgres is not the one in memory");
        return;
    }
    (void)n;
    METRIC_ADD(commits, 1);
    METRIC_ADD(commit_rows, sent->n_rows);
    METRIC_ADD(commit_us, clock_mono_us() - s->sent_us);
    release(s, &s->batch, sent->at_prompts >= 0 ? results[sent->at_prompts] : NULL,
        sent->at_agents >= 0 ? results[sent->at_agents] : NULL);
    effects_clear(&s->batch);
    store_kick(s); /* what gathered meanwhile */
}

static struct db_batch *pack(struct store *s, struct sent *sent)
{
    const struct effects *e = &s->batch;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)s->epoch);
    add_tasks(b, e);
    add_workspaces(b, e);
    add_builds(b, e);
    add_agents(b, e);
    add_jobs_new(b, e);
    sent->at_jobs = -1;
    if (e->jobs.n > 0) {
        sent->at_jobs = (int)db_batch_count(b);
        add_jobs(b, e);
    }
    add_workspace_changes(b, e);
    add_task_changes(b, e);
    add_versions(b, e);
    add_workers(b, e);
    add_statuses(b, e);
    add_logs(b, e);
    add_audits(b, e);
    sent->at_prompts = add_prompts(b, e);
    sent->at_agents = add_opened(b, e);
    sent->n_rows = e->tasks_new.n * 2 + e->builds_new.n * 2 + e->jobs.n + e->workspaces.n;
    return b;
}

void store_kick(struct store *s)
{
    if (s->in_flight || s->core == NULL)
        return;
    core_set_now(s->core, clock_mono_ms());
    core_take_effects(s->core, &s->batch);
    if (effects_are_empty(&s->batch))
        return;
    struct sent *sent = mem_alloc(sizeof(*sent));
    *sent = (struct sent){.store = s, .generation = s->generation};
    struct db_batch *b = pack(s, sent);
    if (!effects_have_rows(&s->batch) && db_batch_count(b) == 1) {
        /* Nothing to write or read: nothing to wait for. */
        db_batch_free(b);
        free(sent);
        release(s, &s->batch, NULL, NULL);
        effects_clear(&s->batch);
        return;
    }
    s->in_flight = true;
    s->sent_us = clock_mono_us();
    db_send(s->db, b, on_done, sent);
}
