/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - an answer that goes on: server-sent events, or the frames of a WebSocket.
 *
 * A handler that has found the asker in the right calls stream_open() instead of an answer_*().
 * From then on the request is the stream's handle: it asks the database with ask_db() as before,
 * and writes what came.
 *
 *   stream_open() --> pull(r) --> ask_db() ... --> stream_put() ... --> stream_wait(r)
 *                       ^                                                  |
 *                       '-- what was put is gone, or (nothing was) stream_wake() or `every_ms` --'
 *
 * Pull: the next batch is asked for when the reader has taken the last one, so that a slow reader
 * costs one batch of memory and no more.  Between pull() and stream_wait() the stream is the
 * handler's; the reader may have left meanwhile, then what is put goes nowhere.
 *
 * A reader that takes nothing for `stream_stall` is cut off.  When there is nothing to say, a ping
 * goes out every STREAM_PING_MS.  A gateway that is told to stop ends its streams in order: an
 * event stream just ends, a WebSocket is closed with 1001.  A failing question ends it too (1011).
 */
#ifndef GATEWAY_STREAM_H
#define GATEWAY_STREAM_H

#include "gateway/request.h"

#define STREAM_BYTES_MAX (256 * 1024)
#define STREAM_PING_MS   15000

void streams_init(struct gateway *gw);

/* A client that wants a WebSocket, or accepts text/event-stream. */
bool stream_is_wanted(const struct request *r);
bool stream_is_websocket(const struct request *r);
/* True: it is.  False: a 426 has been answered. */
bool stream_check_wanted(struct request *r);

/* Of the header or the query; NULL: none. */
const char *stream_last_event_id(const struct request *r);

/* `pull` is called soon, and at the latest `every_ms` after a stream_wait(); 0: when woken only. */
void stream_open(struct request *r, request_fn pull, int64_t every_ms);
/* Wake it when this changes; up to STREAM_TOPICS_MAX. */
#define STREAM_TOPICS_MAX 2
void stream_watch(struct request *r, const struct uuid *topic);
void stream_wake(struct gateway *gw, const struct uuid *topic);
/* Wake this one. */
void stream_nudge(struct request *r);
/* Whatever they watch: changes may have been missed. */
void stream_wake_all(struct gateway *gw);

/* What it says is still within STREAM_BYTES_MAX; one more thing may be put, of any size. */
bool stream_has_room(const struct request *r);
/* An event: `event` and `id` may be NULL, `data` is one line.  Of a WebSocket a text frame of
 * `data` alone. */
void stream_put(struct request *r, const char *event, const char *id, const char *data, size_t n);
/* All is said for now. */
void stream_wait(struct request *r);
/* Whose right has ended is told no more: the streams that were opened with this key (NULL: with any
 * of this user's) end, a WebSocket with 1008. */
void stream_revoke(struct gateway *gw, const char *key_id, const struct uuid *user_id);
/* The keys with which streams are open.  How many were added. */
size_t stream_add_keys(const struct gateway *gw, struct db_array *ids);
/* All is said for good; in place of stream_wait(). */
void stream_end(struct request *r);

#endif
