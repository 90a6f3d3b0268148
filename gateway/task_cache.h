/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_cache.h - rendered tasks, by id.
 *
 * What is in it may be shown: a change drops it (the change feed, and the gateway's own
 * commands), it is used only while that feed is heard, and never longer than a second.  A
 * read that was on its way when a change came in is not put in: task_cache_mark() before the read
 * tells task_cache_put() after it.
 */
#ifndef GATEWAY_TASK_CACHE_H
#define GATEWAY_TASK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/metric.h"
#include "core/base/uuid.h"

/* A task's JSON with its line end, and behind it the members that only Stint's own routes show;
 * shared by the cache and the answers that go out. */
struct task_blob {
    unsigned refs;
    struct uuid id, owner_id, build_id;
    bool is_pending; /* may have a place in the queue */
    char status[16];
    int64_t revision;
    char state[16]; /* as the API names it, "" for none */
    size_t n;       /* of json */
    size_t n_more;  /* of what follows it */
    char json[];
};

struct task_blob *task_blob_new(size_t n, size_t n_more);
struct task_blob *task_blob_ref(struct task_blob *b);
void task_blob_unref(struct task_blob *b);

struct task_cache;

struct task_cache *task_cache_new(struct metric *bytes);
void task_cache_free(struct task_cache *c);

/* The subscription stands, or not: either way all is forgotten. */
void task_cache_set_valid(struct task_cache *c, bool valid);
/* Does every change come here? */
bool task_cache_is_valid(const struct task_cache *c);
/* NULL: not there, or not to be trusted.  A borrowed reference. */
struct task_blob *task_cache_get(struct task_cache *c, const struct uuid *id);
uint64_t task_cache_mark(const struct task_cache *c);
/* Takes a reference of its own. */
void task_cache_put(struct task_cache *c, struct task_blob *b, uint64_t mark);
void task_cache_drop(struct task_cache *c, const struct uuid *id);

#endif
