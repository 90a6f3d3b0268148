/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heard.h - listens to the change feed and remembers when each task was last heard of.
 *
 * The scheduler tells a task's id after each commit that changed it, so the last word about a
 * task that has come to rest is that of its success.
 */
#ifndef TESTS_BENCH_HEARD_H
#define TESTS_BENCH_HEARD_H

#include "core/base/uuid.h"
#include "core/loop/loop.h"

struct heard;

struct heard *heard_new(struct loop *l, const char *redis_url);
void heard_free(struct heard *h);
/* The subscription stands. */
bool heard_is_ready(const struct heard *h);
/* Monotonic microseconds of the last word about a task; 0: none. */
int64_t heard_at(const struct heard *h, const struct uuid *task_id);
/* Of the last word about any. */
int64_t heard_last(const struct heard *h);

#endif
