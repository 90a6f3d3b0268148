/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.h - one job in hand.
 *
 *            take                 begin                 finish                ack
 *   (none) --------> WAITING ----------------> RUNNING ---------> DONE ----------------> ACKED
 *                     |  |  its template is      |                 ^                       | the
 * polls that |  |  being fetched        | abandon         |                       | were out then
 *            abandon  |  +-----------------------|-----------------+                       v are
 * answered v    canceled, handed back v                                      (forgotten)
 *                 (forgotten) <-- returned --- LEAVING
 *
 * WAITING, RUNNING and LEAVING take a slot.  WAITING, RUNNING and DONE are named to the scheduler
 * with every poll.  ACKED is remembered so that a JobSpec that was on its way twice is not run
 * again.  All of it belongs to the loop's thread, but `io` and `spec` to the action while RUNNING
 * or LEAVING.
 */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H

#include <stdint.h>

#include "core/base/list.h"
#include "core/base/vec.h"
#include "worker/provisioner/provisioner.h"

enum job_state {
#define STATE(symbol, takes_slot, is_named, text) JOB_##symbol,
#include "worker/job_state.def"
    JOB_STATE_COUNT
};

/* As JobOutcome on the wire, number for number. */
enum job_outcome {
    OUTCOME_NONE,
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,
    OUTCOME_FAILED_FOR_GOOD,
    OUTCOME_CANCELED,
    OUTCOME_HANDED_BACK,
};

/* A progress line; kept until Postgres has it. */
struct job_line {
    uint64_t seq;
    int64_t at_us;
    const char *level; /* a literal */
    char *stage;
    char *output;
};

struct job {
    struct job_spec spec;
    struct job_io io;
    const struct provisioner *provisioner;
    enum job_state state;
    struct list node; /* the list of its state, in `slots` */
    void *owner;      /* whose pool callbacks find their way by it */

    enum job_outcome outcome;
    enum err code;
    struct errctx ctx;
    struct job_found found;
    bool in_flight; /* DONE: its result is out */

    VEC(struct job_line) lines;
    uint64_t line_seq;  /* of the newest line */
    uint64_t line_sent; /* handed to Redis up to here */
    bool lines_dirty;

    uint64_t acked_at_poll; /* ACKED: forget it when no poll up to this number is out */
};

const char *job_state_to_str(enum job_state s);
bool job_takes_slot(enum job_state s);
bool job_is_named(enum job_state s);

const char *job_kind_to_str(enum job_kind k);
const char *job_outcome_to_str(enum job_outcome o);

/* Takes over the strings of *take_spec; unset ones become "". */
struct job *job_new(struct job_spec *take_spec, const struct provisioner *p);
void job_free(struct job *j);

/* What to tell the scheduler of an action that ended with `code`. */
enum job_outcome job_outcome_of(enum err code);

/* The next line's number; level is a literal.  Beyond a bound the line is dropped and 0 returned.
 */
uint64_t job_add_line(
    struct job *j, int64_t at_us, const char *level, char *take_stage, char *take_output);
/* Postgres has the lines up to seq. */
void job_commit_lines(struct job *j, uint64_t seq);

/* Ask the action to end; the greater call wins.  Any thread. */
void job_call(struct job *j, enum job_call call);

#endif
