/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunked.h - "Transfer-Encoding: chunked" of request bodies, which libwebsockets hands on as it
 * came.  Strictly: every line ends with CR LF, so that no proxy can have read it another way.
 */
#ifndef GATEWAY_CHUNKED_H
#define GATEWAY_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/strbuf.h"

enum chunked_state {
    CHUNKED_SIZE, /* zero-initialised: ready */
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR, /* behind it */
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER,      /* at the begin of a line */
    CHUNKED_TRAILER_LINE, /* inside one */
    CHUNKED_TRAILER_LF,
    CHUNKED_END_LF,
    CHUNKED_DONE,
    CHUNKED_BAD,
};

struct chunked {
    enum chunked_state state;
    size_t left;     /* of the chunk */
    unsigned digits; /* of its size */
    size_t n_beside; /* bytes of extensions and trailers, which nobody reads */
};

/* Append what is data to `out`, up to `max` bytes in all.  False: not chunked encoding, or longer.
 */
bool chunked_feed(struct chunked *c, const char *data, size_t n, struct strbuf *out, size_t max);

#endif
