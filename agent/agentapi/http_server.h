/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_server.h - HTTP/1.1 for a few neighbours: libuv's sockets, http_parser's parser.
 *
 * A connection carries one exchange at a time: the request is read whole, handled once, and
 * answered by a reply or by a stream of chunks.  Everything has a limit (below); who breaks one
 * gets a sentence where that is possible, and loses the connection.  All calls on the loop's
 * thread.
 */
#ifndef AGENT_AGENTAPI_HTTP_SERVER_H
#define AGENT_AGENTAPI_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/loop/loop.h"

#define HTTP_CONNECTIONS_MAX 64
#define HTTP_HEAD_MAX        (16 * 1024)        /* address and header fields of a request */
#define HTTP_HEADERS_MAX     100                /* fields */
#define HTTP_DISCARD_MAX     (64 * 1024 * 1024) /* read of a body that is too large, then cut off */
#define HTTP_HEAD_MS         10000              /* to send the header */
#define HTTP_BODY_MS         60000              /* to send the whole request */
#define HTTP_IDLE_MS         60000              /* between two requests */
#define HTTP_WRITE_MS        30000              /* to take a reply */
#define HTTP_STREAM_EVENTS   1024               /* that a stream's reader may be behind, */
#define HTTP_STREAM_BYTES    (64 * 1024 * 1024) /* of so many bytes */

struct http_server;
struct exchange;

struct http_handler {
    /* Once the header is there: how large a body may be. */
    size_t (*body_max)(void *arg, const struct exchange *x);
    /* The request is whole, or exchange_is_too_large().  Answered now or later, exactly once. */
    void (*handle)(void *arg, struct exchange *x);
    void *arg;
};

struct http_server *http_server_new(struct loop *l, const struct http_handler *handler);
/* An address may be listened on beside others.  *port 0: a free one, which is put there. */
enum err must_check http_server_listen(
    struct http_server *s, const char *address, int *port, struct errctx *ctx);
/* Takes no more, ends streams, lets exchanges end within grace_ms, then done(). */
void http_server_stop(struct http_server *s, int64_t grace_ms, loop_fn done, void *arg);
/* Closes what is left. */
void http_server_free(struct http_server *s);

/* ---- the request ---- */

const char *exchange_method(const struct exchange *x);
/* Without the query; as sent, nothing decoded. */
const char *exchange_path(const struct exchange *x);
/* NULL: not sent.  The first one of that name. */
const char *exchange_header(const struct exchange *x, const char *name);
const struct strbuf *exchange_body(const struct exchange *x);
bool exchange_is_too_large(const struct exchange *x);

/* fn(arg) when the client has gone before the answer was given, or its stream has ended, by
 * whomever; the exchange is not touched any more after it. */
void exchange_on_gone(struct exchange *x, loop_fn fn, void *arg);

/* ---- the answer ---- */

/* A further header field of the answer. */
void exchange_add_header(struct exchange *x, const char *name, const char *value);
void exchange_reply(
    struct exchange *x, int status, const char *content_type, const void *body, size_t n);

/* A piece of a stream that many readers share. */
struct http_piece;
struct http_piece *http_piece_new(const char *data, size_t n);
void http_piece_unref(struct http_piece *p);

/* Status 200, no end in sight. */
void exchange_stream(struct exchange *x, const char *content_type);
/* A reader that is too far behind loses its stream (on_gone). */
void exchange_push(struct exchange *x, struct http_piece *p);

#endif
