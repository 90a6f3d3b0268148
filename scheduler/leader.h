/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leader.h - one leader at a time (rule 4), crash-only (rule 2).
 *
 *   STANDBY --lock--> LOADING --rows read--> LEADING --asked to--> LEAVING
 *      ^                 |                      |     what is under way is answered
 *      `-----------------+---- any failure -----+---------------------'
 *                                  forget everything, connect anew
 *
 * The leader is whoever's session holds the advisory lock.  The same session writes the batches:
 * when it breaks, lock and leadership are gone together.  What a deposed leader still tries to
 * write fails on the epoch.  A leader that falls silent loses its session (leader.c).
 */
#ifndef SCHEDULER_LEADER_H
#define SCHEDULER_LEADER_H

#include <stdatomic.h>

#include "scheduler/conf.h"
#include "scheduler/ingest.h"
#include "scheduler/serve.h"
#include "scheduler/store.h"

struct leader;

/* Borrows what it is given.  `ready` is true while leading or standing by with the database up. */
struct leader *leader_new(struct loop *l, const struct scheduler_conf *conf, struct serve *serve,
    struct feed_writer *feed, struct ingest *ingest, atomic_bool *ready);
void leader_free(struct leader *l);

/* This process is to end: answer what is under way, hand over, stand no more.  on_left() when
 * another one leads or nobody is there to (at once when this one does not lead). */
void leader_end(struct leader *l, void (*on_left)(void *arg), void *arg);

/* Settings have changed that the core keeps a copy of. */
void leader_conf_changed(struct leader *l);

/* What ingest has committed; `events` is borrowed. */
void leader_agents_said(struct leader *l, const struct agent_said *events, size_t n);

#endif
