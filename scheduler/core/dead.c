/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dead.c - jobs that nobody tries any more, and their return.
 *
 *   running --(for good, no tries left, last lease lost)--> failed, and a row among the dead
 *                                                             |
 *   pending, attempt 0, larger tokens  <---- core_job_retry --+
 *
 * Dead is no state of its own: to Coder's clients such a job has failed.  What makes it a dead
 * letter is its row in dead_jobs: why it is there, and who had it last.  Deletes and clean-ups
 * never die.
 *
 * A build's job is in memory as long as its build is the newest, and is revived there.  A dead
 * import is in Postgres alone: it is revived there, and we are told.
 */
#include <assert.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "scheduler/core/model.h"

void job_bury(struct core *c, const struct job *j, const struct worker *w, enum job_death cause)
{
    assert(j->state == JOB_FAILED);
    c->counts.dead++;
    struct row_job_dead row = {.id = j->id, .cause = cause, .attempts = j->attempt};
    if (w != NULL)
        row.worker_id = w->id;
    *vec_push(&c->out->jobs_dead) = row;
    struct uuid_str id = uuid_format(&j->id);
    log_warn("job is dead until somebody retries it job=%s kind=%s cause=%s attempts=%d error=%s",
        id.s, job_kind_name(j->kind), job_death_name(cause), j->attempt,
        LOG_Q(j->error != NULL ? j->error : ""));
}

/* ---- a build's job ---- */

/* A start counts against the cap anew, unless it has held its compute all along. */
static enum refusal may_revive(struct core *c, struct task *t)
{
    const struct job *j = &t->job;
    if (j->state != JOB_FAILED)
        return REFUSAL_JOB_NOT_DEAD;
    if (j->kind != JOB_START)
        return REFUSAL_NONE;
    enum refusal refusal = j->holds_compute ? REFUSAL_NONE : task_may_start(c, false);
    if (refusal != REFUSAL_NONE)
        return refusal;
    return task_cleanup_gives_way(c, t) ? REFUSAL_NONE : REFUSAL_BUILD_ACTIVE;
}

static void revive(struct core *c, struct job *j)
{
    c->counts.revived++;
    j->attempt = 0;
    j->series++;
    j->cancel_requested = false;
    j->ready_at_ms = 0;
    j->seq = 0; /* its age in the queue counts from now */
    job_set_error(j, NULL);
    job_move(c, j, JOB_REVIVE);
    map_put(&c->jobs, &j->id, j);
    queue_add(c, j);
}

static enum refusal retry_build(struct core *c, const struct job_retry *r, const struct uuid *id)
{
    struct task *t = map_get(&c->tasks, &r->task_id);
    if (t == NULL)
        return REFUSAL_TASK_UNKNOWN;
    struct job *j = &t->job;
    if (!uuid_eq(&j->id, &r->job_id))
        return REFUSAL_JOB_SUPERSEDED;
    if (command_is_done(id, &j->command_id))
        return REFUSAL_NONE;
    enum refusal refusal = may_revive(c, t);
    if (refusal != REFUSAL_NONE)
        return refusal;
    j->command_id = *id;
    *vec_push(&c->out->jobs_revived) =
        (struct row_job_revived){.id = j->id, .actor_id = r->initiator_id};
    core_audit(c, &r->initiator_id, "retry", "workspace_build", &t->build_id);
    revive(c, j);
    return REFUSAL_NONE;
}

/* ---- an import ---- */

/* The statement that revives it writes the audit with it: it knows whether there is something. */
static struct row_audit audit_of(struct core *c, const struct job_retry *r)
{
    core_audit(c, &r->initiator_id, "retry", "template_version", &r->job_id);
    return c->out->audits.v[--c->out->audits.n];
}

static void retry_import(
    struct core *c, const struct job_retry *r, const struct uuid *id, void *ticket)
{
    const struct job *j = map_get(&c->jobs, &r->job_id);
    bool is_done = j != NULL && command_is_done(id, &j->command_id);
    core_reply(c, ticket, is_done ? REFUSAL_NONE : REFUSAL_JOB_NOT_DEAD);
    if (j != NULL)
        return;
    core_unless_done(c, &r->job_id, id);
    struct row_import_retry row = {
        .id = r->job_id, .actor_id = r->initiator_id, .command_id = *id, .audit = audit_of(c, r)};
    *vec_push(&c->out->import_retries) = row;
}

void core_import_revived(struct core *c, const struct load_import *i)
{
    if (map_get(&c->jobs, &i->job_id) != NULL)
        return;
    struct job *j = job_new_import(c, i);
    c->counts.revived++;
    *vec_push(&c->out->changed) = j->id;
    queue_add(c, j);
}

void core_job_retry(struct core *c, const struct job_retry *r, void *ticket)
{
    struct uuid id = core_take_command_id(c);
    if (uuid_is_nil(&r->task_id))
        retry_import(c, r, &id, ticket);
    else
        core_reply(c, ticket, retry_build(c, r, &id));
}
