/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_batch.h - one batch of stream entries on its way into Postgres.
 *
 * Pure but for packing statements: entries in, rows out.  What must be asked of Postgres first (the
 * watermarks of agents not yet known) is named by ingest_batch_unknown().
 */
#ifndef SCHEDULER_INGEST_BATCH_H
#define SCHEDULER_INGEST_BATCH_H

#include "core/base/map.h"
#include "core/base/vec.h"
#include "core/db/db.h"
#include "core/wire/wire.h"
#include "scheduler/ingest.h"

/* An agent as ingest knows it. */
struct known {
    struct uuid id, task_id;
    int64_t watermark; /* the last number taken in, committed or in the batch at hand */
    int64_t born_us;   /* by the database's clock; nothing of it is told to be older */
    bool exists;
    /* what this batch says last of it; static or borrowed from the batch's messages */
    bool touched;
    bool worked; /* it was working at some time of this batch */
    const char *state, *lifecycle, *message, *uri;
};

/* The health of an app, borrowed likewise. */
struct health_said {
    struct uuid agent_id;
    const char *slug, *health;
};

struct log_mark {
    struct uuid job_id;
    int64_t seq;
};

struct ingest_batch {
    VEC(char *) report_ids, log_ids; /* entries to acknowledge */
    VEC(char *) dead_ids;            /* of them, those that cannot be read */
    VEC(Stint__V1__AgentReports *) reports;
    VEC(Stint__V1__JobResult *) logs;
    VEC(struct known *) touched;
    const struct map *agents; /* borrowed while it is packed */
    VEC(struct health_said) healths;
    VEC(struct log_mark) log_marks;
    size_t n_new, n_repeated, n_gaps, n_skipped, n_lines;
};

void ingest_batch_clear(struct ingest_batch *b);
void ingest_batch_done(struct ingest_batch *b);
bool ingest_batch_is_empty(const struct ingest_batch *b);

/* An entry of stint:reports or stint:logs; `data` NULL: the entry has been trimmed away. */
void ingest_batch_add_reports(struct ingest_batch *b, const char *id, const void *data, size_t n);
void ingest_batch_add_logs(struct ingest_batch *b, const char *id, const void *data, size_t n);

/* Agents of the batch that are not in `agents`; the caller frees with db_array_free() or hands it
 * over.  NULL: all are known. */
struct db_array *ingest_batch_unknown(const struct ingest_batch *b, const struct map *agents);

/* Check the numbers and add the statements.  With `skip` every report is counted as taken in but
 * not written: the way past a batch that Postgres refuses. */
void ingest_batch_pack(struct ingest_batch *b, struct map *agents, bool skip, struct db_batch *out);

#endif
