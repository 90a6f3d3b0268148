/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h - scope-bound release of resources (GCC/Clang cleanup attribute). */
#ifndef CORE_BASE_CLEANUP_H
#define CORE_BASE_CLEANUP_H

#include <stdlib.h>

/* Run `fn(&var)` when `var` leaves scope, in reverse order of declaration. */
#define scoped(fn) __attribute__((cleanup(fn)))

/* Define `name_freep(T **)` for an owner type whose destructor accepts NULL. */
#define DEFINE_SCOPED(T, free_fn)        \
    static inline void free_fn##p(T **p) \
    {                                    \
        free_fn(*p);                     \
    }

/* Hand ownership out of a scoped variable: returns the pointer, leaves NULL. */
#define steal(p)                     \
    __extension__({                  \
        __typeof__(p) stolen_ = (p); \
        (p) = NULL;                  \
        stolen_;                     \
    })

static inline void scoped_free_(void *p)
{
    free(*(void **)p);
}
#define scoped_free scoped(scoped_free_)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
