/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pg_load.c - the statements of sql/query/leader.sql and load.sql, and the tables' birth and end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "tests/sim/pg.h"

/* ---- words ---- */

const char *pg_word(const char *word)
{
    static const char *const words[] = {"working", "idle", "complete", "failure", "created",
        "starting", "start_timeout", "start_error", "ready", "shutting_down", "shutdown_timeout",
        "shutdown_error", "off", "disabled", "initializing", "healthy", "unhealthy", "queued",
        "delivered", "withdrawn", "refused"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (word != NULL && strcmp(words[i], word) == 0)
            return words[i];
    fprintf(stderr, "no enum of the schema has %s\n", word != NULL ? word : "NULL");
    abort();
}

enum job_kind pg_kind(const char *name)
{
    for (int k = JOB_START; k < JOB_IMPORT; k++)
        if (strcmp(job_kind_name((enum job_kind)k), name) == 0)
            return (enum job_kind)k;
    return JOB_IMPORT;
}

/* ---- leadership ---- */

static void try_lock(struct query *q)
{
    put_columns(q, 1);
    if (sim->pg->lock == NULL)
        pg_session_take_lock(q->session);
    put_int(q, pg_session_has_lock(q->session));
}

static void raise_epoch(struct query *q)
{
    snprintf(sim->pg->leader_url, sizeof(sim->pg->leader_url), "%s", query_text(q, 1));
    sim->figures.elections++;
    sim_trace("epoch %llu: %s", (unsigned long long)sim->pg->epoch + 1, sim->pg->leader_url);
    put_columns(q, 1);
    put_int(q, (int64_t)++sim->pg->epoch);
}

static void find_leader(struct query *q)
{
    put_columns(q, 2);
    put_int(q, (int64_t)sim->pg->epoch);
    put_text(q, sim->pg->leader_url);
}

static void assert_epoch(struct query *q)
{
    bool is_ours = (uint64_t)query_int(q, 1) == sim->pg->epoch;
    if (is_ours)
        return;
    if (sim_is_variant(VARIANT_NO_EPOCH))
        check_stale_epoch((uint64_t)query_int(q, 1));
    else
        q->error = ERR_STALE_EPOCH;
}

static void say(struct query *q)
{
    put_columns(q, 0);
    pg_session_say(q->session, query_text(q, 1));
}

static void wait_at_most(struct query *q)
{
    query_skip(q, 1);
}

static void end_silent(struct query *q)
{
    put_columns(q, 2);
    if (!pg_end_silent(q->session, query_int(q, 1)))
        return;
    put_int(q, 1);
    put_int(q, query_int(q, 1));
}

static void register_self(struct query *q)
{
    query_skip(q, 2);
    pg_session_register(q->session, query_text(q, 1));
}

static void forget_gone(struct query *q)
{
    put_columns(q, 0);
}

static void count_others(struct query *q)
{
    put_columns(q, 1);
    put_int(q, pg_sessions_beside(query_text(q, 1)));
}

static void audit_step_down(struct query *q)
{
    query_skip(q, 5);
    q->result->affected = pg_sessions_beside(query_text(q, 1)) > 0;
}

/* ---- load ---- */

static void plan_for_all(struct query *q)
{
    put_columns(q, 0);
}

static void drop_strays(struct query *q)
{
    put_columns(q, 0);
    for (size_t i = 0; i < sim->pg->job_list.n; i++) {
        struct pg_job *j = sim->pg->job_list.v[i];
        if (j->kind == JOB_IMPORT || job_state_is_over(j->state) || !j->is_cleanup)
            continue;
        j->state = JOB_CANCELED;
        j->completed_us = pg_clock_us();
    }
}

static void load_workers(struct query *q)
{
    put_columns(q, 5);
    for (size_t i = 0; i < sim->pg->worker_list.n; i++) {
        const struct pg_worker *w = sim->pg->worker_list.v[i];
        if (w->gone)
            continue;
        put_uuid(q, &w->id);
        put_text(q, w->name);
        put_text(q, w->host);
        put_text(q, w->provisioners);
        put_int(q, (w->lease_until_us - pg_clock_us()) / MS);
    }
}

static void put_text_or_null(struct query *q, const char *s)
{
    if (s != NULL)
        put_text(q, s);
    else
        put_null(q);
}

/* Columns 0 to 19 of load_tasks. */
static void put_identity(struct query *q, const struct pg_task *t)
{
    const struct pg_agent *a = t->agent;
    static const struct uuid nil;
    put_uuid(q, &t->id);
    put_uuid(q, &t->organization_id);
    put_uuid(q, &t->owner_id);
    put_uuid(q, &t->template_id);
    put_uuid(q, &t->version_id);
    put_uuid(q, &t->workspace_id);
    put_uuid(q, &t->version_id); /* the file has the version's id here */
    put_uuid(q, &t->build->id);
    put_uuid(q, &t->build->job->id);
    put_uuid(q, &t->build->job->worker_id);
    put_uuid(q, a != NULL ? &a->id : &nil);
    put_uuid(q, a != NULL ? &a->token : &nil);
    put_text(q, t->name);
    put_text(q, t->provisioner);
    put_text(q, "shell");
    put_text(q, "ann");
    put_text(q, "shell");
    put_text_or_null(q, t->host);
    put_text_or_null(q, a != NULL ? a->state : NULL);
    put_text_or_null(q, a != NULL ? a->lifecycle : NULL);
}

/* Columns 20 to 43. */
static void put_state(struct query *q, const struct pg_task *t)
{
    const struct pg_job *j = t->build->job;
    const struct pg_agent *a = t->agent;
    put_text(q, j->error != NULL ? j->error : "");
    put_int(q, t->build->number);
    put_int(q, t->priority);
    put_int(q, j->attempt);
    put_int(q, j->token);
    put_text(q, job_kind_name(j->kind));
    put_text(q, job_state_name(j->state));
    put_int(q, t->deleted);
    put_int(q, j->holds_compute);
    put_int(q, j->cancel_requested);
    put_int(q, a != NULL ? a->rest_seq : 0);
    put_text_or_null(q, a != NULL ? a->health : NULL);
    put_int(q, t->ttl_ms);
    put_int(q, t->bump_ms);
    if (t->build->deadline_us != 0)
        put_int(q, (t->build->deadline_us - pg_clock_us()) / MS);
    else
        put_null(q);
    put_int(q, t->message_seq);
    if (t->start_after_us > pg_clock_us())
        put_int(q, t->start_after_us);
    else
        put_null(q);
    put_int(q, t->time_limit_ms);
    put_int(q, j->completed_us != 0 ? (pg_clock_us() - j->completed_us) / MS : 0);
    put_int(q, t->has_parameters);
    put_int(q, t->revision);
    put_uuid(q, &j->command_id);
    put_uuid(q, &t->update_id);
    put_uuid(q, &t->build->before);
    put_int(q, j->series);
}

static int64_t age_of(const struct pg_task *t)
{
    int64_t job_us = t->build->job->created_us;
    return t->start_after_us > job_us ? t->start_after_us : job_us;
}

static int by_age(const void *a, const void *b)
{
    const struct pg_task *x = *(const struct pg_task *const *)a;
    const struct pg_task *y = *(const struct pg_task *const *)b;
    int64_t dx = age_of(x), dy = age_of(y);
    if (dx != dy)
        return dx < dy ? -1 : 1;
    return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

static void load_tasks(struct query *q)
{
    VEC(struct pg_task *) list = {0};
    for (size_t i = 0; i < sim->pg->task_list.n; i++)
        if (!sim->pg->task_list.v[i]->workspace_deleted)
            *vec_push(&list) = sim->pg->task_list.v[i];
    if (list.n > 0)
        qsort(list.v, list.n, sizeof(*list.v), by_age);
    put_columns(q, 45);
    for (size_t i = 0; i < list.n; i++) {
        put_identity(q, list.v[i]);
        put_state(q, list.v[i]);
    }
    vec_done(&list);
}

/* In the order of (task, seq): the tasks' order does not matter. */
static void load_messages(struct query *q)
{
    put_columns(q, 4);
    for (size_t i = 0; i < sim->pg->message_list.n; i++) {
        const struct pg_message *m = sim->pg->message_list.v[i];
        if (strcmp(m->state, "queued") != 0)
            continue;
        put_uuid(q, &m->id);
        put_uuid(q, &m->task->id);
        put_int(q, m->seq);
        put_int(q, (int64_t)strlen(m->content));
    }
}

static void load_imports(struct query *q)
{
    put_columns(q, 10);
    for (size_t i = 0; i < sim->pg->job_list.n; i++) {
        const struct pg_job *j = sim->pg->job_list.v[i];
        if (j->kind != JOB_IMPORT || job_state_is_over(j->state))
            continue;
        put_uuid(q, &j->id);
        put_uuid(q, &j->version_id);
        put_uuid(q, &j->organization_id);
        put_uuid(q, &j->version_id);
        put_uuid(q, &j->worker_id);
        put_text(q, j->provisioner);
        put_text(q, job_state_name(j->state));
        put_int(q, j->token);
        put_int(q, j->attempt);
        put_uuid(q, &j->command_id);
    }
}

static const statement_fn statements[SQL_COUNT] = {
    [SQL_LEADER_TRY_LOCK] = try_lock,
    [SQL_LEADER_RAISE_EPOCH] = raise_epoch,
    [SQL_LEADER_FIND] = find_leader,
    [SQL_LEADER_ASSERT_EPOCH] = assert_epoch,
    [SQL_LEADER_SAY] = say,
    [SQL_LEADER_WAIT_AT_MOST] = wait_at_most,
    [SQL_LEADER_END_SILENT] = end_silent,
    [SQL_SCHEDULER_REGISTER] = register_self,
    [SQL_SCHEDULER_FORGET_GONE] = forget_gone,
    [SQL_SCHEDULER_OTHERS] = count_others,
    [SQL_SCHEDULER_AUDIT_STEP_DOWN] = audit_step_down,
    [SQL_LOAD_PLAN_FOR_ALL] = plan_for_all,
    [SQL_LOAD_DROP_STRAYS] = drop_strays,
    [SQL_LOAD_WORKERS] = load_workers,
    [SQL_LOAD_TASKS] = load_tasks,
    [SQL_LOAD_MESSAGES] = load_messages,
    [SQL_LOAD_IMPORTS] = load_imports,
};

statement_fn pg_load_statement(enum sql_id id)
{
    return statements[id];
}

/* ---- birth and end of the tables ---- */

struct pg *pg_new(void)
{
    return mem_alloc(sizeof(struct pg));
}

static void free_tasks(struct pg *pg)
{
    for (size_t i = 0; i < pg->task_list.n; i++) {
        struct pg_task *t = pg->task_list.v[i];
        free(t->name);
        free(t->prompt);
        free(t->provisioner);
        free(t->host);
        free(t);
    }
    vec_done(&pg->task_list);
    map_done(&pg->tasks);
    map_done(&pg->workspaces);
}

static void free_builds(struct pg *pg)
{
    for (size_t i = 0; i < pg->build_list.n; i++)
        free(pg->build_list.v[i]);
    for (size_t i = 0; i < pg->job_list.n; i++) {
        free(pg->job_list.v[i]->provisioner);
        free(pg->job_list.v[i]->error);
        free(pg->job_list.v[i]);
    }
    vec_done(&pg->build_list);
    vec_done(&pg->job_list);
    map_done(&pg->builds);
    map_done(&pg->jobs);
}

static void free_others(struct pg *pg)
{
    for (size_t i = 0; i < pg->agent_list.n; i++) {
        free(pg->agent_list.v[i]->app_slug);
        free(pg->agent_list.v[i]);
    }
    for (size_t i = 0; i < pg->message_list.n; i++) {
        free(pg->message_list.v[i]->content);
        free(pg->message_list.v[i]);
    }
    for (size_t i = 0; i < pg->worker_list.n; i++) {
        free(pg->worker_list.v[i]->name);
        free(pg->worker_list.v[i]->host);
        free(pg->worker_list.v[i]->provisioners);
        free(pg->worker_list.v[i]);
    }
    vec_done(&pg->agent_list);
    vec_done(&pg->message_list);
    vec_done(&pg->worker_list);
    map_done(&pg->agents);
    map_done(&pg->messages);
    map_done(&pg->workers);
}

void pg_free(struct pg *pg)
{
    free_tasks(pg);
    free_builds(pg);
    free_others(pg);
    for (size_t i = 0; i < pg->sessions.n; i++)
        free(pg->sessions.v[i]);
    vec_done(&pg->sessions);
    free(pg);
}
