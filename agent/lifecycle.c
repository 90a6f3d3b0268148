/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of lifecycle.def. */
#include "agent/lifecycle.h"

#include <stddef.h>

#include "core/base/cleanup.h"

static const char *const names[LIFECYCLE_COUNT] = {
    [LIFECYCLE_CREATED] = "created",
    [LIFECYCLE_STARTING] = "starting",
    [LIFECYCLE_READY] = "ready",
    [LIFECYCLE_START_ERROR] = "start_error",
    [LIFECYCLE_START_TIMEOUT] = "start_timeout",
    [LIFECYCLE_SHUTTING_DOWN] = "shutting_down",
    [LIFECYCLE_OFF] = "off",
    [LIFECYCLE_SHUTDOWN_ERROR] = "shutdown_error",
    [LIFECYCLE_SHUTDOWN_TIMEOUT] = "shutdown_timeout",
};

static const struct transition {
    enum lifecycle from, to;
    const char *reason;
} transitions[] = {
#define TRANSITION(from, to, reason) {LIFECYCLE_##from, LIFECYCLE_##to, reason},
#include "agent/lifecycle.def"
};

const char *lifecycle_to_str(enum lifecycle state)
{
    return names[state];
}

const char *lifecycle_reason(enum lifecycle from, enum lifecycle to)
{
    for (size_t i = 0; i < COUNT(transitions); i++)
        if (transitions[i].from == from && transitions[i].to == to)
            return transitions[i].reason;
    return NULL;
}

bool lifecycle_is_over(enum lifecycle state)
{
    return state > LIFECYCLE_SHUTTING_DOWN;
}
