/* SPDX-License-Identifier: Apache-2.0 */
/* One character of the frame at a time, data by the piece. */
#include "agent/http_chunks.h"

#include <stdint.h>

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static enum http_chunks_state end_size_line(struct http_chunks *c)
{
    if (c->digits == 0)
        return HTTP_CHUNKS_BAD;
    c->digits = 0;
    c->line = 0;
    return c->left > 0 ? HTTP_CHUNKS_DATA : HTTP_CHUNKS_TRAILER;
}

static enum http_chunks_state in_size(struct http_chunks *c, char ch)
{
    int digit = hex_digit(ch);
    if (digit >= 0) {
        if (c->left > SIZE_MAX >> 8)
            return HTTP_CHUNKS_BAD;
        c->left = c->left * 16 + (size_t)digit;
        c->digits++;
        return HTTP_CHUNKS_SIZE;
    }
    if (ch == '\n')
        return end_size_line(c);
    if (c->digits > 0 && (ch == ';' || ch == ' ' || ch == '\t' || ch == '\r'))
        return HTTP_CHUNKS_EXTENSION;
    return HTTP_CHUNKS_BAD;
}

static enum http_chunks_state in_data_end(struct http_chunks *c, char ch)
{
    if (ch == '\n') {
        c->line = 0;
        return HTTP_CHUNKS_SIZE;
    }
    return ch == '\r' && c->line == 1 ? HTTP_CHUNKS_DATA_END : HTTP_CHUNKS_BAD;
}

/* `line` counts what the line has but for CRs: an empty one is the end. */
static enum http_chunks_state in_trailer(struct http_chunks *c, char ch)
{
    if (++c->trailers > HTTP_CHUNKS_TRAILER_MAX)
        return HTTP_CHUNKS_BAD;
    if (ch == '\r') {
        c->line--;
        return HTTP_CHUNKS_TRAILER;
    }
    if (ch != '\n')
        return HTTP_CHUNKS_TRAILER;
    bool is_empty = c->line == 1;
    c->line = 0;
    return is_empty ? HTTP_CHUNKS_DONE : HTTP_CHUNKS_TRAILER;
}

static enum http_chunks_state in_frame(struct http_chunks *c, char ch)
{
    if (++c->line > HTTP_CHUNKS_LINE_MAX)
        return HTTP_CHUNKS_BAD;
    switch (c->state) {
    case HTTP_CHUNKS_SIZE:
        return in_size(c, ch);
    case HTTP_CHUNKS_EXTENSION:
        return ch == '\n' ? end_size_line(c) : HTTP_CHUNKS_EXTENSION;
    case HTTP_CHUNKS_DATA_END:
        return in_data_end(c, ch);
    case HTTP_CHUNKS_TRAILER:
        return in_trailer(c, ch);
    default:
        return c->state;
    }
}

enum http_chunks_state http_chunks_feed(
    struct http_chunks *c, const char *data, size_t n, struct strbuf *out)
{
    while (n > 0 && c->state < HTTP_CHUNKS_DONE) {
        size_t taken = 1;
        if (c->state == HTTP_CHUNKS_DATA) {
            taken = n < c->left ? n : c->left;
            strbuf_add(out, data, taken);
            c->left -= taken;
            if (c->left == 0)
                c->state = HTTP_CHUNKS_DATA_END;
        } else {
            c->state = in_frame(c, *data);
        }
        data += taken;
        n -= taken;
    }
    return c->state;
}
