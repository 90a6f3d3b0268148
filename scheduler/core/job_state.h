/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_state.h - the life of a job, as data.
 *
 *               LEASE              SUCCEED
 *   PENDING ------------> RUNNING ---------> SUCCEEDED
 *    |   ^                 |  |  \ FAIL
 *    |   | RETRY, RETURN,  |  |   `--------> FAILED
 *    |   | EXPIRE          |  | CANCEL
 *    |   `-----------------'  v
 *    |                      CANCELING -----> CANCELED  (or SUCCEEDED, when it was too late)
 *    `--------------------------------------^
 *               CANCEL
 *
 * Every change of state goes through job_state_next(); nothing else decides it.  The names are the
 * values of the SQL type job_state.
 */
#ifndef SCHEDULER_CORE_JOB_STATE_H
#define SCHEDULER_CORE_JOB_STATE_H

#include <stdbool.h>

enum job_state {
    JOB_PENDING,
    JOB_RUNNING,
    JOB_CANCELING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_CANCELED,
    JOB_STATE_COUNT
};

enum job_event {
    JOB_LEASE,
    JOB_CANCEL,
    JOB_FINISH,
    JOB_SUCCEED,
    JOB_RETRY,
    JOB_RETURN,
    JOB_EXPIRE,
    JOB_FAIL,
    JOB_REVIVE,
    JOB_EVENT_COUNT
};

/* True, and *ret_next set, when `event` is legal in `from`. */
bool job_state_next(enum job_state from, enum job_event event, enum job_state *ret_next);

/* The sentence of that transition; "" when it is not legal. */
const char *job_state_reason(enum job_state from, enum job_event event);

const char *job_state_name(enum job_state state);
bool job_state_parse(const char *name, enum job_state *ret_state);

/* The job is over: succeeded, failed or canceled. */
bool job_state_is_over(enum job_state state);

#endif
