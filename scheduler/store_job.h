/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_job.h - the part of a batch that is about jobs: their rows, the dead among them, and
 * commands that were sent twice.  For store.c.
 *
 * Functions that give an int give the number of the statement whose answer is wanted, -1: none.
 */
#ifndef SCHEDULER_STORE_JOB_H
#define SCHEDULER_STORE_JOB_H

#include "core/db/db.h"
#include "scheduler/core/core.h"

void store_add_jobs_new(struct db_batch *b, const struct effects *e);
/* As many rows must be touched as there are (rule 3). */
int store_add_jobs(struct db_batch *b, const struct effects *e);
/* Deaths and returns; the answer is for store_learn_imports(). */
int store_add_retries(struct db_batch *b, const struct effects *e);
/* Which commands of the replies are done already; for store_command_is_done(). */
int store_add_commands(struct db_batch *b, const struct effects *e);

/* Tells the core of dead imports that wait again.  `rows` may be NULL. */
void store_learn_imports(struct core *c, const struct db_result *rows);
bool store_command_is_done(const struct db_result *rows, const struct reply *r);

#endif
