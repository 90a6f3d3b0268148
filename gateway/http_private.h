/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_private.h - between http.c (connections), http_in.c (requests) and http_out.c (answers).
 *
 * In all three, the value of a function that lws's callback returns is lws's: 0 goes on, -1 closes
 * the connection.
 */
#ifndef GATEWAY_HTTP_PRIVATE_H
#define GATEWAY_HTTP_PRIVATE_H

#include <libwebsockets.h>

#include "gateway/http.h"
#include "gateway/request.h"

/* An answer is put together, and written piece by piece, in one buffer of this size. */
#define HTTP_PIECE_BYTES (128 * 1024)
/* For a client to take a piece of an answer, or send a piece of a body. */
#define HTTP_STALL_SECONDS 30
/* For the database or the scheduler; longer than any of their own limits. */
#define HTTP_ANSWER_SECONDS 60
/* Descriptors: a WebSocket has two; further ones for databases, buses, files. */
#define HTTP_DESCRIPTORS_SPARE            256
#define HTTP_DESCRIPTORS(connections_max) (2 * (size_t)(connections_max) + HTTP_DESCRIPTORS_SPARE)
/* All bodies that are being received together. */
#define HTTP_BODIES_BYTES_MAX (256 * 1024 * 1024)

struct http {
    struct gateway *gw;
    struct lws_context *context;
    struct lws_vhost *vhost;
    int port;
    struct guard *guard;
    struct stream *adopting; /* whose WebSocket lws is being given */
    bool is_draining;
    loop_fn drained;
    void *drained_arg;
    unsigned char piece[LWS_PRE + HTTP_PIECE_BYTES];
};

/* http_in.c: the headers are complete; `uri` is decoded and without its query. */
int http_begin(struct http *h, struct lws *wsi, const char *uri, size_t n);
int http_body(struct http *h, struct lws *wsi, const char *data, size_t n);
int http_body_done(struct http *h, struct lws *wsi);
/* A body's bytes do not count any more. */
void http_release_body(struct request *r);

/* http_out.c: go on with the answer. */
int http_write(struct http *h, struct request *r);
/* Nobody has the request any more. */
void http_end(struct request *r);

#endif
