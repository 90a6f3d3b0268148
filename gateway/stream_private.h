/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_private.h - between stream.c (what is said, and when) and stream_http.c (how it leaves).
 */
#ifndef GATEWAY_STREAM_PRIVATE_H
#define GATEWAY_STREAM_PRIVATE_H

#include "gateway/http_private.h"
#include "gateway/stream.h"

enum stream_close {
    STREAM_CLOSE_NORMAL = 1000,
    STREAM_CLOSE_GOING_AWAY = 1001,
    STREAM_CLOSE_REVOKED = 1008,
    STREAM_CLOSE_FAILED = 1011,
};

/* One that is woken when something changes. */
struct stream_watch {
    struct list link; /* in the topic's list */
    struct stream *stream;
    struct stream_topic *topic;
};

struct stream_topic {
    struct uuid id;
    struct list watches;
};

struct stream {
    struct list all; /* gw->streams */
    struct request *r;
    request_fn pull;
    int64_t every_ms;
    struct stream_watch watches[STREAM_TOPICS_MAX];
    size_t n_watches;

    struct strbuf out;      /* a WebSocket's frames each begin with their length, a uint32_t */
    size_t sent;            /* bytes of `out` that have left */
    int64_t moved_mono_ms;  /* when the reader last took something */
    int64_t looked_mono_ms; /* when it was last looked after the reader */
    int64_t waited_mono_ms; /* when it was said that all is said for now */

    struct lws *wsi;  /* NULL: the reader has gone, or the stream is not open yet */
    struct lws *http; /* a WebSocket's first connection, which sleeps */
    bool is_websocket;
    bool is_busy;  /* the handler has it */
    bool is_woken; /* meanwhile */
    bool has_put;  /* since the last pull */
    bool head_sent, wants_ping, is_ending;
    bool has_said_end; /* to a WebSocket */
    enum stream_close why;
};

/* stream.c: the reader has gone, or been thrown out. */
void stream_gone(struct stream *s);
/* All of `out` has left. */
void stream_emptied(struct stream *s);
/* In place of an answer: end it. */
void stream_fail(struct request *r);
void stream_drain(struct gateway *gw);

/* stream_http.c: begin.  False: the connection is lost. */
bool stream_http_open(struct http *h, struct stream *s);
/* Something is to be written, or the stream is to end. */
void stream_http_ask(struct stream *s);
/* Throw the reader out. */
void stream_http_kill(struct stream *s);
/* False: the reader has left, which lws was not asked to notice. */
bool stream_http_is_alive(const struct stream *s);
/* What lws's callback returns. */
int stream_http_write(struct http *h, struct stream *s);

#endif
