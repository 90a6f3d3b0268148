/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idle.c - tasks that nobody uses pause by themselves.
 *
 *   start has succeeded ──> deadline = now + ttl ──(activity: at least now + bump)──> pause
 *
 * Activity is a report `working`, the end of it, and a message that the app has taken.  It counts
 * only when a twentieth of the bump has passed since the last time, so that a flood of reports does
 * not become a flood of rows.  A task that works is never paused; its deadline moves on when it has
 * come to rest.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define CHECK_MS 1000

static void set(struct core *c, struct task *t, int64_t left_ms)
{
    t->deadline_ms = c->now_ms + left_ms;
    *vec_push(&c->out->deadlines) =
        (struct row_deadline){.build_id = t->build_id, .left_ms = left_ms};
}

void idle_begin(struct core *c, struct task *t)
{
    if (t->ttl_ms <= 0 || t->deleted)
        return;
    list_unlink(&t->timed_link);
    list_append(&c->timed, &t->timed_link);
    set(c, t, t->ttl_ms);
}

void idle_end(struct task *t)
{
    list_unlink(&t->timed_link);
}

void idle_load(struct core *c, struct task *t, int64_t left_ms)
{
    t->deadline_ms = c->now_ms + left_ms;
    list_append(&c->timed, &t->timed_link);
}

void idle_activity(struct core *c, struct task *t)
{
    if (!list_is_linked(&t->timed_link) || t->bump_ms <= 0)
        return;
    int64_t left_ms = t->deadline_ms - c->now_ms;
    if (left_ms < t->bump_ms - t->bump_ms / 20)
        set(c, t, t->bump_ms);
}

void idle_change(struct core *c, struct task *t, int64_t ttl_ms)
{
    bool was_timed = list_is_linked(&t->timed_link);
    t->ttl_ms = ttl_ms;
    idle_end(t);
    if (t->job.kind != JOB_START || t->job.state != JOB_SUCCEEDED)
        return;
    if (ttl_ms > 0)
        idle_begin(c, t);
    else if (was_timed)
        *vec_push(&c->out->deadlines) =
            (struct row_deadline){.build_id = t->build_id, .left_ms = -1};
}

static void pause_idle(struct core *c, struct task *t)
{
    task_pause_by_itself(c, t, "auto_pause");
    c->counts.auto_paused++;
}

void idle_tick(struct core *c)
{
    if (c->now_ms - c->idle_checked_ms < CHECK_MS)
        return;
    c->idle_checked_ms = c->now_ms;
    list_for_safe(it, &c->timed)
    {
        struct task *t = container_of(it, struct task, timed_link);
        bool works = t->agent != NULL && t->agent->working;
        if (t->deadline_ms <= c->now_ms && !works)
            pause_idle(c, t);
    }
}
