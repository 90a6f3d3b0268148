/* SPDX-License-Identifier: Apache-2.0 */
/* hands.c - take, begin, finish. */
#include "worker/hands.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "worker/metric.h"

/* ---- from the wire ---- */

static char *copy(const char *s)
{
    return s == NULL || s[0] == '\0' ? NULL : mem_strdup(s);
}

/* False when an id has the wrong length. */
static bool read_ids(const Stint__V1__JobSpec *w, struct job_spec *s)
{
    return wire_get_uuid(&w->job_id, &s->job_id) && wire_get_uuid(&w->file_id, &s->file_id) &&
           wire_get_uuid(&w->build_id, &s->build_id) &&
           wire_get_uuid(&w->workspace_id, &s->workspace_id) &&
           wire_get_uuid(&w->task_id, &s->task_id) && wire_get_uuid(&w->agent_id, &s->agent_id) &&
           !uuid_is_nil(&s->job_id) && s->kind > JOB_NONE && s->kind < JOB_KIND_COUNT;
}

static void read_texts(const Stint__V1__JobSpec *w, struct job_spec *s)
{
    s->provisioner = copy(w->provisioner);
    s->workspace_name = copy(w->workspace_name);
    s->task_name = copy(w->task_name);
    s->owner_name = copy(w->owner_name);
    s->prompt = copy(w->prompt);
    s->agent_token = copy(w->agent_token);
    s->app_slug = copy(w->app_slug);
    s->template_name = copy(w->template_name);
}

static struct job_text *read_list(Stint__V1__NamedText *const *list, size_t n)
{
    struct job_text *texts = n > 0 ? mem_calloc(n, sizeof(*texts)) : NULL;
    for (size_t i = 0; i < n; i++)
        texts[i] = (struct job_text){mem_strdup(list[i]->name), mem_strdup(list[i]->value)};
    return texts;
}

static void read_lists(const Stint__V1__JobSpec *w, struct job_spec *s)
{
    s->parameters = read_list(w->parameter, w->n_parameter);
    s->n_parameters = w->n_parameter;
    s->facts = read_list(w->fact, w->n_fact);
    s->n_facts = w->n_fact;
}

static const struct provisioner *find_provisioner(const struct hands *h, const char *name)
{
    for (size_t i = 0; i < h->n_provisioners; i++) {
        if (strcmp(h->provisioner[i].name, name) == 0)
            return &h->provisioner[i];
    }
    return NULL;
}

/* ---- finish ---- */

static void say(struct hands *h, const struct job *j)
{
    struct uuid_str id = uuid_format(&j->spec.job_id);
    if (j->outcome == OUTCOME_SUCCEEDED) {
        log_debug("job is done job=%s kind=%s", id.s, job_kind_to_str(j->spec.kind));
        return;
    }
    METRIC_ADD(jobs_failed, 1);
    log_warn("job ended otherwise job=%s kind=%s attempt=%u outcome=%s error=%s", id.s,
        job_kind_to_str(j->spec.kind), j->spec.attempt, job_outcome_to_str(j->outcome),
        LOG_Q(j->ctx.text));
    if (j->provisioner != NULL && !j->provisioner->immediate)
        progress_line(h->progress, &j->spec, "error", "Failed", j->ctx.text);
}

static void finish(struct hands *h, struct job *j, enum job_outcome outcome)
{
    j->outcome = outcome;
    say(h, j);
    if (j->provisioner != NULL && !j->provisioner->immediate)
        progress_drain(h->progress);
    slots_move(h->slots, j, JOB_DONE);
}

static void finish_unbegun(
    struct hands *h, struct job *j, enum job_outcome outcome, enum err code, const char *why)
{
    j->code = err_set(&j->ctx, code, "%s", why);
    j->found.clean = true;
    finish(h, j, outcome);
}

/* ---- begin ---- */

static enum err act(struct job *j)
{
    const struct provisioner *p = j->provisioner;
    return p->action[j->spec.kind](p->self, &j->spec, &j->io, &j->found, &j->ctx);
}

/* On a pool thread. */
static void work(void *arg)
{
    struct job *j = arg;
    j->code = act(j);
}

static void work_done(void *arg)
{
    struct job *j = arg;
    struct hands *h = j->owner;
    if (j->state == JOB_LEAVING) {
        slots_forget(h->slots, j);
        return;
    }
    bool cut_short = h->giving_up && (j->code == ERR_LEASE_LOST || j->code == ERR_CANCELED);
    finish(h, j, cut_short ? OUTCOME_HANDED_BACK : job_outcome_of(j->code));
}

static void begin(struct hands *h, struct job *j)
{
    METRIC_ADD(jobs, 1);
    slots_move(h->slots, j, JOB_RUNNING);
    if (j->provisioner->immediate) {
        j->code = act(j);
        finish(h, j, job_outcome_of(j->code));
        return;
    }
    struct uuid_str id = uuid_format(&j->spec.job_id),
                    workspace = uuid_format(&j->spec.workspace_id);
    log_info("job begins job=%s kind=%s attempt=%u workspace=%s", id.s,
        job_kind_to_str(j->spec.kind), j->spec.attempt, workspace.s);
    loop_work(h->loop, work, work_done, j);
}

void hands_template_ready(void *arg, const struct uuid *job_id, uint64_t token, enum err code,
    const char *dir, const struct errctx *ctx)
{
    struct hands *h = arg;
    struct job *j = slots_find(h->slots, job_id, token);
    if (j == NULL || j->state != JOB_WAITING)
        return;
    bool can_do_without = j->spec.kind == JOB_STOP || j->spec.kind == JOB_DELETE;
    if (code != ERR_OK && !(can_do_without && !err_is_retryable(code))) {
        finish_unbegun(h, j, job_outcome_of(code), code, ctx->text);
        return;
    }
    if (j->spec.template_dir[0] != '\0')
        free(j->spec.template_dir);
    j->spec.template_dir = mem_strdup(code == ERR_OK ? dir : "");
    begin(h, j);
}

/* ---- take ---- */

static struct job *read_job(struct hands *h, const Stint__V1__JobSpec *w)
{
    struct job_spec s = {.token = w->token,
        .kind = (enum job_kind)w->kind,
        .attempt = w->attempt,
        .series = w->series,
        .build_number = w->build_number};
    if (!read_ids(w, &s)) {
        log_error("the scheduler sent a job that is not well formed; it is left alone kind=%d",
            (int)w->kind);
        return NULL;
    }
    const struct provisioner *p = find_provisioner(h, w->provisioner);
    if (p == NULL || !p->immediate) {
        read_texts(w, &s);
        read_lists(w, &s);
    }
    struct job *j = job_new(&s, p);
    j->owner = h;
    j->io.lease = &h->lease;
    if (p != NULL && !p->immediate) {
        j->io.line = progress_line;
        j->io.arg = h->progress;
        j->io.states = h->states;
    }
    return j;
}

static void set_out(struct hands *h, struct job *j)
{
    bool needs_template = j->spec.kind == JOB_START || j->spec.kind == JOB_IMPORT ||
                          (j->provisioner != NULL && j->provisioner->template_for_all);
    if (j->provisioner == NULL)
        finish_unbegun(
            h, j, OUTCOME_FAILED, ERR_CONFIG, "this worker does not offer the job's provisioner");
    else if (h->draining)
        finish_unbegun(h, j, OUTCOME_HANDED_BACK, ERR_CANCELED, "the worker is about to stop");
    else if (needs_template && !j->provisioner->immediate)
        templates_want(h->templates, &j->spec.file_id, &j->spec.job_id, j->spec.token);
    else
        begin(h, j);
}

static void leave(struct hands *h, struct job *j)
{
    if (j->state == JOB_DONE) { /* its result is committed, the word of it is on its way */
        slots_forget(h->slots, j);
        return;
    }
    METRIC_ADD(jobs_abandoned, 1);
    struct uuid_str id = uuid_format(&j->spec.job_id);
    log_warn("the lease of a job is lost; it is left to its new owner job=%s token=%llu state=%s",
        id.s, (unsigned long long)j->spec.token, LOG_Q(job_state_to_str(j->state)));
    if (j->state != JOB_RUNNING) {
        slots_forget(h->slots, j);
        return;
    }
    slots_move(h->slots, j, JOB_LEAVING);
    job_call(j, JOB_ABANDON);
}

void hands_take(struct hands *h, const Stint__V1__JobSpec *spec)
{
    struct job *j = read_job(h, spec), *older = NULL;
    if (j == NULL)
        return;
    switch (slots_take(h->slots, j, &older)) {
    case SLOTS_SUPERSEDES:
        leave(h, older);
        break;
    case SLOTS_NEW:
        break;
    case SLOTS_KNOWN:
    case SLOTS_STALE:
        METRIC_ADD(jobs_repeated, 1);
        job_free(j);
        return;
    }
    set_out(h, j);
}

/* ---- cancel, abandon, drain ---- */

void hands_cancel(struct hands *h, const struct uuid *job_id, uint64_t token)
{
    struct job *j = slots_find(h->slots, job_id, token);
    if (j == NULL)
        return;
    if (j->state == JOB_WAITING)
        finish_unbegun(h, j, OUTCOME_CANCELED, ERR_CANCELED, "canceled");
    else if (j->state == JOB_RUNNING)
        job_call(j, JOB_CANCEL);
}

void hands_abandon(struct hands *h, const struct uuid *job_id, uint64_t token)
{
    struct job *j = slots_find(h->slots, job_id, token);
    if (j != NULL)
        leave(h, j);
}

void hands_drain(struct hands *h)
{
    h->draining = true;
    list_for_safe(it, &h->slots->list[JOB_WAITING])
        finish_unbegun(h, container_of(it, struct job, node), OUTCOME_HANDED_BACK, ERR_CANCELED,
            "the worker is about to stop");
}

void hands_give_up(struct hands *h)
{
    h->giving_up = true;
    list_for(it, &h->slots->list[JOB_RUNNING])
        job_call(container_of(it, struct job, node), JOB_ABANDON);
}
