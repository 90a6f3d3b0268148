/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention.h - what nobody needs any more goes: old rows of the audit log, keys that have ended.
 *
 * The leader's, on the loop's thread; some rows at a time, so that nobody waits for it.
 */
#ifndef SCHEDULER_RETENTION_H
#define SCHEDULER_RETENTION_H

#include "core/db/db.h"
#include "scheduler/conf.h"

struct retention;

struct retention *retention_new(const struct scheduler_conf *conf, struct db *db);
/* After the database's end: no answer comes any more. */
void retention_free(struct retention *r);
/* Often; does something once a minute, or at once again while there is more. */
void retention_tick(struct retention *r, uint64_t epoch, int64_t now_mono_ms);

#endif
