/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem.h - allocation that does not fail.
 *
 * Stint bounds what it takes in and is crash-only: a daemon that is out of memory says so in its
 * log, stops and starts again from Postgres, rather than limp on through paths nobody has tried.
 *
 * That goes for the libraries, too: in our programs malloc(), calloc() and realloc() themselves do
 * not refuse.  Who asks for more than MEM_ASKED_MAX has read a size in a stranger's bytes, and is
 * told no as ever.
 */
#ifndef CORE_BASE_MEM_H
#define CORE_BASE_MEM_H

#include <stddef.h>

#define MEM_ASKED_MAX ((size_t)256 << 20)

/* What to do when a library says that there is no memory, or no thread to be had. */
_Noreturn void mem_out(void);

void *mem_alloc(size_t n);                /* zeroed */
void *mem_calloc(size_t count, size_t n); /* zeroed */
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void *mem_dup(const void *data, size_t n);

#endif
