/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c - slots in one array; a key sits at its hash or, when that is taken, in the next free slot.
 * Removing closes the gap, so no tombstones gather and a miss stays short.
 */
#include "core/base/map.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/mem.h"

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

static size_t home_of(const struct map *m, const struct uuid *key)
{
    return (size_t)uuid_hash(key) & (m->room - 1);
}

/* The slot that holds `key`, or the free one where it would go. */
static struct map_slot *find(const struct map *m, const struct uuid *key)
{
    size_t i = home_of(m, key);
    while (m->slots[i].value != NULL && !uuid_eq(&m->slots[i].key, key))
        i = (i + 1) & (m->room - 1);
    return &m->slots[i];
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->room = old.room > 0 ? old.room * 2 : 16;
    m->slots = mem_calloc(m->room, sizeof(*m->slots));
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].value != NULL)
            *find(m, &old.slots[i].key) = old.slots[i];
    free(old.slots);
}

void *map_get(const struct map *m, const struct uuid *key)
{
    return m->room > 0 ? find(m, key)->value : NULL;
}

void map_put(struct map *m, const struct uuid *key, void *value)
{
    assert(value != NULL);
    if ((m->n + 1) * 4 > m->room * 3)
        grow(m);
    struct map_slot *s = find(m, key);
    if (s->value == NULL)
        m->n++;
    *s = (struct map_slot){*key, value};
}

/* Is `home` cyclically in (hole, at]?  Then the entry at `at` must stay behind the hole. */
static bool reaches(size_t home, size_t hole, size_t at)
{
    return hole <= at ? (hole < home && home <= at) : (hole < home || home <= at);
}

void *map_remove(struct map *m, const struct uuid *key)
{
    if (m->room == 0)
        return NULL;
    struct map_slot *s = find(m, key);
    void *value = s->value;
    if (value == NULL)
        return NULL;

    size_t hole = (size_t)(s - m->slots);
    for (size_t at = (hole + 1) & (m->room - 1); m->slots[at].value != NULL;
         at = (at + 1) & (m->room - 1)) {
        if (reaches(home_of(m, &m->slots[at].key), hole, at))
            continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole].value = NULL;
    m->n--;
    return value;
}

void *map_next(const struct map *m, size_t *i)
{
    while (*i < m->room) {
        void *v = m->slots[(*i)++].value;
        if (v != NULL)
            return v;
    }
    return NULL;
}
