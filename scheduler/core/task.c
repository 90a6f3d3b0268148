/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.c - what people ask of tasks, and the builds that follow from it.
 *
 *   create ─> start build ─> (queue) ─> active ─> stop build ─> paused ─> start build ─> …
 *                                          └──────────┴── delete build ─> forgotten
 *
 * A request that comes twice finds what the first one did, by its task or build id, and gets the
 * same answer.
 */
#include <assert.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "scheduler/core/model.h"

static const struct uuid nobody;

void task_free(struct task *t)
{
    if (t == NULL)
        return;
    free(t->job.error);
    if (t->cleanup != NULL)
        free(t->cleanup->error);
    free(t->cleanup);
    free(t->agent);
    mailbox_free(t->mail);
    free(t);
}

/* The workspace is gone: nothing of the task is needed any more. */
void task_forget(struct core *c, struct task *t)
{
    struct uuid key = core_name_key(&t->owner->id, t->name);
    if (map_get(&c->names, &key) == t)
        map_remove(&c->names, &key);
    agent_end(c, t);
    idle_end(t);
    limit_end(t);
    map_remove(&c->tasks, &t->id);
    *vec_push(&c->forgotten) = t;
}

/* ---- builds ---- */

static void row_of_build(
    struct core *c, const struct task *t, const char *reason, const struct uuid *initiator_id)
{
    const struct job *j = &t->job;
    struct row_build_new row = {.id = t->build_id,
        .workspace_id = t->workspace_id,
        .task_id = t->id,
        .organization_id = t->organization_id,
        .initiator_id = *initiator_id,
        .version_id = t->version->id,
        .job_id = j->id,
        .number = t->build_number,
        .priority = j->priority,
        .kind = j->kind,
        .job_state = j->state,
        .holds_compute = j->holds_compute,
        .has_parameters = t->has_parameters,
        .reason = reason,
        .provisioner = t->provisioner,
        .app_slug = t->app_slug};
    if (j->kind == JOB_START && t->agent != NULL) {
        row.agent_id = t->agent->id;
        row.agent_token = t->agent->token;
        row.app_id = core_uuid(c);
    }
    *vec_push(&c->out->builds_new) = row;
}

void task_begin_build(struct core *c, struct task *t, const struct uuid *build_id,
    enum job_kind kind, const char *reason, const struct uuid *initiator_id)
{
    struct job *j = &t->job;
    bool holds = j->holds_compute;
    bool nothing_there =
        kind != JOB_START && t->host == NULL && !provisioner_is_terraform(t->provisioner);
    assert(t->build_number == 0 || job_state_is_over(j->state));
    job_write_now(c, j); /* what became of the one before may have come in this very batch */
    free(j->error);
    *j = (struct job){.id = core_uuid(c),
        .kind = kind,
        .state = JOB_PENDING,
        .priority = t->priority,
        .holds_compute = holds,
        .task = t,
        .pool = queue_pool(c, t->provisioner, t->host)};
    idle_end(t);
    limit_end(t);
    if (t->build_number > 0)
        t->start_after_us = 0; /* it is for the first start alone */
    t->build_before = t->build_id;
    t->build_id = *build_id;
    t->build_number++;
    if (kind == JOB_START && t->app_slug != NULL) {
        struct uuid agent_id = core_uuid(c), token = core_uuid(c);
        agent_begin(c, t, &agent_id, &token);
    }
    if (nothing_there) /* it never got as far as a host: a word suffices */
        job_move(c, j, JOB_FINISH);
    row_of_build(c, t, reason, initiator_id);
    if (t->build_number > 1)
        task_mark_workspace(c, t);
    task_mark_changed(c, t);
    if (nothing_there) {
        task_build_over(c, t);
        return;
    }
    map_put(&c->jobs, &j->id, j);
    queue_add(c, j);
}

void task_build_over(struct core *c, struct task *t)
{
    struct job *j = &t->job;
    if (j->kind == JOB_DELETE && j->state == JOB_SUCCEEDED) {
        t->workspace_deleted = true;
        task_mark_workspace(c, t);
        task_forget(c, t);
        return;
    }
    if (j->kind == JOB_START && j->state != JOB_SUCCEEDED && j->holds_compute)
        job_start_cleanup(c, t);
    if (j->kind != JOB_START || j->state != JOB_SUCCEEDED)
        return;
    idle_begin(c, t);
    limit_begin(c, t, 0);
    if (t->agent != NULL)
        agent_expected(c, t->agent);
}

void task_pause_by_itself(struct core *c, struct task *t, const char *action)
{
    struct uuid build_id = core_uuid(c);
    task_begin_build(c, t, &build_id, JOB_STOP, "task_auto_pause", &t->owner->id);
    core_audit(c, &nobody, action, "task", &t->id);
    if (t->agent != NULL)
        agent_set_resting(c, t->agent, false);
}

/* ---- create ---- */

enum refusal task_may_start(const struct core *c, bool later)
{
    if ((int64_t)(c->n_waiting + c->n_sleeping) >= c->conf.queue_max)
        return REFUSAL_QUEUE_FULL;
    if (!later && c->conf.cap_policy == CAP_REJECT &&
        (int64_t)(c->n_holding + c->n_waiting) >= c->conf.cap)
        return REFUSAL_CAP_REACHED;
    return REFUSAL_NONE;
}

static struct task *task_new(struct core *c, const struct task_create *r)
{
    struct task *t = mem_alloc(sizeof(*t));
    t->id = r->task_id;
    t->workspace_id = core_uuid(c);
    t->organization_id = r->organization_id;
    t->template_id = r->template_id;
    t->owner = core_owner(c, &r->owner_id, r->owner_name);
    t->version = core_version(c, &r->version_id, &r->file_id, r->template_name);
    t->provisioner = core_intern(c, r->provisioner);
    t->app_slug =
        r->app_slug != NULL && r->app_slug[0] != '\0' ? core_intern(c, r->app_slug) : NULL;
    t->priority = r->priority;
    t->ttl_ms = r->ttl_ms;
    t->bump_ms = r->activity_bump_ms;
    t->start_after_us = r->start_after_us;
    t->time_limit_ms = r->time_limit_ms;
    t->has_parameters = r->n_parameters > 0;
    memcpy(t->name, r->name, strnlen(r->name, TASK_NAME_MAX));
    map_put(&c->tasks, &t->id, t);
    return t;
}

static struct row_task_new row_of_task(
    struct core *c, const struct task *t, const struct task_create *r)
{
    return (struct row_task_new){.id = t->id,
        .organization_id = t->organization_id,
        .owner_id = t->owner->id,
        .workspace_id = t->workspace_id,
        .template_id = t->template_id,
        .version_id = t->version->id,
        .preset_id = r->preset_id,
        .name = t->name,
        .display_name = effects_strdup(c->out, r->display_name),
        .prompt = effects_strdup(c->out, r->prompt),
        .provisioner = t->provisioner,
        .ttl_ms = t->ttl_ms,
        .activity_bump_ms = t->bump_ms,
        .start_after_us = r->start_after_us != 0 ? r->start_after_us : INT64_MIN,
        .time_limit_ms = r->time_limit_ms,
        .priority = r->priority,
        .has_options = r->n_parameters + r->n_labels > 0 || !uuid_is_nil(&r->preset_id) ||
                       r->start_after_us != 0 || r->time_limit_ms != 0 || r->priority != 0,
        .parameters = effects_texts(c->out, r->parameters, r->n_parameters),
        .labels = effects_texts(c->out, r->labels, r->n_labels)};
}

void core_task_create(struct core *c, const struct task_create *r, void *ticket)
{
    struct task *t = map_get(&c->tasks, &r->task_id);
    if (t != NULL) {
        core_reply_task(c, ticket, REFUSAL_NONE, t);
        return;
    }
    struct uuid key = core_name_key(&r->owner_id, r->name);
    enum refusal refusal = map_get(&c->names, &key) != NULL
                               ? REFUSAL_NAME_TAKEN
                               : task_may_start(c, r->start_after_us != 0);
    if (refusal != REFUSAL_NONE) {
        core_reply_task(c, ticket, refusal, NULL);
        return;
    }
    t = task_new(c, r);
    map_put(&c->names, &key, t);
    struct row_task_new row = row_of_task(c, t, r);
    *vec_push(&c->out->tasks_new) = row;
    struct uuid build_id = core_uuid(c);
    task_begin_build(c, t, &build_id, JOB_START, "initiator", &r->initiator_id);
    core_audit(c, &r->initiator_id, "create", "task", &t->id);
    core_reply_task(c, ticket, REFUSAL_NONE, t);
}

/* ---- pause, resume, delete, new input ---- */

struct command {
    const struct uuid *initiator_id, *build_id;
    const char *text;                 /* the new input, or a build's reason */
    const struct task_resume *resume; /* NULL: no new parameters */
    struct uuid id;                   /* nil: it has none but the build's */
};

/* Of a build that somebody asked for: what he says, if it is a reason that people have. */
static const char *reason_of(const struct command *cmd, const char *otherwise)
{
    static const char *const reasons[] = {"initiator", "dashboard", "cli", "ssh_connection",
        "vscode_connection", "jetbrains_connection", "task_manual_pause", "task_resume"};
    for (size_t i = 0; cmd->text != NULL && i < COUNT(reasons); i++)
        if (strcmp(reasons[i], cmd->text) == 0)
            return reasons[i];
    return otherwise;
}

static bool build_is_active(const struct task *t)
{
    return !job_state_is_over(t->job.state);
}

static enum refusal do_pause(struct core *c, struct task *t, const struct command *cmd)
{
    if (build_is_active(t))
        return REFUSAL_BUILD_ACTIVE;
    task_begin_build(
        c, t, cmd->build_id, JOB_STOP, reason_of(cmd, "task_manual_pause"), cmd->initiator_id);
    core_audit(c, cmd->initiator_id, "pause", "task", &t->id);
    return REFUSAL_NONE;
}

bool task_cleanup_gives_way(struct core *c, struct task *t)
{
    struct job *j = t->cleanup;
    if (j == NULL)
        return true;
    if (j->state != JOB_PENDING)
        return false;
    queue_remove(c, j);
    job_move(c, j, JOB_CANCEL);
    map_remove(&c->jobs, &j->id);
    t->cleanup = NULL;
    *vec_push(&c->over) = j;
    return true;
}

static void take_parameters(struct core *c, struct task *t, const struct task_resume *r)
{
    t->has_parameters = r->n_parameters > 0;
    struct row_task_options row = {.id = t->id,
        .workspace_id = t->workspace_id,
        .set = 1u << TASK_OPTION_PARAMETERS,
        .parameters = effects_texts(c->out, r->parameters, r->n_parameters)};
    *vec_push(&c->out->options) = row;
    t->revision++;
}

static enum refusal do_resume(struct core *c, struct task *t, const struct command *cmd)
{
    if (t->job.kind == JOB_START && t->job.state == JOB_SUCCEEDED)
        return REFUSAL_ALREADY_RUNNING;
    if (build_is_active(t))
        return REFUSAL_BUILD_ACTIVE;
    enum refusal refusal = t->job.holds_compute ? REFUSAL_NONE : task_may_start(c, false);
    if (refusal != REFUSAL_NONE)
        return refusal;
    if (!task_cleanup_gives_way(c, t))
        return REFUSAL_BUILD_ACTIVE;
    if (cmd->resume != NULL)
        take_parameters(c, t, cmd->resume);
    task_begin_build(
        c, t, cmd->build_id, JOB_START, reason_of(cmd, "task_resume"), cmd->initiator_id);
    core_audit(c, cmd->initiator_id, "resume", "task", &t->id);
    return REFUSAL_NONE;
}

/* A task that still waits for its turn can go at once; anything under way must end first. */
static bool waiting_gives_way(struct core *c, struct task *t)
{
    struct job *j = &t->job;
    if (!build_is_active(t))
        return task_cleanup_gives_way(c, t);
    if (j->state != JOB_PENDING || j->kind == JOB_DELETE)
        return false;
    queue_remove(c, j);
    job_move(c, j, JOB_CANCEL);
    map_remove(&c->jobs, &j->id);
    return true;
}

static enum refusal do_delete(struct core *c, struct task *t, const struct command *cmd)
{
    if (!waiting_gives_way(c, t))
        return REFUSAL_BUILD_ACTIVE;
    t->deleted = true;
    message_withdraw_all(c, t);
    struct row_task_change row = {.id = t->id, .deleted = true};
    *vec_push(&c->out->tasks) = row;
    core_audit(c, cmd->initiator_id, "delete", "task", &t->id);
    task_begin_build(c, t, cmd->build_id, JOB_DELETE, "initiator", cmd->initiator_id);
    return REFUSAL_NONE;
}

static enum refusal do_update_input(struct core *c, struct task *t, const struct command *cmd)
{
    if (t->job.kind != JOB_STOP || t->job.state != JOB_SUCCEEDED)
        return REFUSAL_NOT_PAUSED;
    const char *prompt = effects_strdup(c->out, cmd->text);
    *vec_push(&c->out->tasks) =
        (struct row_task_change){.id = t->id, .update_id = cmd->id, .prompt = prompt};
    t->revision++;
    t->update_id = cmd->id;
    core_audit(c, cmd->initiator_id, "write", "task", &t->id);
    c->out->audits.v[c->out->audits.n - 1].prompt = prompt;
    task_mark_changed(c, t);
    return REFUSAL_NONE;
}

static enum refusal do_cancel(struct core *c, struct task *t, const struct command *cmd)
{
    if (!uuid_eq(&t->build_id, cmd->build_id))
        return REFUSAL_JOB_OVER;
    enum refusal refusal = job_cancel(c, &t->job, &cmd->id);
    if (refusal == REFUSAL_NONE)
        core_audit(c, cmd->initiator_id, "cancel", "workspace_build", &t->build_id);
    return refusal;
}

static enum refusal (*const verbs[])(struct core *, struct task *, const struct command *) = {
    [TASK_PAUSE] = do_pause,
    [TASK_RESUME] = do_resume,
    [TASK_DELETE] = do_delete,
    [TASK_UPDATE_INPUT] = do_update_input,
    [TASK_CANCEL] = do_cancel,
};

/* ---- conditions ---- */

void core_expect(struct core *c, const struct task_condition *only_if)
{
    c->expected = *only_if;
    c->has_expected = true;
}

bool task_is_expected(struct core *c, const struct task *t)
{
    const struct task_condition *e = &c->expected;
    bool has_expected = c->has_expected;
    c->has_expected = false;
    return !has_expected || t == NULL ||
           (t->revision == e->revision &&
               (uuid_is_nil(&e->build_id) || uuid_eq(&t->build_id, &e->build_id)));
}

/* ---- carrying out ---- */

/* It was sent before: builds are known by their own ids, the others by that of the command. */
static bool is_done(enum task_verb verb, const struct task *t, const struct command *cmd)
{
    bool is_named = !uuid_is_nil(cmd->build_id);
    bool is_its_build = is_named && uuid_eq(&t->build_id, cmd->build_id);
    if (is_named && uuid_eq(&t->build_before, cmd->build_id)) /* and paused by itself since */
        return verb != TASK_CANCEL;
    if (verb == TASK_CANCEL)
        return is_its_build && command_is_done(&cmd->id, &t->job.command_id);
    return is_its_build || command_is_done(&cmd->id, &t->update_id);
}

static void carry_out(struct core *c, enum task_verb verb, const struct uuid *task_id,
    const struct command *cmd, void *ticket)
{
    struct task *t = map_get(&c->tasks, task_id);
    bool is_expected = task_is_expected(c, t);
    if (t != NULL && is_done(verb, t, cmd)) {
        core_reply_task(c, ticket, REFUSAL_NONE, t);
        return;
    }
    if (t == NULL || t->deleted || (size_t)verb >= COUNT(verbs) || verbs[verb] == NULL) {
        core_reply_task(c, ticket, REFUSAL_TASK_UNKNOWN, NULL);
        return;
    }
    enum refusal refusal = is_expected ? verbs[verb](c, t, cmd) : REFUSAL_CHANGED;
    core_reply_task(c, ticket, refusal, t);
}

void core_task_command(struct core *c, enum task_verb verb, const struct uuid *task_id,
    const struct uuid *initiator_id, const struct uuid *build_id, const char *text, void *ticket)
{
    struct command cmd = {.initiator_id = initiator_id,
        .build_id = build_id,
        .text = text,
        .id = core_take_command_id(c)};
    carry_out(c, verb, task_id, &cmd, ticket);
}

void core_task_resume(struct core *c, const struct task_resume *r, void *ticket)
{
    struct command cmd = {
        .initiator_id = &r->initiator_id, .build_id = &r->build_id, .text = r->reason, .resume = r};
    carry_out(c, TASK_RESUME, &r->task_id, &cmd, ticket);
}

/* ---- make room ---- */

static bool has_rested(const struct core *c, const struct list *rest_link)
{
    const struct agent *a = container_of(rest_link, struct agent, rest_link);
    return c->now_ms - a->rests_since_ms >= c->conf.make_room_grace_ms;
}

/* While others wait for the cap, tasks that rest give up their compute, longest rest first.  For
 * starts that no worker could take, such as those of a host that is gone, nobody gives way. */
void task_pause_to_make_room(struct core *c)
{
    if (c->n_waiting == 0 || (int64_t)c->n_holding < c->conf.cap)
        return;
    if (list_is_empty(&c->resting) || !has_rested(c, c->resting.next))
        return; /* before counting: the queue may be long */
    size_t freeing = 0, wanted = queue_waits_for_room(c);
    struct job *j;
    for (size_t i = 0; (j = map_next(&c->jobs, &i)) != NULL;)
        freeing += j->kind == JOB_STOP || j->kind == JOB_DELETE;

    list_for_safe(it, &c->resting)
    {
        struct agent *a = container_of(it, struct agent, rest_link);
        struct task *t = a->task;
        if (freeing >= wanted || !has_rested(c, it))
            return;
        if (build_is_active(t) || t->job.kind != JOB_START || t->job.state != JOB_SUCCEEDED)
            continue;
        task_pause_by_itself(c, t, "make_room");
        c->counts.made_room++;
        freeing++;
    }
}
