/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work_message.h - the answer to a worker's poll.
 */
#ifndef SCHEDULER_WORK_MESSAGE_H
#define SCHEDULER_WORK_MESSAGE_H

#include "core/bus/bus.h"
#include "core/db/db.h"
#include "scheduler/core/effects.h"

/* What was read from Postgres for it; NULL if nothing was wanted. */
struct work_texts {
    const struct db_result *prompts;    /* rows (task id, prompt) */
    const struct db_result *parameters; /* rows (task id, name, value), those of a task in a row */
    const struct db_result *facts;      /* rows (job id, name, value), likewise */
    const struct db_result *contents;   /* rows (message id, content) */
};

/* Answers the call.  Jobs beyond a few megabytes of prompts are left out: the worker's next poll
 * does not name them, so they are sent then.  A waiting message without a row is over, and left out
 * too. */
void work_reply(
    struct bus_call *call, const struct work *w, uint64_t epoch, const struct work_texts *texts);

#endif
