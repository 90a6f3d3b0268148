/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - the lines that jobs write while they run, on their way to Postgres.
 *
 * Any thread writes a line; the loop numbers it within its job, hands it to Redis (stint:logs, one
 * entry per job and turn) and keeps it until the watermark says that Postgres has it.  What is left
 * when the job ends goes with its result.
 */
#ifndef WORKER_PROGRESS_H
#define WORKER_PROGRESS_H

#include "core/kv/kv.h"
#include "core/loop/loop.h"
#include "worker/slots.h"

struct progress;

/* All are borrowed. */
struct progress *progress_new(struct loop *l, struct kv *redis, struct slots *slots);
void progress_free(struct progress *p);

/* From any thread.  Fits struct job_io's `line`; `arg` is the progress. */
void progress_line(void *arg, const struct job_spec *spec, const char *level, const char *stage,
    const char *output);

/* Number what has been written so far; before a job's result is made. */
void progress_drain(struct progress *p);
/* At the end of a turn: hand the new lines to Redis. */
void progress_flush(struct progress *p);
/* Postgres has this job's lines up to `number`; other ids are ignored. */
void progress_committed(struct progress *p, const struct uuid *job_id, uint64_t number);
/* Redis is back, or may have forgotten: hand over again what is not committed. */
void progress_again(struct progress *p);

#endif
