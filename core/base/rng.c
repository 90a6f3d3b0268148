/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng.c - getrandom(2), without a state of our own that a fork could copy.
 */
#include "core/base/rng.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>

void rng_bytes(void *data, size_t n)
{
    uint8_t *p = data;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}
