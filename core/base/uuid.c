/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uuid.c - text forms of ids, without sscanf: they are read and written on every request.
 */
#include "core/base/uuid.h"

#include "core/base/rng.h"

static const char hex[] = "0123456789abcdef";

struct uuid_str uuid_format(const struct uuid *u)
{
    struct uuid_str out;
    char *p = out.s;
    for (size_t i = 0; i < sizeof(u->b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[u->b[i] >> 4];
        *p++ = hex[u->b[i] & 15];
    }
    *p = '\0';
    return out;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *text, struct uuid *ret_uuid)
{
    struct uuid u;
    if (text == NULL || strlen(text) != UUID_STR_LEN)
        return false;
    for (size_t i = 0; i < sizeof(u.b); i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        int hi = nibble(text[0]);
        int lo = hi < 0 ? -1 : nibble(text[1]);
        if (lo < 0)
            return false;
        u.b[i] = (uint8_t)(hi << 4 | lo);
        text += 2;
    }
    *ret_uuid = u;
    return true;
}

bool uuid_from_bytes(const void *data, size_t n, struct uuid *ret_uuid)
{
    if (n != sizeof(ret_uuid->b))
        return false;
    memcpy(ret_uuid->b, data, n);
    return true;
}

void uuid_make_v4(struct uuid *u)
{
    u->b[6] = (uint8_t)((u->b[6] & 0x0f) | 0x40);
    u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

struct uuid uuid_random(void)
{
    struct uuid u;
    rng_bytes(u.b, sizeof(u.b));
    uuid_make_v4(&u);
    return u;
}

uint64_t uuid_hash(const struct uuid *u)
{
    /* Ids are mostly random already; folding both halves keeps made-up ones apart too. */
    uint64_t a, b;
    memcpy(&a, u->b, sizeof(a));
    memcpy(&b, u->b + sizeof(a), sizeof(b));
    uint64_t h = a ^ (b * UINT64_C(0x9e3779b97f4a7c15));
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}
