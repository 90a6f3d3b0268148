/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - requests over HTTP/1.1 to apps of the workspace and to the gateway (nng's client).
 *
 * http:// and https:// URLs.  Each call is one connection, its answer comes on the loop's thread.
 * Everything has a limit: the whole call `timeout_ms`, the body `bytes_max`, the answer's headers
 * 8 KiB; a stream has its silence limited instead of its length.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_HTTP_H
#define AGENT_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

struct http_call;

struct http_answer {
    /* ERR_OK: there is an answer, whatever its status.  Else ERR_UNAVAILABLE (no connection, or
     * broken off), ERR_TIMEOUT, ERR_TOO_LARGE, ERR_INVALID (the URL, or no HTTP): see `why`. */
    enum err code;
    const char *why; /* a sentence; "" when ERR_OK */
    /* The request may have been received: false only when it is certain that it was not. */
    bool was_sent;
    int status;
    const char *content_type; /* "" when none */
    const char *body;         /* n bytes and a NUL; NULL for a stream, and unless ERR_OK */
    size_t n;
};
typedef void (*http_done_fn)(void *arg, const struct http_answer *answer);

/* A piece of a stream's body, chunks undone. */
typedef void (*http_data_fn)(void *arg, const char *data, size_t n);

struct http_request {
    const char *method, *url;
    const char *const *headers; /* name, value, name, value, NULL; NULL: none */
    const char *body;           /* NULL: none */
    size_t body_n;
    int64_t timeout_ms; /* of the call; of a stream: up to its headers, then of silence (0: none) */
    size_t bytes_max;   /* of the answer's body; a stream has no limit */
    /* Not NULL: the body is a stream; pieces come here when the status is 200, then done() at its
     * end (code ERR_OK) or when it breaks.  Another status is the end at once. */
    http_data_fn on_data;
    http_done_fn done;
    void *arg;
};

/* `request` and what it points to is copied.  done() follows once, never from inside this call. */
struct http_call *http_start(struct loop *l, const struct http_request *request);
/* No done() any more; for a call whose done() has not run.  From inside on_data() as well. */
void http_cancel(struct http_call *c);

#endif
