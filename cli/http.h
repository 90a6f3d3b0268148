/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - one HTTP exchange or stream at a time, behind a seam that tests fill with canned
 * answers.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"

struct http_request {
    const char *method;
    const char *url;   /* whole */
    const char *token; /* NULL: none is sent */
    const char *body_type;
    const void *body; /* NULL: none */
    size_t body_bytes;
    const char *idempotency_key; /* NULL: none */
    const char *last_event_id;   /* of a stream, to go on behind it; NULL or "": from its begin */
};

/* Where a stream's bytes go. */
struct http_sink {
    /* False: enough, the stream is closed. */
    bool (*on_data)(void *arg, const char *data, size_t n);
    /* Every HTTP_TICK_MS, and soon after a signal.  False: enough. */
    bool (*on_tick)(void *arg);
    void *arg;
};

#define HTTP_TICK_MS 250
/* A stream's server says something at least every fifteen seconds. */
#define HTTP_SILENCE_MS 45000

struct http_reply {
    long status;
    bool is_stream;
    struct strbuf body;
};

struct http {
    /* ERR_OK when an answer came, whatever its status; else ERR_UNAVAILABLE, ERR_TIMEOUT or ERR_IO
     * with the cause in ctx.  `reply->body` is initialised by the caller. */
    enum err (*exchange)(struct http *h, const struct http_request *request,
        struct http_reply *reply, struct errctx *ctx);
    /* The answer to a request for text/event-stream.  When it is one, `reply->is_stream`, and its
     * bytes went to the sink until their end or enough; any other answer is in `reply->body`.
     * Errors as above, also when the stream breaks off or nothing is heard for HTTP_SILENCE_MS. */
    enum err (*stream)(struct http *h, const struct http_request *request,
        const struct http_sink *sink, struct http_reply *reply, struct errctx *ctx);
    void (*close)(struct http *h);
};

/* The real one (libcurl): keeps its connection, follows no redirect, so that a token never travels
 * to a host that nobody named. */
struct http *http_curl_new(void);

static inline void http_free(struct http *h)
{
    if (h != NULL)
        h->close(h);
}

static inline void http_reply_done(struct http_reply *r)
{
    strbuf_done(&r->body);
}

#endif
