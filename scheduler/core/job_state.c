/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/job_state.h"

#include <stddef.h>
#include <string.h>

#include "core/base/cleanup.h"

struct transition {
    enum job_state from;
    enum job_event event;
    enum job_state to;
    const char *reason;
};

static const struct transition transitions[] = {
#define TRANSITION(f, e, t, r) {JOB_##f, JOB_##e, JOB_##t, r},
#include "scheduler/core/job_state.def"
};

static const char *const names[] = {
    [JOB_PENDING] = "pending",
    [JOB_RUNNING] = "running",
    [JOB_CANCELING] = "canceling",
    [JOB_SUCCEEDED] = "succeeded",
    [JOB_FAILED] = "failed",
    [JOB_CANCELED] = "canceled",
};
_Static_assert(COUNT(names) == JOB_STATE_COUNT, "every state has a name");

static const struct transition *find(enum job_state from, enum job_event event)
{
    for (size_t i = 0; i < COUNT(transitions); i++)
        if (transitions[i].from == from && transitions[i].event == event)
            return &transitions[i];
    return NULL;
}

bool job_state_next(enum job_state from, enum job_event event, enum job_state *ret_next)
{
    const struct transition *t = find(from, event);
    if (t != NULL)
        *ret_next = t->to;
    return t != NULL;
}

const char *job_state_reason(enum job_state from, enum job_event event)
{
    const struct transition *t = find(from, event);
    return t != NULL ? t->reason : "";
}

const char *job_state_name(enum job_state state)
{
    return names[state];
}

bool job_state_parse(const char *name, enum job_state *ret_state)
{
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_state = (enum job_state)i;
            return true;
        }
    }
    return false;
}

bool job_state_is_over(enum job_state state)
{
    return state >= JOB_SUCCEEDED;
}
