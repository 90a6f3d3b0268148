/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vec.h - a growing array of any type.
 *
 *   VEC(struct uuid) ids = {0};
 *   *vec_push(&ids) = id;             // a new zeroed element
 *   for (size_t i = 0; i < ids.n; i++) use(ids.v[i]);
 *   vec_done(&ids);
 */
#ifndef CORE_BASE_VEC_H
#define CORE_BASE_VEC_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define VEC(T)       \
    struct {         \
        T *v;        \
        size_t n;    \
        size_t room; \
    }

static inline void *vec_grow_(void *v, size_t n, size_t *room, size_t size)
{
    if (n == *room) {
        *room = *room > 0 ? *room * 2 : 8;
        v = mem_realloc(v, *room * size);
    }
    memset((char *)v + n * size, 0, size);
    return v;
}

/* Pointer to a new zeroed last element. */
#define vec_push(vec)                                                           \
    ((vec)->v = vec_grow_((vec)->v, (vec)->n, &(vec)->room, sizeof(*(vec)->v)), \
        &(vec)->v[(vec)->n++])

/* Take element i out; the last one takes its place. */
#define vec_remove_swap(vec, i) ((vec)->v[i] = (vec)->v[--(vec)->n])

#define vec_clear(vec) ((void)((vec)->n = 0))

#define vec_done(vec)                                   \
    do {                                                \
        free((vec)->v);                                 \
        (vec)->v = NULL, (vec)->n = 0, (vec)->room = 0; \
    } while (0)

#endif
