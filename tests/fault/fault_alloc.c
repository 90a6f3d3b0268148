/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_alloc.c - libc's allocator, or the sanitizer's that took its place, asked by anybody.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/fault.h"

/* dlsym() may be asked while it allocates; the pointers are the same whoever finds them. */
#define REAL(name, ...)                                                                 \
    static __typeof__(name) *real;                                                      \
    if (__atomic_load_n(&real, __ATOMIC_RELAXED) == NULL)                               \
        __atomic_store_n(&real, (__typeof__(real))fault_real(#name), __ATOMIC_RELAXED); \
    if (fault_at(POINT_ALLOC) != WAY_NONE) {                                            \
        errno = ENOMEM;                                                                 \
        return NULL;                                                                    \
    }                                                                                   \
    return real(__VA_ARGS__)

void *malloc(size_t n)
{
    REAL(malloc, n);
}

void *calloc(size_t count, size_t n)
{
    REAL(calloc, count, n);
}

void *realloc(void *p, size_t n)
{
    REAL(realloc, p, n);
}

/* Sanitizers' copies allocate behind our back. */
char *strndup(const char *s, size_t max)
{
    size_t n = strnlen(s, max);
    char *copy = malloc(n + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *strdup(const char *s)
{
    return strndup(s, strlen(s));
}
