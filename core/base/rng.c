/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng.c - getrandom(2), without a state of our own that a fork could copy.
 */
#include "core/base/rng.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

/* Ids take 16 bytes at a time; asking the kernel for a kilobyte costs the same.  Bytes are wiped as
 * they are handed out, so none is ever used twice, nor left in memory. */
struct pool {
    uint8_t bytes[1024];
    size_t left;
    pid_t owner;
};
static _Thread_local struct pool pool;

static void fill(uint8_t *p, size_t n)
{
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

void rng_bytes(void *data, size_t n)
{
    if (n > sizeof(pool.bytes) / 4) {
        fill(data, n);
        return;
    }
    if (pool.left < n || pool.owner != getpid()) { /* a child must not repeat its parent */
        fill(pool.bytes, sizeof(pool.bytes));
        pool.left = sizeof(pool.bytes);
        pool.owner = getpid();
    }
    pool.left -= n;
    memcpy(data, pool.bytes + pool.left, n);
    explicit_bzero(pool.bytes + pool.left, n);
}
