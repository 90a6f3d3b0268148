/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_cache.c - a map, a list by age of use, and a small table of when ids last changed.
 *
 * The table has one slot for many ids: another id's change in the same slot only means that a read
 * is not kept which might have been.
 */
#include "gateway/task_cache.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/map.h"
#include "core/base/mem.h"

#define GOOD_MS        1000
#define BYTES_MAX      (32 * 1024 * 1024)
#define BLOB_BYTES_MAX (64 * 1024)
#define SLOTS          4096

struct entry {
    struct list by_use; /* most recent last */
    struct task_blob *blob;
    int64_t good_until_mono_ms;
};

struct task_cache {
    struct map entries;
    struct list by_use;
    size_t bytes;
    bool is_valid;
    uint64_t now;            /* counts changes */
    uint64_t all_changed;    /* everything, at this count */
    uint64_t changed[SLOTS]; /* an id of this slot, at this count */
    struct metric *bytes_shown;
};

struct task_blob *task_blob_new(size_t n, size_t n_more)
{
    struct task_blob *b = mem_alloc(sizeof(*b) + n + n_more + 1);
    b->refs = 1;
    b->n = n;
    b->n_more = n_more;
    return b;
}

struct task_blob *task_blob_ref(struct task_blob *b)
{
    b->refs++;
    return b;
}

void task_blob_unref(struct task_blob *b)
{
    if (b != NULL && --b->refs == 0)
        free(b);
}

struct task_cache *task_cache_new(struct metric *bytes)
{
    struct task_cache *c = mem_alloc(sizeof(*c));
    list_init(&c->by_use);
    c->bytes_shown = bytes;
    return c;
}

static size_t cost(const struct entry *e)
{
    return sizeof(*e) + sizeof(*e->blob) + e->blob->n + e->blob->n_more + 1;
}

static void forget(struct task_cache *c, struct entry *e)
{
    map_remove(&c->entries, &e->blob->id);
    list_unlink(&e->by_use);
    c->bytes -= cost(e);
    task_blob_unref(e->blob);
    free(e);
}

static struct entry *oldest(struct task_cache *c)
{
    return container_of(c->by_use.next, struct entry, by_use);
}

static void forget_all(struct task_cache *c)
{
    while (!list_is_empty(&c->by_use))
        forget(c, oldest(c));
}

void task_cache_free(struct task_cache *c)
{
    if (c == NULL)
        return;
    forget_all(c);
    map_done(&c->entries);
    free(c);
}

void task_cache_set_valid(struct task_cache *c, bool valid)
{
    c->is_valid = valid;
    c->all_changed = ++c->now;
    forget_all(c);
    metric_set(c->bytes_shown, 0);
}

bool task_cache_is_valid(const struct task_cache *c)
{
    return c->is_valid;
}

static size_t slot_of(const struct uuid *id)
{
    return (size_t)(uuid_hash(id) % SLOTS);
}

struct task_blob *task_cache_get(struct task_cache *c, const struct uuid *id)
{
    struct entry *e = map_get(&c->entries, id);
    if (e == NULL)
        return NULL;
    if (clock_mono_ms() >= e->good_until_mono_ms) {
        forget(c, e);
        return NULL;
    }
    list_unlink(&e->by_use);
    list_append(&c->by_use, &e->by_use);
    return e->blob;
}

uint64_t task_cache_mark(const struct task_cache *c)
{
    return c->now;
}

void task_cache_put(struct task_cache *c, struct task_blob *b, uint64_t mark)
{
    if (!c->is_valid || b->n > BLOB_BYTES_MAX || c->all_changed > mark ||
        c->changed[slot_of(&b->id)] > mark)
        return;
    struct entry *e = map_get(&c->entries, &b->id);
    if (e != NULL)
        forget(c, e);
    e = mem_alloc(sizeof(*e));
    e->blob = task_blob_ref(b);
    e->good_until_mono_ms = clock_mono_ms() + GOOD_MS;
    map_put(&c->entries, &b->id, e);
    list_append(&c->by_use, &e->by_use);
    c->bytes += cost(e);
    while (c->bytes > BYTES_MAX)
        forget(c, oldest(c));
    metric_set(c->bytes_shown, (int64_t)c->bytes);
}

void task_cache_drop(struct task_cache *c, const struct uuid *id)
{
    c->changed[slot_of(id)] = ++c->now;
    struct entry *e = map_get(&c->entries, id);
    if (e != NULL)
        forget(c, e);
}
