/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.h - allocation that does not fail.
 *
 * Stint bounds what it takes in and is crash-only: a daemon that is out of memory stops and starts
 * again from Postgres, rather than limp on through paths nobody has tried.
 */
#ifndef CORE_BASE_MEM_H
#define CORE_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);                /* zeroed */
void *mem_calloc(size_t count, size_t n); /* zeroed */
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void *mem_dup(const void *data, size_t n);

#endif
