/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunked.c - size CR LF data CR LF, until a size of 0; then trailers up to an empty line.
 */
#include "gateway/chunked.h"

#define SIZE_DIGITS_MAX 8

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunked_state after_size(const struct chunked *c)
{
    if (c->digits == 0)
        return CHUNKED_BAD;
    return c->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER;
}

static enum chunked_state size_byte(struct chunked *c, char byte)
{
    int value = hex_value(byte);
    if (value >= 0) {
        c->left = c->left * 16 + (size_t)value;
        return ++c->digits > SIZE_DIGITS_MAX ? CHUNKED_BAD : CHUNKED_SIZE;
    }
    if (byte == '\n')
        return after_size(c);
    return byte == '\r' || byte == ';' || byte == ' ' ? CHUNKED_EXTENSION : CHUNKED_BAD;
}

/* One byte that is not data. */
static enum chunked_state step(struct chunked *c, char byte)
{
    switch (c->state) {
    case CHUNKED_SIZE:
        return size_byte(c, byte);
    case CHUNKED_EXTENSION:
        return byte == '\n' ? after_size(c) : CHUNKED_EXTENSION;
    case CHUNKED_DATA_END:
        c->digits = 0;
        return byte == '\n' ? CHUNKED_SIZE : byte == '\r' ? CHUNKED_DATA_END : CHUNKED_BAD;
    case CHUNKED_TRAILER:
        return byte == '\n' ? CHUNKED_DONE : byte == '\r' ? CHUNKED_TRAILER : CHUNKED_TRAILER_LINE;
    case CHUNKED_TRAILER_LINE:
        return byte == '\n' ? CHUNKED_TRAILER : CHUNKED_TRAILER_LINE;
    case CHUNKED_DATA:
    case CHUNKED_DONE:
    case CHUNKED_BAD:
        break;
    }
    return c->state;
}

bool chunked_feed(struct chunked *c, const char *data, size_t n, struct strbuf *out, size_t max)
{
    while (n > 0 && c->state != CHUNKED_DONE && c->state != CHUNKED_BAD) {
        if (c->state != CHUNKED_DATA) {
            c->state = step(c, *data);
            data++, n--;
            continue;
        }
        size_t take = c->left < n ? c->left : n;
        if (take > max || out->len > max - take)
            return false;
        strbuf_add(out, data, take);
        data += take, n -= take;
        c->left -= take;
        if (c->left == 0)
            c->state = CHUNKED_DATA_END;
    }
    return c->state != CHUNKED_BAD;
}
