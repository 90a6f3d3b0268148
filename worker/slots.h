/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - the jobs in hand: which there are, how many more there may be.  Pure: no I/O, no clock.
 *
 * A poll names the jobs in hand, and while it is on its way more may happen; so up to two polls are
 * out at a time, numbered, and a job that ends is remembered (ACKED) until every poll that may have
 * been sent before its end is answered: only those can still bring it again.
 */
#ifndef WORKER_SLOTS_H
#define WORKER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/list.h"
#include "core/base/map.h"
#include "worker/job.h"

struct slots {
    size_t room;                       /* jobs that may take a slot at once */
    struct map by_id;                  /* all but LEAVING */
    struct list list[JOB_STATE_COUNT]; /* by state, oldest first */
    size_t n[JOB_STATE_COUNT];
    uint64_t poll_newest;  /* number of the newest poll that was sent */
    uint64_t polls_out[2]; /* numbers of those that are out; 0: none */
};

void slots_init(struct slots *s, size_t room);
void slots_done(struct slots *s);

enum slots_answer {
    SLOTS_NEW,       /* in hand now, WAITING */
    SLOTS_KNOWN,     /* in hand or just over: leave it */
    SLOTS_STALE,     /* we have a newer lease of it */
    SLOTS_SUPERSEDES /* in hand now; *ret_older has lost its lease: abandon it */
};
/* Takes over `take_job` for NEW and SUPERSEDES only. */
enum slots_answer slots_take(struct slots *s, struct job *take_job, struct job **ret_older);

/* NULL unless this very lease is in hand (WAITING, RUNNING or DONE). */
struct job *slots_find(const struct slots *s, const struct uuid *job_id, uint64_t token);

/* The one mover of a job's state. */
void slots_move(struct slots *s, struct job *j, enum job_state to);
/* The result of a DONE job is committed. */
void slots_ack(struct slots *s, struct job *j);
/* Out of the lists and freed. */
void slots_forget(struct slots *s, struct job *j);

/* Slots that are free; fewer when results pile up because the scheduler does not take them. */
size_t slots_free(const struct slots *s);
size_t slots_busy(const struct slots *s);
/* Jobs that a poll has to name. */
size_t slots_named(const struct slots *s);

/* A poll is sent: its number.  There is room for one while slots_can_poll(). */
bool slots_can_poll(const struct slots *s);
uint64_t slots_poll_sent(struct slots *s);
/* It is answered or lost: forget the jobs it could have brought again. */
void slots_poll_back(struct slots *s, uint64_t number);

#endif
