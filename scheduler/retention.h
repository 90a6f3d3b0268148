/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h - nothing grows for ever: partitions are made ahead and dropped by age, old rows that
 * nobody needs go some at a time.  What goes when is in the settings (*_retention in conf.def).
 *
 * The leader's, on the loop's thread, with a connection of its own: what waits here for a lock
 * holds up no commit of a job.
 */
#ifndef SCHEDULER_RETENTION_H
#define SCHEDULER_RETENTION_H

#include "core/loop/loop.h"
#include "scheduler/conf.h"

struct retention;

struct retention *retention_new(struct loop *loop, const struct scheduler_conf *conf);
void retention_free(struct retention *r);
/* Often; does something once a minute, or at once again while there is more. */
void retention_tick(struct retention *r, uint64_t epoch, int64_t now_mono_ms);

#endif
