/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc.c - what libraries allocate is there, or the process ends.
 *
 * Part of each program, not of a library: what a program itself defines is found first, by the
 * shared libraries too, libc included.  A static program has only one of each name; there the
 * linker is told to send everybody here (--wrap).
 */
#include "core/base/mem.h"

#include <stdint.h>

#ifdef STINT_IS_STATIC

#define OURS(name) __wrap_##name
#define NEXT(name) __real_##name

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *old, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *old, size_t n);

#else

#include <dlfcn.h>
#include <stdlib.h>

#define OURS(name) name
#define NEXT(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) next; /* the same, whoever finds it */                            \
        if (__atomic_load_n(&next, __ATOMIC_RELAXED) == NULL)                                      \
            __atomic_store_n(&next, (__typeof__(&name))dlsym(RTLD_NEXT, #name), __ATOMIC_RELAXED); \
        __atomic_load_n(&next, __ATOMIC_RELAXED);                                                  \
    })

#endif

/* What a sanitizer puts into functions does not work before it is there itself. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

EARLY static void *or_end(void *p, size_t n)
{
    if (p == NULL && n <= MEM_ASKED_MAX)
        mem_out();
    return p;
}

EARLY void *OURS(malloc)(size_t n)
{
    return or_end(NEXT(malloc)(n), n);
}

EARLY void *OURS(calloc)(size_t count, size_t n)
{
    size_t all;
    if (__builtin_mul_overflow(count, n, &all))
        all = SIZE_MAX;
    return or_end(NEXT(calloc)(count, n), all);
}

EARLY void *OURS(realloc)(void *old, size_t n)
{
    void *p = NEXT(realloc)(old, n);
    return n == 0 ? p : or_end(p, n); /* nothing: it has been freed */
}
