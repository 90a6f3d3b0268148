/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - what a stream says, and when it is asked for more.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "gateway/auth.h"
#include "gateway/stream_private.h"

/* How often all streams are looked after. */
#define LOOK_MS 250
/* Memory that an idle one keeps for what it will say. */
#define IDLE_BYTES_MAX 1024
/* And their readers. */
#define ALIVE_MS 5000

bool stream_is_websocket(const struct request *r)
{
    return r->websocket_key[0] != '\0';
}

bool stream_is_wanted(const struct request *r)
{
    return stream_is_websocket(r) || r->accepts_events;
}

const char *stream_last_event_id(const struct request *r)
{
    return r->last_event_id != NULL ? r->last_event_id : request_query(r, "last_event_id");
}

bool stream_check_wanted(struct request *r)
{
    if (stream_is_wanted(r))
        return true;
    answer_header(r, "upgrade:", "websocket");
    answer_error(r, 426, "This is a stream.",
        "Ask for it as a WebSocket, or with \"Accept: text/event-stream\".");
    return false;
}

/* ---- life ---- */

static void unwatch(struct stream *s);
static void end(struct stream *s, enum stream_close why);

static void free_stream(struct stream *s)
{
    struct request *r = s->r;
    unwatch(s);
    list_unlink(&s->all);
    metric_add(&r->gw->metrics.streams, -1);
    strbuf_done(&s->out);
    free(s);
    r->stream = NULL;
    http_end(r);
}

void stream_gone(struct stream *s)
{
    s->wsi = NULL;
    if (!s->is_busy)
        free_stream(s);
}

static void ask_for_more(struct stream *s)
{
    s->is_busy = true;
    s->is_woken = s->has_put = false;
    s->pull(s->r);
}

static void open_now(void *arg)
{
    struct stream *s = arg;
    struct http *h = s->r->gw->http;
    s->moved_mono_ms = s->looked_mono_ms = clock_mono_ms();
    bool is_open = s->r->link.wsi != NULL && stream_http_open(h, s);
    s->is_busy = false;
    if (!is_open) {
        stream_gone(s);
        return;
    }
    if (h->is_draining) {
        s->is_ending = true;
        s->why = STREAM_CLOSE_GOING_AWAY;
        stream_http_ask(s);
        return;
    }
    if (!auth_is_current(s->r)) { /* it may come again */
        end(s, STREAM_CLOSE_REVOKED);
        return;
    }
    ask_for_more(s);
}

static void look_after(struct stream *s, int64_t now)
{
    bool has_more = s->sent < s->out.len || s->wants_ping || s->is_ending;
    if (has_more && now - s->moved_mono_ms >= s->r->gw->conf.stream_stall_ms) {
        metric_add(&s->r->gw->metrics.streams_cut, 1);
        stream_http_kill(s);
        return;
    }
    if (now - s->looked_mono_ms >= ALIVE_MS) {
        s->looked_mono_ms = now;
        if (!stream_http_is_alive(s)) {
            stream_http_kill(s);
            return;
        }
    }
    if (!has_more && now - s->moved_mono_ms >= STREAM_PING_MS) {
        s->wants_ping = true;
        s->moved_mono_ms = now;
        stream_http_ask(s);
    }
    if (!s->is_busy && !has_more && s->every_ms > 0 && now - s->waited_mono_ms >= s->every_ms)
        ask_for_more(s);
}

static void on_timer(void *arg)
{
    struct gateway *gw = arg;
    int64_t now = clock_mono_ms();
    list_for_safe(it, &gw->streams)
    {
        struct stream *s = container_of(it, struct stream, all);
        if (s->wsi != NULL)
            look_after(s, now);
    }
}

void stream_open(struct request *r, request_fn pull, int64_t every_ms)
{
    struct gateway *gw = r->gw;
    struct stream *s = mem_alloc(sizeof(*s));
    *s = (struct stream){.r = r, .pull = pull, .every_ms = every_ms, .is_busy = true};
    s->is_websocket = stream_is_websocket(r);
    s->why = STREAM_CLOSE_NORMAL;
    strbuf_init(&s->out);
    r->stream = s;
    if (list_is_empty(&gw->streams))
        timer_start(gw->stream_timer, LOOK_MS, LOOK_MS);
    list_append(&gw->streams, &s->all);
    metric_add(&gw->metrics.streams, 1);
    /* Not from inside the callback that may have led here. */
    loop_post(gw->loop, open_now, s);
}

void streams_init(struct gateway *gw)
{
    list_init(&gw->streams);
    gw->stream_timer = timer_new(gw->loop, on_timer, gw);
}

/* ---- waking ---- */

void stream_watch(struct request *r, const struct uuid *id)
{
    struct stream *s = r->stream;
    struct map *topics = &r->gw->stream_topics;
    if (s->n_watches == STREAM_TOPICS_MAX || uuid_is_nil(id))
        return;
    struct stream_topic *t = map_get(topics, id);
    if (t == NULL) {
        t = mem_alloc(sizeof(*t));
        t->id = *id;
        list_init(&t->watches);
        map_put(topics, id, t);
    }
    struct stream_watch *w = &s->watches[s->n_watches++];
    *w = (struct stream_watch){.stream = s, .topic = t};
    list_append(&t->watches, &w->link);
}

static void unwatch(struct stream *s)
{
    for (size_t i = 0; i < s->n_watches; i++) {
        struct stream_topic *t = s->watches[i].topic;
        list_unlink(&s->watches[i].link);
        if (!list_is_empty(&t->watches))
            continue;
        map_remove(&s->r->gw->stream_topics, &t->id);
        free(t);
    }
    s->n_watches = 0;
}

static void wake(struct stream *s)
{
    s->is_woken = true;
    if (!s->is_busy && s->wsi != NULL && !s->is_ending && s->sent == s->out.len)
        ask_for_more(s);
}

/* Waking calls a handler, which ends its own stream at most, and that not on the spot: so a topic
 * and the next one in its list stay while they are looked at. */
void stream_wake(struct gateway *gw, const struct uuid *id)
{
    struct stream_topic *t = map_get(&gw->stream_topics, id);
    if (t == NULL)
        return;
    list_for_safe(it, &t->watches)
    {
        wake(container_of(it, struct stream_watch, link)->stream);
    }
}

void stream_nudge(struct request *r)
{
    wake(r->stream);
}

void stream_wake_all(struct gateway *gw)
{
    list_for_safe(it, &gw->streams)
    {
        wake(container_of(it, struct stream, all));
    }
}

/* ---- saying ---- */

bool stream_has_room(const struct request *r)
{
    return r->stream->out.len - r->stream->sent < STREAM_BYTES_MAX;
}

static void put_line(struct strbuf *b, const char *field, const char *value, size_t n)
{
    strbuf_addstr(b, field);
    strbuf_add(b, value, n);
    strbuf_addch(b, '\n');
}

void stream_put(struct request *r, const char *event, const char *id, const char *data, size_t n)
{
    struct stream *s = r->stream;
    s->has_put = true;
    if (s->wsi == NULL || s->has_said_end)
        return;
    if (s->sent == s->out.len)
        s->moved_mono_ms = clock_mono_ms();
    if (s->is_websocket) {
        uint32_t length = (uint32_t)n;
        strbuf_add(&s->out, &length, sizeof(length));
        strbuf_add(&s->out, data, n);
        return;
    }
    if (id != NULL)
        put_line(&s->out, "id: ", id, strlen(id));
    if (event != NULL)
        put_line(&s->out, "event: ", event, strlen(event));
    put_line(&s->out, "data: ", data, n);
    strbuf_addch(&s->out, '\n');
}

/* Gone while the handler had it? */
static bool is_left_alone(struct stream *s)
{
    s->is_busy = false;
    s->waited_mono_ms = clock_mono_ms();
    if (s->wsi != NULL)
        return false;
    free_stream(s);
    return true;
}

void stream_wait(struct request *r)
{
    struct stream *s = r->stream;
    if (is_left_alone(s))
        return;
    if (s->sent < s->out.len || s->is_ending)
        stream_http_ask(s);
    else if (s->is_woken)
        ask_for_more(s);
}

static void end(struct stream *s, enum stream_close why)
{
    if (!s->is_ending)
        s->why = why;
    s->is_ending = true;
    if (!s->is_busy)
        stream_http_ask(s);
}

void stream_end(struct request *r)
{
    struct stream *s = r->stream;
    if (!is_left_alone(s))
        end(s, STREAM_CLOSE_NORMAL);
}

/* The question that failed was the handler's last. */
void stream_fail(struct request *r)
{
    struct stream *s = r->stream;
    r->is_over = false;
    if (!is_left_alone(s))
        end(s, STREAM_CLOSE_FAILED);
}

void stream_emptied(struct stream *s)
{
    if (s->out.room > IDLE_BYTES_MAX)
        strbuf_done(&s->out);
    strbuf_clear(&s->out);
    s->sent = 0;
    if (!s->is_busy && !s->is_ending && (s->has_put || s->is_woken))
        ask_for_more(s);
}

void stream_revoke(struct gateway *gw, const char *key_id, const struct uuid *user_id)
{
    list_for_safe(it, &gw->streams)
    {
        struct stream *s = container_of(it, struct stream, all);
        const struct principal *who = &s->r->who;
        bool is_it = key_id != NULL ? strcmp(who->key_id, key_id) == 0 : uuid_eq(&who->id, user_id);
        if (is_it) /* also one that is not open yet */
            end(s, STREAM_CLOSE_REVOKED);
    }
}

size_t stream_add_keys(const struct gateway *gw, struct db_array *ids)
{
    size_t n = 0;
    list_for(it, &gw->streams)
    {
        const struct stream *s = container_of(it, struct stream, all);
        if (s->r->who.key_id[0] == '\0')
            continue;
        db_array_text(ids, s->r->who.key_id);
        n++;
    }
    return n;
}

void stream_drain(struct gateway *gw)
{
    list_for_safe(it, &gw->streams)
    {
        struct stream *s = container_of(it, struct stream, all);
        if (s->wsi != NULL)
            end(s, STREAM_CLOSE_GOING_AWAY);
    }
}
