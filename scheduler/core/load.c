/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - a new leader reads what Postgres knows and carries on (rule 2).
 *
 * What is in no row is found again by itself: sessions and running jobs come with the workers' next
 * polls, held messages are asked for again by their gateways.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

void core_load_worker(struct core *c, const struct uuid *id, const char *name, const char *host,
    const char *provisioners, int64_t lease_left_ms)
{
    struct worker *w = mem_alloc(sizeof(*w));
    w->id = *id;
    w->name = core_intern(c, name);
    w->host = core_intern(c, host);
    w->provisioners = mem_strdup(provisioners);
    if (lease_left_ms > c->conf.lease_ms)
        lease_left_ms = c->conf.lease_ms;
    if (lease_left_ms < 0)
        lease_left_ms = 0;
    w->seen_at_ms = w->row_at_ms = c->now_ms - c->conf.lease_ms + lease_left_ms;
    w->lease_until_ms = c->now_ms + lease_left_ms;
    list_init(&w->jobs);
    map_put(&c->workers, id, w);
}

/* A job found running stays with its worker for what is left of the lease. */
static void settle_job(struct core *c, struct job *j, const struct uuid *worker_id)
{
    if (job_state_is_over(j->state))
        return;
    map_put(&c->jobs, &j->id, j);
    if (j->state == JOB_PENDING) {
        queue_add(c, j);
        return;
    }
    j->seq = ++c->next_seq;
    j->worker = map_get(&c->workers, worker_id);
    if (j->worker == NULL) { /* a worker without a row: one with a lease that is over */
        core_load_worker(c, worker_id, "unknown", "", "", 0);
        j->worker = map_get(&c->workers, worker_id);
    }
    list_append(&j->worker->jobs, &j->link);
}

static void load_agent(struct core *c, struct task *t, const struct load_task *l)
{
    if (uuid_is_nil(&l->agent_id))
        return;
    agent_begin(c, t, &l->agent_id, &l->agent_token);
    t->agent->status_seq = l->status_seq;
    core_agent_said(c, &l->agent_id, l->app_state, l->lifecycle);
    if (l->app_health != NULL)
        core_agent_health(c, &l->agent_id, l->app_slug, l->app_health);
    agent_expected(c, t->agent);
}

void core_load_task(struct core *c, const struct load_task *l)
{
    struct task *t = mem_alloc(sizeof(*t));
    t->id = l->id;
    t->workspace_id = l->workspace_id;
    t->organization_id = l->organization_id;
    t->template_id = l->template_id;
    t->build_id = l->build_id;
    t->build_before = l->build_before;
    t->build_number = l->build_number;
    t->owner = core_owner(c, &l->owner_id, l->owner_name);
    t->version = core_version(c, &l->version_id, &l->file_id, l->template_name);
    t->provisioner = core_intern(c, l->provisioner);
    t->host = core_intern(c, l->host);
    t->app_slug =
        l->app_slug != NULL && l->app_slug[0] != '\0' ? core_intern(c, l->app_slug) : NULL;
    t->priority = l->priority;
    t->ttl_ms = l->ttl_ms;
    t->bump_ms = l->activity_bump_ms;
    t->start_after_us = l->build_number == 1 ? l->start_after_us : 0;
    t->time_limit_ms = l->time_limit_ms;
    t->has_parameters = l->has_parameters;
    t->message_seq = l->message_seq;
    t->revision = (uint64_t)l->revision;
    t->update_id = l->update_id;
    t->deleted = l->deleted;
    memcpy(t->name, l->name, strnlen(l->name, TASK_NAME_MAX));
    t->job = (struct job){.id = l->job_id,
        .kind = l->kind,
        .state = l->state,
        .token = l->token,
        .token_was = l->token,
        .command_id = l->command_id,
        .attempt = l->attempt,
        .series = l->series,
        .priority = l->priority,
        .holds_compute = l->holds_compute,
        .in_doubt = l->build_number > 1 || l->token > 1, /* for all that the rows say */
        .cancel_requested = l->cancel_requested,
        .task = t,
        .pool = queue_pool(c, t->provisioner, t->host)};
    job_set_error(&t->job, l->error);
    map_put(&c->tasks, &t->id, t);
    struct uuid key = core_name_key(&t->owner->id, t->name);
    map_put(&c->names, &key, t);
    if (l->holds_compute) {
        c->n_holding++;
        t->owner->holding++;
    }
    load_agent(c, t, l);
    if (l->has_deadline && l->kind == JOB_START && l->state == JOB_SUCCEEDED && !l->deleted)
        idle_load(c, t, l->deadline_left_ms);
    if (l->kind == JOB_START && l->state == JOB_SUCCEEDED)
        limit_begin(c, t, l->ran_ms);
    settle_job(c, &t->job, &l->worker_id);
}

void core_load_import(struct core *c, const struct load_import *l)
{
    struct job *j = job_new_import(c, l);
    map_remove(&c->jobs, &j->id);
    settle_job(c, j, &l->worker_id);
}

/* Leases go on as Postgres has them, over as they may be; but who is to be judged is listened to
 * first, for as long as it takes a living worker to find us. */
void core_load_done(struct core *c)
{
    worker_listen(c);
    struct task *t;
    for (size_t i = 0; (t = map_next(&c->tasks, &i)) != NULL;) {
        const struct job *j = &t->job;
        if (j->kind == JOB_START && j->holds_compute && job_state_is_over(j->state) &&
            j->state != JOB_SUCCEEDED)
            job_start_cleanup(c, t);
    }
}
