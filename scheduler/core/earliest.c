/* SPDX-License-Identifier: Apache-2.0 */
/*
 * earliest.c - tasks that are not to start before a time wait outside the queue.
 *
 *   create, change ──> asked ──(Postgres: left_ms)──> asleep ──> asked ──(left_ms <= 0)──> queue
 *
 * The time is one of the database's clock (rule 11), so it is Postgres that says how much of it is
 * left: with the commit that writes it, then when that should be over, and at least every ten
 * minutes, should one of the clocks have been set.  A new leader asks again.
 *
 * A sleeper is a pending start without a place in the queue; once it has slept, its age there
 * counts from its waking.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define ASK_AGAIN_MS 600000

static void ask(struct core *c, struct job *j)
{
    j->wake_at_ms = INT64_MAX;
    *vec_push(&c->out->starts) = j->task->id;
}

void earliest_sleep(struct core *c, struct job *j)
{
    j->sleeps = true;
    j->start_at_ms = INT64_MAX;
    c->n_sleeping++;
    list_append(&c->sleeping, &j->link);
    ask(c, j);
}

void earliest_forget(struct core *c, struct job *j)
{
    if (!j->sleeps)
        return;
    j->sleeps = false;
    c->n_sleeping--;
}

static void wake(struct core *c, struct task *t)
{
    t->start_after_us = 0;
    queue_remove(c, &t->job);
    queue_add(c, &t->job);
    task_mark_changed(c, t);
}

/* An answer about a time that was changed meanwhile says nothing: another one is under way. */
void core_start_in(
    struct core *c, const struct uuid *task_id, int64_t start_after_us, int64_t left_ms)
{
    struct task *t = map_get(&c->tasks, task_id);
    if (t == NULL || !t->job.sleeps || t->start_after_us != start_after_us)
        return;
    if (left_ms <= 0) {
        wake(c, t);
        return;
    }
    struct job *j = &t->job;
    j->seq = 0;
    j->start_at_ms = c->now_ms + left_ms;
    j->wake_at_ms = c->now_ms + (left_ms < ASK_AGAIN_MS ? left_ms : ASK_AGAIN_MS);
    if (j->wake_at_ms < c->next_wake_ms)
        c->next_wake_ms = j->wake_at_ms;
}

/* It waits for its first start, and no worker has had that yet. */
bool earliest_may_change(const struct task *t)
{
    const struct job *j = &t->job;
    return t->build_number == 1 && j->kind == JOB_START && j->state == JOB_PENDING && j->token == 0;
}

void earliest_change(struct core *c, struct task *t, int64_t start_after_us)
{
    struct job *j = &t->job;
    if (start_after_us == 0 && !j->sleeps)
        return;
    t->start_after_us = start_after_us;
    queue_remove(c, j);
    queue_add(c, j);
}

void earliest_tick(struct core *c)
{
    if (c->now_ms < c->next_wake_ms)
        return;
    c->next_wake_ms = INT64_MAX;
    list_for(it, &c->sleeping)
    {
        struct job *j = container_of(it, struct job, link);
        if (j->wake_at_ms <= c->now_ms)
            ask(c, j);
        else if (j->wake_at_ms < c->next_wake_ms)
            c->next_wake_ms = j->wake_at_ms;
    }
}
