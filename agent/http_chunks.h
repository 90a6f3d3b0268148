/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_chunks.h - "Transfer-Encoding: chunked" undone.  Pure.
 *
 *   size [";" extension] CRLF  data CRLF  ...  "0" CRLF  trailer lines  CRLF
 *
 * Fed with pieces cut anywhere.  A bare LF ends a line as well.  The lines between the data are at
 * most HTTP_CHUNKS_LINE_MAX long, all trailers together HTTP_CHUNKS_TRAILER_MAX.
 */
#ifndef AGENT_HTTP_CHUNKS_H
#define AGENT_HTTP_CHUNKS_H

#include <stddef.h>

#include "core/base/strbuf.h"

#define HTTP_CHUNKS_LINE_MAX    1024
#define HTTP_CHUNKS_TRAILER_MAX 8192

enum http_chunks_state {
    HTTP_CHUNKS_SIZE, /* zero-initialised: ready */
    HTTP_CHUNKS_EXTENSION,
    HTTP_CHUNKS_DATA,
    HTTP_CHUNKS_DATA_END,
    HTTP_CHUNKS_TRAILER,
    HTTP_CHUNKS_DONE, /* what follows is passed over */
    HTTP_CHUNKS_BAD,  /* no chunked encoding, for good */
};

struct http_chunks {
    enum http_chunks_state state;
    size_t left;           /* of the chunk */
    size_t line, trailers; /* bytes of the line; of all trailers */
    unsigned digits;
};

/* Append what is data to `out`; the state afterwards. */
enum http_chunks_state http_chunks_feed(
    struct http_chunks *c, const char *data, size_t n, struct strbuf *out);

#endif
