/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work_message.h - the answer to a worker's poll.
 */
#ifndef SCHEDULER_WORK_MESSAGE_H
#define SCHEDULER_WORK_MESSAGE_H

#include "core/bus/bus.h"
#include "core/db/db.h"
#include "scheduler/core/effects.h"

/* Answers the call.  `prompts`: rows (task id, prompt) for the jobs that want one; NULL if none
 * does. Jobs beyond a few megabytes of prompts are left out: the worker's next poll does not name
 * them, so they are sent then. */
void work_reply(
    struct bus_call *call, const struct work *w, uint64_t epoch, const struct db_result *prompts);

#endif
