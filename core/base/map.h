/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h - a hash map from uuid to pointer: open addressing, linear probing, backward-shift delete.
 *
 * The map borrows what it points to.  Not thread-safe.  Zero-initialised is empty and ready.
 */
#ifndef CORE_BASE_MAP_H
#define CORE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/uuid.h"

struct map_slot {
    struct uuid key;
    void *value; /* NULL: free */
};

struct map {
    struct map_slot *slots;
    size_t n;
    size_t room; /* power of two, or 0 */
};

void map_done(struct map *m);
void *map_get(const struct map *m, const struct uuid *key);
/* Set or replace; `value` is not NULL. */
void map_put(struct map *m, const struct uuid *key, void *value);
/* Returns what was there, NULL if nothing. */
void *map_remove(struct map *m, const struct uuid *key);

/* Iterate: for (size_t i = 0; (v = map_next(m, &i)) != NULL;).  No change to the map meanwhile. */
void *map_next(const struct map *m, size_t *i);

#endif
