/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.c - options of a task that is there are changed, all that are asked for or none.
 *
 * Display name and labels mean nothing here and go straight to their row.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

static bool changes(const struct task_update *r, enum task_option option)
{
    return (r->set & 1u << option) != 0;
}

/* A waiting start moves to its new place; its age stays. */
static void set_priority(struct core *c, struct task *t, int32_t priority)
{
    struct job *j = &t->job;
    bool is_waiting = j->lane != NULL;
    t->priority = priority;
    if (is_waiting)
        queue_remove(c, j);
    j->priority = priority;
    if (is_waiting)
        queue_add(c, j);
}

/* The statement that writes the row writes the audit with it: it knows before and after. */
static struct row_audit audit_of(struct core *c, const struct task_update *r)
{
    core_audit(c, &r->initiator_id, "write", "task", &r->task_id);
    return c->out->audits.v[--c->out->audits.n];
}

static void put_row(struct core *c, struct task *t, const struct task_update *r)
{
    struct row_task_options row = {.id = t->id,
        .workspace_id = t->workspace_id,
        .update_id = t->update_id,
        .set = r->set,
        .display_name = effects_strdup(c->out, r->display_name),
        .priority = r->priority,
        .start_after_us = r->start_after_us != 0 ? r->start_after_us : INT64_MIN,
        .time_limit_ms = r->time_limit_ms,
        .ttl_ms = r->ttl_ms,
        .labels = effects_texts(c->out, r->labels, r->n_labels),
        .audit = audit_of(c, r)};
    *vec_push(&c->out->options) = row;
    t->revision++;
}

static void apply(struct core *c, struct task *t, const struct task_update *r)
{
    if (changes(r, TASK_OPTION_PRIORITY))
        set_priority(c, t, r->priority);
    if (changes(r, TASK_OPTION_START_AFTER))
        earliest_change(c, t, r->start_after_us);
    if (changes(r, TASK_OPTION_TIME_LIMIT))
        limit_change(c, t, r->time_limit_ms);
    if (changes(r, TASK_OPTION_TTL))
        idle_change(c, t, r->ttl_ms);
}

void core_task_update(struct core *c, const struct task_update *r, void *ticket)
{
    struct task *t = map_get(&c->tasks, &r->task_id);
    bool is_expected = task_is_expected(c, t);
    struct uuid id = core_take_command_id(c);
    if (t == NULL || t->deleted) {
        core_reply_task(c, ticket, REFUSAL_TASK_UNKNOWN, NULL);
        return;
    }
    if (command_is_done(&id, &t->update_id)) {
        core_reply_task(c, ticket, REFUSAL_NONE, t);
        return;
    }
    if (!is_expected) {
        core_reply_task(c, ticket, REFUSAL_CHANGED, t);
        return;
    }
    if (changes(r, TASK_OPTION_START_AFTER) && !earliest_may_change(t)) {
        core_reply_task(c, ticket, REFUSAL_START_BEGUN, t);
        return;
    }
    if (r->set != 0) {
        t->update_id = id;
        apply(c, t, r);
        put_row(c, t, r);
        task_mark_changed(c, t);
    }
    core_reply_task(c, ticket, REFUSAL_NONE, t);
}
