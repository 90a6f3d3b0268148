/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c - the allocator, asked once: what it refuses ends the process.
 */
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p)
{
    if (p == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return or_die(calloc(1, n > 0 ? n : 1));
}

void *mem_calloc(size_t count, size_t n)
{
    return or_die(calloc(count > 0 ? count : 1, n > 0 ? n : 1));
}

void *mem_realloc(void *p, size_t n)
{
    return or_die(realloc(p, n > 0 ? n : 1));
}

char *mem_strdup(const char *s)
{
    return or_die(strdup(s));
}

char *mem_strndup(const char *s, size_t n)
{
    return or_die(strndup(s, n));
}

void *mem_dup(const void *data, size_t n)
{
    void *p = or_die(malloc(n > 0 ? n : 1));
    if (n > 0)
        memcpy(p, data, n);
    return p;
}
