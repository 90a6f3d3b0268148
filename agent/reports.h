/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reports.h - what the agent has said and Postgres is not yet known to have (rule 8).
 *
 *             add             sync             read/send            commit
 *   caller ------> written ---------> durable -----------> out ---------------> forgotten
 *
 * Reports are numbered 1, 2, 3, ... per agent id, without a gap, over every restart.  One is kept
 * in the file until the watermark passes it, and none is sent before it is on disk: a number that
 * somebody has seen is never used for anything else.
 *
 * A new agent id (a new build of the workspace) begins at 1 with a fresh file.  What the old agent
 * could not hand over of the conversation, of what the app said and of logs is carried over, signed
 * with the old agent's id and number (Report.of_agent_id).
 *
 * Bounded: at the limit reports_add() answers ERR_FULL and callers wait (they stop reading the
 * app's output); nothing is ever dropped.  The few statements that must be made at any rate
 * (states, the life cycle) pass the limit, and wait in memory while the disk takes nothing.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_REPORTS_H
#define AGENT_REPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

#define REPORTS_BYTES_MAX (64 * 1024 * 1024)
#define REPORTS_MAX       100000

struct reports;

/* `dir` is an open directory, borrowed; the file in it is called "reports".  A torn tail is cut
 * off; a file that is not ours is kept as "reports.bad". */
enum err must_check reports_open(
    int dir, const struct uuid *agent_id, struct reports **ret_reports, struct errctx *ctx);
/* Before the first add; for tests. */
void reports_set_limits(struct reports *r, size_t bytes_max, size_t n_max);
/* Leaves a small file behind when all is committed.  No sync is under way. */
void reports_free(struct reports *r);
DEFINE_SCOPED(struct reports, reports_free)

/* `report` without a number; borrowed.  ERR_FULL, ERR_NO_SPACE, ERR_IO: nothing was added. */
enum err must_check reports_add(struct reports *r, const Stint__V1__Report *report);
/* The same for what must be said: never refused. */
void reports_add_always(struct reports *r, const Stint__V1__Report *report);

bool reports_is_full(const struct reports *r);
/* Numbers: the newest report; all up to this one are on disk; all up to this one are in Postgres.
 */
uint64_t reports_last(const struct reports *r);
uint64_t reports_durable(const struct reports *r);
uint64_t reports_committed(const struct reports *r);
/* Nothing is left to hand over. */
bool reports_is_settled(const struct reports *r);

/* The id for the next chat message: ids go on over builds and restarts.  Adding it takes it. */
uint64_t reports_next_message_id(const struct reports *r);
/* The same for the agent's lines of log, from 1 for each agent. */
uint64_t reports_next_log_id(const struct reports *r);

/*
 * Bring what is written to disk on libuv's pool, one sync at a time: any number of adds are one
 * sync.  Returns false when there is nothing to do or the disk has just failed (it is asked again
 * a second later).  done(arg) follows when true.
 */
bool reports_sync(struct reports *r, struct loop *l, loop_fn done, void *arg);
bool reports_is_syncing(const struct reports *r);
/* The same, now. */
enum err must_check reports_sync_now(struct reports *r);

/* Everything up to `watermark` is in Postgres.  One beyond the newest report means that this disk
 * has lost reports: what is left is numbered anew behind it. */
void reports_commit(struct reports *r, uint64_t watermark);

/* Durable reports with their numbers. */
struct report_batch {
    Stint__V1__Report **v;
    size_t n;
};
/* From number `from` (committed < from <= durable), as many as fit, at least one. */
enum err must_check reports_read(struct reports *r, uint64_t from, size_t n_max, size_t bytes_max,
    struct report_batch *ret_batch);
void report_batch_done(struct report_batch *b);

#endif
