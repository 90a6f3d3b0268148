/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - self-clocking group commit (rules 1, 3, 4).
 *
 * The store takes what the core has gathered, writes it as one transaction, and releases the
 * batch's replies and dispatches when Postgres has committed.  While one batch is on its way the
 * next one gathers: a lone request commits at once, a storm is amortised, and there is no timer and
 * no knob.
 *
 * A batch that fails ends this leadership: on_failed() is called, and nothing of it was said.
 */
#ifndef SCHEDULER_STORE_H
#define SCHEDULER_STORE_H

#include "core/db/db.h"
#include "core/kv/feed.h"
#include "scheduler/core/core.h"
#include "scheduler/serve.h"

struct store;

/* Borrows all of them. */
struct store *store_new(struct db *db, struct feed_writer *feed, struct serve *serve,
    void (*on_failed)(void *arg, enum err code, const char *why), void *arg);
void store_free(struct store *s);

/* From now on write for this core under this epoch; NULL: no more.  A batch in flight is disowned:
 * when it is answered, nothing is said. */
void store_lead(struct store *s, struct core *core, uint64_t epoch);

/* Nothing is on its way to Postgres. */
bool store_is_idle(const struct store *s);

/* End of a turn: if nothing is in flight, take and send what has gathered. */
void store_kick(struct store *s);

#endif
