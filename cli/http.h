/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - one HTTP exchange at a time, behind a seam that tests fill with canned answers.
 */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

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
};

struct http_reply {
    long status;
    struct strbuf body;
};

struct http {
    /* ERR_OK when an answer came, whatever its status; else ERR_UNAVAILABLE, ERR_TIMEOUT or ERR_IO
     * with the cause in ctx.  `reply->body` is initialised by the caller. */
    enum err (*exchange)(struct http *h, const struct http_request *request,
        struct http_reply *reply, struct errctx *ctx);
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
