/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse.h - text/event-stream taken apart.  Pure.
 *
 *   event: message_update LF
 *   data: {"id": 1, ...} LF
 *   LF                                 the event is over: on_event("message_update", "{...}")
 *
 * Fed with pieces cut anywhere; lines end in LF, CR or CRLF.  Comments and retry times are passed
 * over.  An event whose data is longer than SSE_EVENT_BYTES_MAX, or whose line is, is passed over
 * as a whole and counted; the stream goes on behind it.
 *
 * `id` is that of the last event that is over, as a reader says it ("Last-Event-ID") to go on
 * behind that event; while on_event() runs it is the id of that event.  An id that is longer than
 * SSE_ID_BYTES_MAX is passed over.
 */
#ifndef CORE_BASE_SSE_H
#define CORE_BASE_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

#define SSE_EVENT_BYTES_MAX (8 * 1024 * 1024)
#define SSE_NAME_BYTES_MAX  64
#define SSE_ID_BYTES_MAX    512

/* `name`: "message" when the event has none; `data`: n bytes and a NUL.  False: feed no more. */
typedef bool (*sse_event_fn)(void *arg, const char *name, const char *data, size_t n);

struct sse {
    sse_event_fn on_event;
    void *arg;
    size_t event_bytes_max;
    struct strbuf line, data;
    char name[SSE_NAME_BYTES_MAX + 1];
    char id[SSE_ID_BYTES_MAX + 1], next_id[SSE_ID_BYTES_MAX + 1];
    bool has_id; /* next_id is one */
    bool has_data, is_too_long, was_cr, is_past_start;
    size_t n_mark;      /* bytes of a byte order mark so far */
    uint64_t n_skipped; /* events passed over */
};

void sse_init(struct sse *s, sse_event_fn on_event, void *arg);
void sse_done(struct sse *s);
/* A new stream: forget what has begun.  The id is kept: the stream goes on behind it. */
void sse_reset(struct sse *s);
/* False as soon as on_event() says so. */
bool sse_feed(struct sse *s, const char *data, size_t n);

#endif
