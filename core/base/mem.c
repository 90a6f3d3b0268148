/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.c - the allocator, asked once: what it refuses ends the process, whoever asked.
 * malloc.c sees to those who do not ask here.
 */
#include "core/base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"

void mem_out(void)
{
    log_error("out of memory"); /* which takes none */
    abort();
}

static void *or_die(void *p)
{
    if (p == NULL)
        mem_out();
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
