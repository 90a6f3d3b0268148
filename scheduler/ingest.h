/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest.h - from Redis Streams into Postgres: reports of agents and build logs of workers.
 *
 * A thread of its own with a loop and connections of its own, so that a flood of reports does not
 * touch the commits of jobs.  It works while this scheduler leads, each transaction under the
 * epoch.
 *
 *   read a batch (consumer group) -> check numbers -> one transaction -> XACK -> "changed",
 *   "watermark" -> tell the core what apps say
 *
 * A report counts when its number is the next one of its agent (rule 8): one that has been there
 * is acknowledged and dropped, one that leaves a gap is dropped too, and the agent, whose watermark
 * does not move, sends from there again.  So Redis may lose anything at any time (rule 9).
 */
#ifndef SCHEDULER_INGEST_H
#define SCHEDULER_INGEST_H

#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "scheduler/conf.h"

struct ingest;

/* What an agent has said in a batch; names are static strings or NULL.  Of states and life cycles
 * the last one, after a `working` that came before it. */
struct agent_said {
    struct uuid agent_id;
    const char *state, *lifecycle;
    const char *health; /* of the app `slug` */
    char *slug;         /* owned by the event */
};

/* `on_said` is called on `home`'s thread; the events are borrowed. */
struct ingest *ingest_new(struct loop *home, const struct scheduler_conf *conf,
    void (*on_said)(void *arg, const struct agent_said *events, size_t n), void *arg);
/* Ends the thread. */
void ingest_free(struct ingest *in);

/* From now on write under this epoch; 0: stop.  From the home thread. */
void ingest_lead(struct ingest *in, uint64_t epoch);

#endif
