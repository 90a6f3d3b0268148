/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - a new leader's memory, read from Postgres (rule 2).
 */
#ifndef SCHEDULER_LOADER_H
#define SCHEDULER_LOADER_H

#include "core/db/db.h"
#include "scheduler/conf.h"
#include "scheduler/core/core.h"

/* The statements whose results loader_read() takes; the first asserts the epoch. */
void loader_ask(struct db_batch *b, uint64_t epoch);
struct core_conf loader_core_conf(const struct scheduler_conf *conf);
/* The caller frees it. */
struct core *loader_read(const struct scheduler_conf *conf, const struct db_result *const *results);

#endif
