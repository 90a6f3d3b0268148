/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.c - runs that have lasted long enough are paused, busy or not.
 *
 *   start has succeeded ──(time limit)──> pause
 *
 * It counts from the start job's success, whose time is in Postgres anyway: a new leader counts on
 * from there.  Each run of a task has the whole limit.  What happened is told in the log of the
 * stop build and in the audit log.
 */
#include <stdio.h>

#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define CHECK_MS 1000

static void count(struct core *c, struct task *t)
{
    list_unlink(&t->limit_link);
    if (t->time_limit_ms > 0)
        list_append(&c->limited, &t->limit_link);
}

void limit_begin(struct core *c, struct task *t, int64_t ran_ms)
{
    t->run_began_ms = c->now_ms - ran_ms;
    if (!t->deleted)
        count(c, t);
}

void limit_end(struct task *t)
{
    list_unlink(&t->limit_link);
}

void limit_change(struct core *c, struct task *t, int64_t time_limit_ms)
{
    t->time_limit_ms = time_limit_ms;
    if (t->job.kind == JOB_START && t->job.state == JOB_SUCCEEDED)
        count(c, t);
}

static void say_why(struct core *c, const struct task *t)
{
    char why[80];
    snprintf(why, sizeof(why), "The run has reached its time limit of %lld s.",
        (long long)(t->time_limit_ms + 999) / 1000);
    *vec_push(&c->out->logs) = (struct row_log){.job_id = t->job.id,
        .id = 1, /* those of workers begin at the first token */
        .level = "info",
        .stage = "Time limit",
        .output = effects_strdup(c->out, why)};
}

void limit_tick(struct core *c)
{
    if (c->now_ms - c->limit_checked_ms < CHECK_MS)
        return;
    c->limit_checked_ms = c->now_ms;
    list_for_safe(it, &c->limited)
    {
        struct task *t = container_of(it, struct task, limit_link);
        if (c->now_ms - t->run_began_ms < t->time_limit_ms)
            continue;
        task_pause_by_itself(c, t, "time_limit");
        say_why(c, t);
        c->counts.time_limited++;
    }
}
