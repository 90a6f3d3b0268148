/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.c - leases, results, retries.
 *
 * A lease raises the job's token; the outcome counts only with that token (rule 3).  A job whose
 * worker falls silent, or that failed with tries left, goes back into the queue.
 */
#include <assert.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "scheduler/core/model.h"

#define RETRY_MS_MAX 30000

void job_set_error(struct job *j, const char *error)
{
    free(j->error);
    j->error = error != NULL && error[0] != '\0' ? mem_strndup(error, 1024) : NULL;
}

void job_move(struct core *c, struct job *j, enum job_event event)
{
    enum job_state next;
    bool legal = job_state_next(j->state, event, &next);
    assert(legal);
    if (!legal)
        return;
    struct uuid_str id = uuid_format(&j->id);
    log_debug("job moves job=%s kind=%s from=%s to=%s because=%s", id.s, job_kind_name(j->kind),
        job_state_name(j->state), job_state_name(next), LOG_Q(job_state_reason(j->state, event)));
    j->state = next;
    job_mark(c, j);
}

void job_set_holds(struct core *c, struct job *j, bool holds)
{
    if (j->holds_compute == holds)
        return;
    j->holds_compute = holds;
    struct owner *o = j->task->owner;
    if (holds) {
        c->n_holding++;
        o->holding++;
    } else {
        c->n_holding--;
        o->holding--;
        message_agent_gone(c, j->task);
    }
    queue_owner_changed(c, o);
    job_mark(c, j);
}

/* ---- leasing ---- */

bool provisioner_is_terraform(const char *provisioner)
{
    return strcmp(provisioner, "terraform") == 0;
}

struct job_spec job_spec_of(const struct job *j)
{
    struct job_spec s = {
        .job_id = j->id, .token = j->token, .kind = j->kind, .attempt = j->attempt};
    s.provisioner = j->pool->provisioner;
    s.wants_facts = provisioner_is_terraform(j->pool->provisioner);
    if (j->task == NULL) {
        const struct import *i = container_of(j, struct import, job);
        s.version_id = i->version_id;
        s.file_id = i->file_id;
        return s;
    }
    const struct task *t = j->task;
    s.version_id = t->version->id;
    s.file_id = t->version->file_id;
    s.template_name = t->version->template_name;
    s.build_id = t->build_id;
    s.build_number = t->build_number;
    s.series = t->job.series;
    s.workspace_id = t->workspace_id;
    s.workspace_name = t->name;
    s.task_id = t->id;
    s.owner_id = t->owner->id;
    s.owner_name = t->owner->name;
    s.app_slug = t->app_slug;
    s.wants_parameters = t->has_parameters;
    if (t->agent != NULL) {
        s.agent_id = t->agent->id;
        s.agent_token = t->agent->token;
        s.wants_prompt = j->kind == JOB_START; /* without an agent nobody would read it */
    }
    return s;
}

void job_lease(struct core *c, struct job *j, struct worker *w)
{
    job_move(c, j, JOB_LEASE);
    j->token++;
    j->attempt++;
    j->worker = w;
    j->cancel_sent_ms = 0;
    list_append(&w->jobs, &j->link);
    w->free_slots--;
    if (j->kind == JOB_START) {
        j->in_doubt = j->holds_compute;
        job_set_holds(c, j, true);
        if (j->task->host == NULL &&
            !provisioner_is_terraform(
                j->pool->provisioner)) { /* from now on its files live there */
            j->task->host = w->host;
            j->pool = queue_pool(c, j->pool->provisioner, w->host);
            task_mark_workspace(c, j->task);
        }
    }
    *vec_push(&w->outbox.jobs) = job_spec_of(j);
}

static void leave_worker(struct job *j)
{
    list_unlink(&j->link);
    j->worker = NULL;
}

/* ---- the end of a try ---- */

static int64_t retry_pause_ms(const struct core *c, const struct job *j)
{
    int64_t pause = c->conf.retry_ms;
    for (int32_t i = 1; i < j->attempt && pause < RETRY_MS_MAX; i++)
        pause *= 2;
    return pause < RETRY_MS_MAX ? pause : RETRY_MS_MAX;
}

/* Deletes and clean-ups are never given up: nobody would be left to try again. */
static bool has_tries_left(const struct core *c, const struct job *j, bool for_good)
{
    bool cleanup = j->task != NULL && j == j->task->cleanup;
    return j->kind == JOB_DELETE || cleanup || (!for_good && j->attempt < c->conf.attempts_max);
}

static void job_over(struct core *c, struct job *j)
{
    map_remove(&c->jobs, &j->id);
    if (j->task == NULL) {
        *vec_push(&c->over) = j;
        return;
    }
    if (j == &j->task->job) {
        task_build_over(c, j->task);
        return;
    }
    /* The clean-up after a failed start: its compute is free now. */
    j->task->cleanup = NULL;
    if (j->state == JOB_SUCCEEDED)
        job_set_holds(c, &j->task->job, false);
    *vec_push(&c->over) = j;
}

static void back_in_line(struct core *c, struct job *j, int64_t pause_ms)
{
    j->ready_at_ms = c->now_ms + pause_ms;
    queue_add(c, j);
}

static enum job_death death_of(bool for_good, enum job_event event)
{
    if (event == JOB_EXPIRE)
        return DEATH_LEASE;
    return for_good ? DEATH_FOR_GOOD : DEATH_ATTEMPTS;
}

/* One try is over without success.  A job whose first worker fell silent is given to another at
 * once; one that has lost several may be what kills them, and waits like any other. */
static void job_failed(struct core *c, struct job *j, bool for_good, enum job_event event)
{
    bool again = has_tries_left(c, j, for_good);
    const struct worker *w = j->worker;
    leave_worker(j);
    job_move(c, j, again || j->state == JOB_CANCELING ? event : JOB_FAIL);
    if (job_state_is_over(j->state)) {
        if (j->state == JOB_FAILED)
            job_bury(c, j, w, death_of(for_good, event));
        job_over(c, j);
        return;
    }
    c->counts.retries++;
    back_in_line(c, j, event == JOB_EXPIRE && j->attempt <= 1 ? 0 : retry_pause_ms(c, j));
}

void job_expire(struct core *c, struct job *j)
{
    c->counts.leases_lost++;
    job_set_error(j, "The worker that carried it out fell silent.");
    /* What it had begun may still be there: the compute stays counted until a stop says it is gone.
     */
    job_failed(c, j, false, JOB_EXPIRE);
}

void job_retry_due(struct core *c)
{
    list_for_safe(it, &c->retries)
    {
        struct job *j = container_of(it, struct job, link);
        if (j->ready_at_ms > c->now_ms)
            continue;
        list_unlink(&j->link);
        queue_add(c, j);
    }
}

/* ---- results ---- */

static void take_logs(struct core *c, const struct job *j, const struct job_result *r)
{
    for (size_t i = 0; i < r->n_logs; i++) {
        const struct row_log *l = &r->logs[i];
        *vec_push(&c->out->logs) = (struct row_log){.job_id = j->id,
            .id = (r->job.token << 20) + l->id,
            .at_us = l->at_us,
            .level = effects_strdup(c->out, l->level),
            .stage = effects_strdup(c->out, l->stage),
            .output = effects_strdup(c->out, l->output)};
    }
}

static void job_succeeded(struct core *c, struct job *j, const struct job_result *r)
{
    leave_worker(j);
    job_set_error(j, NULL);
    job_move(c, j, JOB_SUCCEED);
    if (j->kind == JOB_IMPORT)
        import_take(c, j, r);
    else if (j->kind != JOB_START)
        job_set_holds(c, j, false);
    if (j->task != NULL)
        import_take_build(c, j, r);
    job_over(c, j);
}

static void handed_back(struct core *c, struct job *j)
{
    leave_worker(j);
    job_move(c, j, JOB_RETURN);
    if (job_state_is_over(j->state)) {
        job_over(c, j);
        return;
    }
    j->attempt--;
    back_in_line(c, j, 0);
}

void core_job_result(struct core *c, const struct uuid *worker_id, const struct job_result *r)
{
    struct job *j = map_get(&c->jobs, &r->job.id);
    /* Rule 3: only the holder of the newest lease is heard. */
    if (j == NULL || j->worker == NULL || j->token != r->job.token ||
        !uuid_eq(&j->worker->id, worker_id)) {
        c->counts.stale_results++;
        struct uuid_str id = uuid_format(&r->job.id);
        log_info("a result is refused, its lease is over job=%s token=%lld", id.s,
            (long long)r->job.token);
        return;
    }
    take_logs(c, j, r);
    if (r->outcome == OUTCOME_SUCCEEDED) {
        job_succeeded(c, j, r);
        return;
    }
    /* Rule 5: a worker knows of its own lease alone.  What one before it may have left, or may
     * still begin, is gone when a clean-up says so. */
    if (j->kind == JOB_START && r->clean && !j->in_doubt)
        job_set_holds(c, j, false);
    if (r->outcome == OUTCOME_HANDED_BACK) {
        handed_back(c, j);
        return;
    }
    job_set_error(j, r->error);
    job_failed(c, j, r->outcome == OUTCOME_FAILED_FOR_GOOD, JOB_RETRY);
}

enum refusal job_cancel(struct core *c, struct job *j, const struct uuid *command_id)
{
    if (job_state_is_over(j->state))
        return REFUSAL_JOB_OVER;
    if (j->cancel_requested)
        return REFUSAL_JOB_CANCELED;
    j->cancel_requested = true;
    j->command_id = *command_id;
    if (j->state != JOB_RUNNING) {
        queue_remove(c, j);
        job_move(c, j, JOB_CANCEL);
        job_over(c, j);
        return REFUSAL_NONE;
    }
    job_move(c, j, JOB_CANCEL);
    if (j->worker->ticket != NULL) { /* else its next poll, which names the job, is told */
        j->cancel_sent_ms = c->now_ms;
        *vec_push(&j->worker->outbox.cancels) = (struct job_ref){j->id, j->token};
    }
    return REFUSAL_NONE;
}

/* ---- jobs that are no builds ---- */

void job_start_cleanup(struct core *c, struct task *t)
{
    assert(t->cleanup == NULL && t->job.holds_compute);
    struct job *j = mem_alloc(sizeof(*j));
    j->id = core_uuid(c);
    j->kind = JOB_STOP;
    j->task = t;
    j->pool = queue_pool(c, t->provisioner, t->host);
    t->cleanup = j;
    map_put(&c->jobs, &j->id, j);
    *vec_push(&c->out->jobs_new) = (struct row_job_new){.id = j->id,
        .organization_id = t->organization_id,
        .initiator_id = t->owner->id,
        .build_id = t->build_id,
        .version_id = t->version->id,
        .kind = JOB_STOP,
        .provisioner = t->provisioner};
    queue_add(c, j);
}

struct job *job_new_import(struct core *c, const struct load_import *l)
{
    struct import *i = mem_alloc(sizeof(*i));
    i->version_id = l->version_id;
    i->organization_id = l->organization_id;
    i->file_id = l->file_id;
    i->provisioner = core_intern(c, l->provisioner);
    struct job *j = &i->job;
    j->id = l->job_id;
    j->kind = JOB_IMPORT;
    j->state = l->state;
    j->token = j->token_was = l->token;
    j->attempt = l->attempt;
    j->command_id = l->command_id;
    j->pool = queue_pool(c, i->provisioner, NULL);
    map_put(&c->jobs, &j->id, j);
    return j;
}

void core_template_import(struct core *c, const struct template_import *r, void *ticket)
{
    if (map_get(&c->jobs, &r->job_id) == NULL) {
        struct load_import i = {.job_id = r->job_id,
            .version_id = r->version_id,
            .organization_id = r->organization_id,
            .file_id = r->file_id,
            .provisioner = r->provisioner,
            .state = JOB_PENDING};
        struct job *j = job_new_import(c, &i);
        *vec_push(&c->out->jobs_new) = (struct row_job_new){.id = r->job_id,
            .organization_id = r->organization_id,
            .initiator_id = r->initiator_id,
            .version_id = r->version_id,
            .kind = JOB_IMPORT,
            .provisioner = j->pool->provisioner};
        core_audit(c, &r->initiator_id, "import", "template_version", &r->version_id);
        queue_add(c, j);
    }
    core_reply(c, ticket, REFUSAL_NONE);
}

void core_import_cancel(
    struct core *c, const struct uuid *job_id, const struct uuid *initiator_id, void *ticket)
{
    struct job *j = map_get(&c->jobs, job_id);
    struct uuid id = core_take_command_id(c);
    if (j == NULL || j->kind != JOB_IMPORT) {
        core_reply_task(c, ticket, REFUSAL_JOB_OVER, NULL);
        core_unless_done(c, job_id, &id); /* it may be over because of this very command */
        return;
    }
    if (command_is_done(&id, &j->command_id)) {
        core_reply_task(c, ticket, REFUSAL_NONE, NULL);
        return;
    }
    const struct uuid version_id = container_of(j, struct import, job)->version_id;
    enum refusal refusal = job_cancel(c, j, &id);
    if (refusal == REFUSAL_NONE)
        core_audit(c, initiator_id, "cancel", "template_version", &version_id);
    core_reply_task(c, ticket, refusal, NULL);
}
