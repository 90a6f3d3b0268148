/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle.h - the states of an agent's life, Coder's, and the ways between them (lifecycle.def).
 */
#ifndef AGENT_LIFECYCLE_H
#define AGENT_LIFECYCLE_H

#include <stdbool.h>

/* In the order of a life: what is past SHUTTING_DOWN is over. */
enum lifecycle {
    LIFECYCLE_CREATED,
    LIFECYCLE_STARTING,
    LIFECYCLE_READY,
    LIFECYCLE_START_ERROR,
    LIFECYCLE_START_TIMEOUT,
    LIFECYCLE_SHUTTING_DOWN,
    LIFECYCLE_OFF,
    LIFECYCLE_SHUTDOWN_ERROR,
    LIFECYCLE_SHUTDOWN_TIMEOUT,
    LIFECYCLE_COUNT,
};

/* As the control plane has it: "start_error". */
const char *lifecycle_to_str(enum lifecycle state);
/* Why one follows the other; NULL: it never does. */
const char *lifecycle_reason(enum lifecycle from, enum lifecycle to);
bool lifecycle_is_over(enum lifecycle state);

#endif
