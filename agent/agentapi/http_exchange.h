/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_exchange.h - what http_server.c (listening, time) and http_exchange.c (a request, its
 * answer) share.  Others include http_server.h.
 */
#ifndef AGENT_AGENTAPI_HTTP_EXCHANGE_H
#define AGENT_AGENTAPI_HTTP_EXCHANGE_H

#include <http_parser.h>

#include "agent/agentapi/http_server.h"
#include "core/base/list.h"

#define HTTP_SWEEP_MS 1000
#define LISTENERS_MAX 4

enum stage { HEAD, BODY, HANDLING, REPLYING, STREAMING, LINGERING, CLOSING };
enum head_part { PART_URL, PART_NAME, PART_VALUE };

struct header {
    size_t name, value; /* offsets in `head` */
};

struct exchange {
    uv_tcp_t tcp;
    struct http_server *server;
    struct list link;
    enum stage stage;
    http_parser parser;
    int64_t deadline; /* 0: none */
    bool keep_alive, is_too_large, is_complete, has_begun, at_eof;
    int refuse; /* status for a request that breaks a limit of the header; 0: none */

    enum head_part part;
    struct strbuf head; /* NUL-terminated texts */
    struct header headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    struct strbuf body;
    size_t body_max, discarded;
    struct strbuf ahead;

    struct strbuf extra; /* header fields of the answer */
    unsigned behind;     /* pieces not written yet */
    size_t behind_bytes;
    loop_fn on_gone;
    void *on_gone_arg;
};

struct http_server {
    struct loop *loop;
    struct http_handler handler;
    uv_tcp_t *listeners[LISTENERS_MAX];
    size_t n_listeners, n_exchanges;
    struct list exchanges;
    struct timer *sweep;
    bool is_stopping;
    int64_t stop_deadline;
    loop_fn stopped;
    void *stopped_arg;
    char block[64 * 1024];
};

/* Read requests from an accepted socket. */
void exchange_begin(struct exchange *x);
/* Close it; its memory follows. */
void exchange_close(struct exchange *x);
/* A request that took too long. */
void exchange_refuse(struct exchange *x, int status, const char *sentence);
/* The last of its stream, if there is room for that. */
void exchange_end_stream(struct exchange *x);

/* An exchange is gone: is that what a stopping server waits for? */
void http_server_check_stopped(struct http_server *s);

#endif
