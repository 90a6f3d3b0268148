/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uuid.h - 128-bit ids, kept as their 16 bytes everywhere but at the edges.
 */
#ifndef CORE_BASE_UUID_H
#define CORE_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct uuid {
    uint8_t b[16];
};

#define UUID_STR_LEN 36
/* Room for the text form and its NUL. */
struct uuid_str {
    char s[UUID_STR_LEN + 1];
};

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool uuid_is_nil(const struct uuid *u)
{
    static const struct uuid nil;
    return uuid_eq(u, &nil);
}

/* Lower-case 8-4-4-4-12. */
struct uuid_str uuid_format(const struct uuid *u);

/* Accepts upper and lower case, with dashes, nothing before or after. */
bool uuid_parse(const char *text, struct uuid *ret_uuid);

/* From exactly 16 raw bytes, as the bus carries them; false for any other length. */
bool uuid_from_bytes(const void *data, size_t n, struct uuid *ret_uuid);

/* A random version-4 id from the system's generator. */
struct uuid uuid_random(void);

/* Turn 16 random bytes into a version-4 id. */
void uuid_make_v4(struct uuid *u);

uint64_t uuid_hash(const struct uuid *u);

#endif
