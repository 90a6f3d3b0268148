/* SPDX-License-Identifier: Apache-2.0 */
/* rng.h - random bytes from the kernel; fit for ids and secrets. */
#ifndef CORE_BASE_RNG_H
#define CORE_BASE_RNG_H

#include <stddef.h>

/* Fill `data`.  Never fails: a machine without a generator is not one to run on. */
void rng_bytes(void *data, size_t n);

#endif
