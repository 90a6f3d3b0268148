/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunked.c - size CR LF data CR LF, until a size of 0; then trailers up to an empty line.
 */
#include "gateway/chunked.h"

#define SIZE_DIGITS_MAX 8
#define BESIDE_MAX      8192

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunked_state expect(char byte, char wanted, enum chunked_state then)
{
    return byte == wanted ? then : CHUNKED_BAD;
}

static enum chunked_state size_byte(struct chunked *c, char byte)
{
    int value = hex_value(byte);
    if (value >= 0) {
        c->left = c->left * 16 + (size_t)value;
        return ++c->digits > SIZE_DIGITS_MAX ? CHUNKED_BAD : CHUNKED_SIZE;
    }
    if (c->digits == 0)
        return CHUNKED_BAD;
    return byte == ';' ? CHUNKED_EXTENSION : expect(byte, '\r', CHUNKED_SIZE_LF);
}

/* A byte of a line that nobody reads: no end of line but CR LF, and not without end. */
static enum chunked_state beside(
    struct chunked *c, char byte, enum chunked_state here, enum chunked_state at_cr)
{
    if (byte == '\r')
        return at_cr;
    return byte == '\n' || byte == '\0' || ++c->n_beside > BESIDE_MAX ? CHUNKED_BAD : here;
}

/* One byte that is not data. */
static enum chunked_state step(struct chunked *c, char byte)
{
    switch (c->state) {
    case CHUNKED_SIZE:
        return size_byte(c, byte);
    case CHUNKED_EXTENSION:
        return beside(c, byte, CHUNKED_EXTENSION, CHUNKED_SIZE_LF);
    case CHUNKED_SIZE_LF:
        return expect(byte, '\n', c->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER);
    case CHUNKED_DATA_CR:
        return expect(byte, '\r', CHUNKED_DATA_LF);
    case CHUNKED_DATA_LF:
        c->digits = 0;
        return expect(byte, '\n', CHUNKED_SIZE);
    case CHUNKED_TRAILER:
        return beside(c, byte, CHUNKED_TRAILER_LINE, CHUNKED_END_LF);
    case CHUNKED_TRAILER_LINE:
        return beside(c, byte, CHUNKED_TRAILER_LINE, CHUNKED_TRAILER_LF);
    case CHUNKED_TRAILER_LF:
        return expect(byte, '\n', CHUNKED_TRAILER);
    case CHUNKED_END_LF:
        return expect(byte, '\n', CHUNKED_DONE);
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
            c->state = CHUNKED_DATA_CR;
    }
    return c->state != CHUNKED_BAD;
}
