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
#include "scheduler/store_job.h"
#include "scheduler/store_row.h"
#include "scheduler/work_message.h"

struct store {
    struct db *db;
    struct feed_writer *feed;
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
    int at_jobs, at_apps, at_messages, at_starts, at_leases,
        at_imports; /* statement numbers, -1: none */
    int at_prompts, at_parameters, at_facts, at_contents, at_agents, at_states, at_commands;
};

struct store *store_new(struct db *db, struct feed_writer *feed, struct serve *serve,
    void (*on_failed)(void *arg, enum err code, const char *why), void *arg)
{
    struct store *s = mem_alloc(sizeof(*s));
    *s = (struct store){.db = db, .feed = feed, .serve = serve, .on_failed = on_failed, .arg = arg};
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
    feed_writer_begin(s->feed, epoch);
}

/* ---- rows to arrays ---- */

/* Names with their texts, and whose they are. */
struct text_columns {
    struct db_array *of, *names, *values;
};

static struct text_columns text_columns_new(void)
{
    return (struct text_columns){
        db_array_new(DB_UUID), db_array_new(DB_TEXT), db_array_new(DB_TEXT)};
}

static void put_texts(struct text_columns *c, const struct effects *e, const struct uuid *of,
    const struct text_range *range)
{
    for (size_t i = range->at; i < range->at + range->n; i++) {
        db_array_uuid(c->of, of);
        db_array_text(c->names, e->texts.v[i].name);
        db_array_text(c->values, e->texts.v[i].value);
    }
}

static void add_texts(struct db_batch *b, const struct text_columns *c)
{
    db_add_array(b, c->of);
    db_add_array(b, c->names);
    db_add_array(b, c->values);
}

typedef VEC(const struct row_task_new *) task_row_vec;

static void add_task_columns(struct db_batch *b, const task_row_vec *rows)
{
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->id);
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->organization_id);
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->owner_id);
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->workspace_id);
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->version_id);
    COLUMN(b, DB_TEXT, text, rows, (*row)->name);
    COLUMN(b, DB_TEXT, text, rows, (*row)->display_name);
    COLUMN(b, DB_TEXT, text, rows, (*row)->prompt);
}

static void add_tasks_with_options(
    struct db_batch *b, const struct effects *e, const task_row_vec *rows)
{
    struct text_columns parameters = text_columns_new(), labels = text_columns_new();
    for (size_t i = 0; i < rows->n; i++) {
        put_texts(&parameters, e, &rows->v[i]->id, &rows->v[i]->parameters);
        put_texts(&labels, e, &rows->v[i]->id, &rows->v[i]->labels);
    }
    db_batch_add(b, SQL_STORE_INSERT_TASKS_WITH_OPTIONS);
    add_task_columns(b, rows);
    COLUMN(b, DB_UUID, uuid, rows, &(*row)->preset_id);
    COLUMN(b, DB_INT4, int4, rows, (*row)->priority);
    COLUMN(b, DB_TIME, time, rows, (*row)->start_after_us);
    COLUMN(b, DB_INT8, int8, rows, (*row)->time_limit_ms);
    add_texts(b, &parameters);
    add_texts(b, &labels);
}

static void add_tasks(struct db_batch *b, const struct effects *e)
{
    task_row_vec plain = {0}, special = {0};
    for (size_t i = 0; i < e->tasks_new.n; i++) {
        const struct row_task_new *t = &e->tasks_new.v[i];
        *vec_push(t->has_options ? &special : &plain) = t;
    }
    if (plain.n > 0) {
        db_batch_add(b, SQL_STORE_INSERT_TASKS);
        add_task_columns(b, &plain);
    }
    if (special.n > 0)
        add_tasks_with_options(b, e, &special);
    vec_done(&plain);
    vec_done(&special);
}

static bool sets(const struct row_task_options *o, enum task_option option)
{
    return (o->set & 1u << option) != 0;
}

/* NULL unless it is set. */
static void add_texts_if(struct db_batch *b, const struct effects *e,
    const struct row_task_options *o, enum task_option option, const struct text_range *range)
{
    struct text_columns texts = text_columns_new();
    put_texts(&texts, e, &o->id, range);
    db_add_bool(b, sets(o, option));
    db_array_free(texts.of);
    db_add_array(b, texts.names);
    db_add_array(b, texts.values);
}

static void add_int8_if(struct db_batch *b, bool is_set, int64_t v)
{
    if (is_set)
        db_add_int8(b, v);
    else
        db_add_null(b);
}

static void add_one_options(
    struct db_batch *b, const struct effects *e, const struct row_task_options *o)
{
    db_batch_add(b, SQL_STORE_UPDATE_OPTIONS);
    db_add_uuid(b, &o->id);
    db_add_text(b, sets(o, TASK_OPTION_DISPLAY_NAME) ? o->display_name : NULL);
    if (sets(o, TASK_OPTION_PRIORITY))
        db_add_int4(b, o->priority);
    else
        db_add_null(b);
    db_add_bool(b, sets(o, TASK_OPTION_START_AFTER));
    db_add_time(b, o->start_after_us);
    add_int8_if(b, sets(o, TASK_OPTION_TIME_LIMIT), o->time_limit_ms);
    add_texts_if(b, e, o, TASK_OPTION_LABELS, &o->labels);
    add_texts_if(b, e, o, TASK_OPTION_PARAMETERS, &o->parameters);
    db_add_uuid(b, &o->workspace_id);
    add_int8_if(b, sets(o, TASK_OPTION_TTL), o->ttl_ms);
    db_add_uuid(b, &o->audit.actor_id);
    db_add_text(b, o->audit.action);
    db_add_text(b, o->audit.target);
    db_add_text(b, o->audit.ip);
    db_add_text(b, o->audit.user_agent);
    db_add_text(b, o->audit.request_id);
    db_add_uuid(b, &o->update_id);
}

static void add_options(struct db_batch *b, const struct effects *e)
{
    for (size_t i = 0; i < e->options.n; i++)
        add_one_options(b, e, &e->options.v[i]);
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
    COLUMN(b, DB_INT8, int8, &e->tasks_new, row->ttl_ms);
    COLUMN(b, DB_INT8, int8, &e->tasks_new, row->activity_bump_ms);
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
    COLUMN(b, DB_UUID, uuid, &e->builds_new, row->has_parameters ? &row->task_id : NULL);

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

/* The number of the statement that says whose apps have yet to show their health, -1: none. */
static int add_agents(struct db_batch *b, const struct effects *e)
{
    int at_apps = -1;
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

        at_apps = (int)db_batch_count(b);
        db_batch_add(b, SQL_STORE_INSERT_APPS);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->app_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->agent_id);
        COLUMN(b, DB_UUID, uuid, &with_agent, &row->version_id);
        COLUMN(b, DB_TEXT, text, &with_agent, row->app_slug);
    }
    vec_done(&with_agent);
    return at_apps;
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
            db_add_uuid(b, &t->update_id);
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
        db_add_text(b, e->versions.v[i].resources);
        db_add_text(b, e->versions.v[i].external_auth);
    }
}

static void add_version_variables(struct db_batch *b, const struct effects *e)
{
    if (e->version_variables.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_VERSION_VARIABLES);
    COLUMN(b, DB_UUID, uuid, &e->version_variables, &row->version_id);
    COLUMN(b, DB_INT4, int4, &e->version_variables, row->position);
    COLUMN(b, DB_TEXT, text, &e->version_variables, row->name);
    COLUMN(b, DB_TEXT, text, &e->version_variables, row->description);
    COLUMN(b, DB_TEXT, text, &e->version_variables, row->type);
    COLUMN(b, DB_TEXT, text, &e->version_variables, row->default_value);
    COLUMN(b, DB_BOOL, bool, &e->version_variables, row->required);
    COLUMN(b, DB_BOOL, bool, &e->version_variables, row->sensitive);
}

static void add_builds_found(struct db_batch *b, const struct effects *e)
{
    if (e->builds_found.n > 0) {
        db_batch_add(b, SQL_STORE_INSERT_BUILD_RESOURCES);
        COLUMN(b, DB_UUID, uuid, &e->builds_found, &row->build_id);
        COLUMN(b, DB_TEXT, text, &e->builds_found, row->resources);
        COLUMN(b, DB_TEXT, text, &e->builds_found, row->agent);
    }
    if (e->agent_apps.n > 0) {
        db_batch_add(b, SQL_STORE_UPSERT_APPS);
        COLUMN(b, DB_UUID, uuid, &e->agent_apps, &row->agent_id);
        COLUMN(b, DB_TEXT, text, &e->agent_apps, row->slug);
        COLUMN(b, DB_TEXT, text, &e->agent_apps, row->display_name);
        COLUMN(b, DB_TEXT, text, &e->agent_apps, row->icon);
        COLUMN(b, DB_TEXT, text, &e->agent_apps, row->url);
        COLUMN(b, DB_BOOL, bool, &e->agent_apps, row->has_health_check);
    }
}

static void add_version_apps(struct db_batch *b, const struct effects *e)
{
    if (e->version_apps.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_VERSION_APPS);
    COLUMN(b, DB_UUID, uuid, &e->version_apps, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->version_apps, row->slug);
    COLUMN(b, DB_TEXT, text, &e->version_apps, row->display_name);
    COLUMN(b, DB_TEXT, text, &e->version_apps, row->icon);
    COLUMN(b, DB_TEXT, text, &e->version_apps, row->url);
    COLUMN(b, DB_BOOL, bool, &e->version_apps, row->has_health_check);
    COLUMN(b, DB_BOOL, bool, &e->version_apps, row->is_task_app);
}

static void add_version_parameters(struct db_batch *b, const struct effects *e)
{
    if (e->version_parameters.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_VERSION_PARAMETERS);
    COLUMN(b, DB_UUID, uuid, &e->version_parameters, &row->version_id);
    COLUMN(b, DB_INT4, int4, &e->version_parameters, row->position);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->name);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->display_name);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->description);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->icon);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->type);
    COLUMN(b, DB_BOOL, bool, &e->version_parameters, row->is_mutable);
    COLUMN(b, DB_BOOL, bool, &e->version_parameters, row->required);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->default_value);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->regex);
    COLUMN(b, DB_TEXT, text, &e->version_parameters, row->error);
    COLUMN(b, DB_BOOL, bool, &e->version_parameters, row->has_min);
    COLUMN(b, DB_INT8, int8, &e->version_parameters, row->min);
    COLUMN(b, DB_BOOL, bool, &e->version_parameters, row->has_max);
    COLUMN(b, DB_INT8, int8, &e->version_parameters, row->max);
    COLUMN(b, DB_UUID, uuid, &e->version_options, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->version_options, row->parameter);
    COLUMN(b, DB_TEXT, text, &e->version_options, row->name);
    COLUMN(b, DB_TEXT, text, &e->version_options, row->value);
    COLUMN(b, DB_TEXT, text, &e->version_options, row->description);
    COLUMN(b, DB_TEXT, text, &e->version_options, row->icon);
}

static void add_version_presets(struct db_batch *b, const struct effects *e)
{
    if (e->version_presets.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_VERSION_PRESETS);
    COLUMN(b, DB_UUID, uuid, &e->version_presets, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->version_presets, &row->version_id);
    COLUMN(b, DB_INT4, int4, &e->version_presets, row->position);
    COLUMN(b, DB_TEXT, text, &e->version_presets, row->name);
    COLUMN(b, DB_TEXT, text, &e->version_presets, row->description);
    COLUMN(b, DB_TEXT, text, &e->version_presets, row->icon);
    COLUMN(b, DB_BOOL, bool, &e->version_presets, row->is_default);
    struct text_columns texts = text_columns_new();
    for (size_t i = 0; i < e->version_presets.n; i++)
        put_texts(&texts, e, &e->version_presets.v[i].id, &e->version_presets.v[i].parameters);
    db_batch_add(b, SQL_STORE_INSERT_PRESET_PARAMETERS);
    add_texts(b, &texts);
}

static void add_deadlines(struct db_batch *b, const struct effects *e)
{
    if (e->deadlines.n == 0)
        return;
    db_batch_add(b, SQL_STORE_SET_DEADLINES);
    COLUMN(b, DB_UUID, uuid, &e->deadlines, &row->build_id);
    COLUMN(b, DB_INT8, int8, &e->deadlines, row->left_ms);
}

/* The number of the statement that names the new ones, -1: none. */
static int add_messages(struct db_batch *b, const struct effects *e)
{
    int at_new = e->messages_new.n > 0 ? (int)db_batch_count(b) : -1;
    if (at_new >= 0) {
        db_batch_add(b, SQL_STORE_INSERT_MESSAGES);
        COLUMN(b, DB_UUID, uuid, &e->messages_new, &row->id);
        COLUMN(b, DB_UUID, uuid, &e->messages_new, &row->task_id);
        COLUMN(b, DB_UUID, uuid, &e->messages_new, &row->initiator_id);
        COLUMN(b, DB_INT8, int8, &e->messages_new, row->seq);
        COLUMN(b, DB_TEXT, text, &e->messages_new, row->content);
    }
    if (e->messages_over.n > 0) {
        db_batch_add(b, SQL_STORE_FINISH_MESSAGES);
        COLUMN(b, DB_UUID, uuid, &e->messages_over, &row->id);
        COLUMN(b, DB_UUID, uuid, &e->messages_over, &row->task_id);
        COLUMN(b, DB_TEXT, text, &e->messages_over, row->state);
        COLUMN(b, DB_TEXT, text, &e->messages_over, row->detail);
    }
    return at_new;
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
    COLUMN(b, DB_TEXT, text, &e->workers, row->agent_url);
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
    COLUMN(b, DB_TEXT, text, &e->audits, row->target);
    COLUMN(b, DB_TEXT, text, &e->audits, row->ip);
    COLUMN(b, DB_TEXT, text, &e->audits, row->user_agent);
    COLUMN(b, DB_TEXT, text, &e->audits, row->request_id);
    COLUMN(b, DB_TEXT, text, &e->audits, row->prompt);
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

/* The jobs whose dispatches carry facts. */
static int add_facts(struct db_batch *b, const struct effects *e)
{
    struct db_array *ids = NULL;
    for (size_t i = 0; i < e->dispatches.n; i++) {
        const struct work *w = &e->dispatches.v[i].work;
        for (size_t k = 0; k < w->jobs.n; k++) {
            if (!w->jobs.v[k].wants_facts)
                continue;
            if (ids == NULL)
                ids = db_array_new(DB_UUID);
            db_array_uuid(ids, &w->jobs.v[k].job_id);
        }
    }
    if (ids == NULL)
        return -1;
    db_batch_add(b, SQL_STORE_READ_FACTS);
    db_add_array(b, ids);
    return (int)db_batch_count(b) - 1;
}

/* Whose parameters the dispatches carry. */
static int add_parameters(struct db_batch *b, const struct effects *e)
{
    struct db_array *ids = NULL;
    for (size_t i = 0; i < e->dispatches.n; i++) {
        const struct work *w = &e->dispatches.v[i].work;
        for (size_t k = 0; k < w->jobs.n; k++) {
            if (!w->jobs.v[k].wants_parameters)
                continue;
            if (ids == NULL)
                ids = db_array_new(DB_UUID);
            db_array_uuid(ids, &w->jobs.v[k].task_id);
        }
    }
    if (ids == NULL)
        return -1;
    db_batch_add(b, SQL_STORE_READ_PARAMETERS);
    db_add_array(b, ids);
    return (int)db_batch_count(b) - 1;
}

/* The number of the statement that says how far off earliest starts are, -1: none. */
static int add_starts(struct db_batch *b, const struct effects *e)
{
    if (e->starts.n == 0)
        return -1;
    db_batch_add(b, SQL_STORE_READ_STARTS);
    COLUMN(b, DB_UUID, uuid, &e->starts, row);
    return (int)db_batch_count(b) - 1;
}

/* The number of the statement that says how much is left of leases, -1: none. */
static int add_leases(struct db_batch *b, const struct effects *e)
{
    if (e->silent.n == 0)
        return -1;
    db_batch_add(b, SQL_STORE_READ_LEASES);
    COLUMN(b, DB_UUID, uuid, &e->silent, row);
    return (int)db_batch_count(b) - 1;
}

static void add_lost(struct db_batch *b, const struct effects *e)
{
    if (e->agents_lost.n == 0)
        return;
    db_batch_add(b, SQL_STORE_LOSE_AGENTS);
    COLUMN(b, DB_UUID, uuid, &e->agents_lost, row);
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

/* Pairs of a message's id and its task's. */
struct message_keys {
    struct db_array *ids, *tasks;
};

static void put_key(struct message_keys *k, const struct uuid *id, const struct uuid *task_id)
{
    if (k->ids == NULL) {
        k->ids = db_array_new(DB_UUID);
        k->tasks = db_array_new(DB_UUID);
    }
    db_array_uuid(k->ids, id);
    db_array_uuid(k->tasks, task_id);
}

static int add_keys(struct db_batch *b, enum sql_id statement, const struct message_keys *k)
{
    if (k->ids == NULL)
        return -1;
    db_batch_add(b, statement);
    db_add_array(b, k->ids);
    db_add_array(b, k->tasks);
    return (int)db_batch_count(b) - 1;
}

static int add_contents(struct db_batch *b, const struct effects *e)
{
    struct message_keys keys = {0};
    for (size_t i = 0; i < e->dispatches.n; i++) {
        const struct work *w = &e->dispatches.v[i].work;
        for (size_t k = 0; k < w->messages.n; k++)
            if (w->messages.v[k].when_stable)
                put_key(&keys, &w->messages.v[k].send_id, &w->messages.v[k].task_id);
    }
    return add_keys(b, SQL_STORE_READ_MESSAGES, &keys);
}

static int add_states(struct db_batch *b, const struct effects *e)
{
    struct message_keys keys = {0};
    for (size_t i = 0; i < e->replies.n; i++)
        if (e->replies.v[i].kind == REPLY_MESSAGE)
            put_key(&keys, &e->replies.v[i].message_id, &e->replies.v[i].task_id);
    return add_keys(b, SQL_STORE_READ_MESSAGE_STATES, &keys);
}

/* ---- what the commit has shown, for the core ---- */

static const struct db_result *result_at(const struct db_result *const *results, int at)
{
    return at >= 0 ? results[at] : NULL;
}

static bool is_among(const struct db_result *r, const struct uuid *id)
{
    for (size_t i = 0; r != NULL && i < db_rows(r); i++) {
        struct uuid row = db_uuid(r, i, 0);
        if (uuid_eq(&row, id))
            return true;
    }
    return false;
}

static void learn_health(struct store *s, const struct db_result *apps)
{
    for (size_t i = 0; apps != NULL && i < db_rows(apps); i++) {
        struct uuid agent_id = db_uuid(apps, i, 0);
        if (db_bool(apps, i, 1))
            core_agent_health(s->core, &agent_id, NULL, "initializing");
    }
}

static void learn_starts(struct store *s, const struct db_result *starts)
{
    for (size_t i = 0; starts != NULL && i < db_rows(starts); i++) {
        struct uuid id = db_uuid(starts, i, 0);
        core_start_in(s->core, &id, db_time_us(starts, i, 1), db_int(starts, i, 2));
    }
}

/* A worker without a row has no lease. */
static void learn_leases(struct store *s, const struct db_result *leases)
{
    for (size_t i = 0; i < s->batch.silent.n; i++) {
        const struct uuid *id = &s->batch.silent.v[i];
        int64_t left_ms = 0;
        for (size_t k = 0; k < db_rows(leases); k++) {
            struct uuid row = db_uuid(leases, k, 0);
            if (uuid_eq(&row, id))
                left_ms = db_int(leases, k, 1);
        }
        core_worker_lease(s->core, id, left_ms);
    }
}

/* Asked for again after they were over: known already, or nothing to hand over. */
static void learn_gone(
    struct store *s, const struct db_result *fresh, const struct db_result *contents)
{
    const struct effects *e = &s->batch;
    bool all_new = fresh == NULL || db_rows(fresh) == e->messages_new.n;
    for (size_t i = 0; !all_new && i < e->messages_new.n; i++)
        if (!is_among(fresh, &e->messages_new.v[i].id))
            core_message_gone(s->core, &e->messages_new.v[i].id);
    for (size_t i = 0; i < e->dispatches.n; i++) {
        const struct work *w = &e->dispatches.v[i].work;
        for (size_t k = 0; k < w->messages.n; k++)
            if (w->messages.v[k].when_stable && !is_among(contents, &w->messages.v[k].send_id))
                core_message_gone(s->core, &w->messages.v[k].send_id);
    }
}

/* A withdrawal of a message that memory does not know. */
static enum refusal refusal_of_state(const struct db_result *states, const struct uuid *id)
{
    for (size_t i = 0; states != NULL && i < db_rows(states); i++) {
        struct uuid row = db_uuid(states, i, 0);
        const char *state = db_text(states, i, 1);
        if (!uuid_eq(&row, id))
            continue;
        if (strcmp(state, "withdrawn") == 0)
            return REFUSAL_NONE;
        return strcmp(state, "queued") == 0 ? REFUSAL_OVERLOADED : REFUSAL_MESSAGE_DELIVERED;
    }
    return REFUSAL_MESSAGE_UNKNOWN;
}

/* ---- release ---- */

static uint64_t watermark_of(const struct db_result *r, const struct uuid *id)
{
    for (size_t i = 0; r != NULL && i < db_rows(r); i++) {
        struct uuid row = db_uuid(r, i, 0);
        if (uuid_eq(&row, id))
            return (uint64_t)db_int(r, i, 1);
    }
    return 0;
}

/* Rows that were read for what is said. */
struct readings {
    struct work_texts texts;
    const struct db_result *agents, *states, *commands;
};

static void release(struct store *s, struct effects *e, const struct readings *r)
{
    for (size_t i = 0; i < e->replies.n; i++) {
        struct reply *reply = &e->replies.v[i];
        if (reply->kind == REPLY_MESSAGE)
            reply->code = refusal_of_state(r->states, &reply->message_id);
        if (!uuid_is_nil(&reply->job_id) && store_command_is_done(r->commands, reply))
            reply->code = REFUSAL_NONE;
        serve_reply(s->serve, reply, watermark_of(r->agents, &reply->watermark_of));
    }
    serve_dispatches(s->serve, e, s->epoch, &r->texts);
    feed_writer_tell(s->feed, e->changed.v, e->changed.n);
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
    struct readings r = {
        .texts = {result_at(results, sent->at_prompts), result_at(results, sent->at_parameters),
                  result_at(results, sent->at_facts), result_at(results, sent->at_contents)},
        .agents = result_at(results, sent->at_agents),
        .states = result_at(results, sent->at_states),
        .commands = result_at(results, sent->at_commands)
    };
    core_set_now(s->core, clock_mono_ms());
    learn_health(s, result_at(results, sent->at_apps));
    learn_starts(s, result_at(results, sent->at_starts));
    learn_leases(s, result_at(results, sent->at_leases));
    store_learn_imports(s->core, result_at(results, sent->at_imports));
    learn_gone(s, result_at(results, sent->at_messages), r.texts.contents);
    release(s, &s->batch, &r);
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
    add_options(b, e); /* before the builds, which copy parameters */
    add_builds(b, e);
    sent->at_apps = add_agents(b, e);
    store_add_jobs_new(b, e);
    sent->at_jobs = store_add_jobs(b, e);
    sent->at_imports = store_add_retries(b, e);
    add_workspace_changes(b, e);
    add_audits(b, e);
    add_task_changes(b, e);
    add_versions(b, e);
    add_version_apps(b, e);
    add_version_parameters(b, e);
    add_version_presets(b, e);
    add_version_variables(b, e);
    add_builds_found(b, e);
    add_deadlines(b, e);
    add_lost(b, e);
    sent->at_messages = add_messages(b, e);
    add_workers(b, e);
    add_statuses(b, e);
    add_logs(b, e);
    sent->at_starts = add_starts(b, e);
    sent->at_leases = add_leases(b, e);
    sent->at_prompts = add_prompts(b, e);
    sent->at_parameters = add_parameters(b, e);
    sent->at_facts = add_facts(b, e);
    sent->at_contents = add_contents(b, e);
    sent->at_agents = add_opened(b, e);
    sent->at_states = add_states(b, e);
    sent->at_commands = store_add_commands(b, e);
    sent->n_rows = e->tasks_new.n * 2 + e->builds_new.n * 2 + e->jobs.n + e->workspaces.n;
    return b;
}

bool store_is_idle(const struct store *s)
{
    return !s->in_flight;
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
        release(s, &s->batch, &(struct readings){0});
        effects_clear(&s->batch);
        return;
    }
    s->in_flight = true;
    s->sent_us = clock_mono_us();
    db_send(s->db, b, on_done, sent);
}
