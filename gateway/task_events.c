/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_events.c - GET /api/stint/v1/tasks/{task}/events: one task, what it says, and its logs.
 *
 * Each time the change feed names the task, everything behind the cursors is read from Postgres and
 * said: messages, lines of logs, messages that wait; at last the task itself, if it reads
 * differently.  So a reader of "idle" has the words that came before it.
 *
 * The id of an event has the cursors, and any gateway goes on from them exactly:
 *
 *   1763725000123-4;m=12:9f86d081884c7d65;b=<job>:1048577;a=<agent>:88
 *   feed            conversation          build log       agent log
 *
 * The last message of a conversation may still grow; the hash of what was said of it tells whether
 * it has to be said again.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/etag.h"
#include "gateway/events.h"
#include "gateway/json_out.h"
#include "gateway/message.h"
#include "gateway/rights.h"
#include "gateway/task_events.h"
#include "gateway/task_load.h"

#define PAGE_MESSAGES 64
#define PAGE_LINES    256

/* The columns of the statements, in order. */
enum message_column { MESSAGE_ID, MESSAGE_ROLE, MESSAGE_CONTENT, MESSAGE_AT };
enum build_column { BUILD_JOB, BUILD_ID, BUILD_LEVEL, BUILD_STAGE, BUILD_OUTPUT, BUILD_AT };
enum agent_column { AGENT_AGENT, AGENT_ID, AGENT_SOURCE, AGENT_LEVEL, AGENT_OUTPUT, AGENT_AT };

struct task_events {
    struct task_set set; /* first: r->state is a task_set */
    struct uuid task_id;
    struct task_cursor at;
    bool is_resumed, wants_reset, is_synced, has_more;
    struct etag_half task; /* what was last said of it */
    VEC(struct etag_half) queued;
};

static void events_done(void *state)
{
    struct task_events *e = state;
    vec_done(&e->queued);
    task_set_done(&e->set);
}

/* ---- cursors ---- */

void task_cursor_write(const struct task_cursor *c, char ret_text[static TASK_EVENT_ID_SIZE])
{
    char *p = ret_text, *end = ret_text + TASK_EVENT_ID_SIZE;
    feed_id_format(c->feed, p);
    p += strlen(p);
    if (c->message >= 0)
        p += snprintf(p, (size_t)(end - p), ";m=%" PRId64 ":%s", c->message, c->said);
    if (!uuid_is_nil(&c->job))
        p += snprintf(p, (size_t)(end - p), ";b=%s:%" PRId64, uuid_format(&c->job).s, c->job_line);
    if (!uuid_is_nil(&c->agent))
        snprintf(p, (size_t)(end - p), ";a=%s:%" PRId64, uuid_format(&c->agent).s, c->agent_line);
}

/* A number from 0, to the end of `s`. */
static bool read_number(const char *s, const char *end, int64_t *ret)
{
    char *stop;
    if (s == end || *s < '0' || *s > '9' || end - s > 18)
        return false;
    *ret = strtoll(s, &stop, 10);
    return stop == end;
}

static bool read_place(const char *s, const char *end, struct uuid *ret_id, int64_t *ret_line)
{
    char id[37] = "";
    if (end - s < 38 || s[36] != ':')
        return false;
    memcpy(id, s, 36);
    return uuid_parse(id, ret_id) && read_number(s + 37, end, ret_line);
}

static bool read_message(const char *s, const char *end, struct task_cursor *c)
{
    const char *colon = memchr(s, ':', (size_t)(end - s));
    if (colon == NULL || end - colon - 1 >= (ptrdiff_t)sizeof(c->said))
        return false;
    memcpy(c->said, colon + 1, (size_t)(end - colon - 1));
    c->said[end - colon - 1] = '\0';
    return strspn(c->said, "0123456789abcdef") == (size_t)(end - colon - 1) &&
           read_number(s, colon, &c->message);
}

static bool read_part(const char *s, const char *end, struct task_cursor *c)
{
    if (end - s < 3 || s[1] != '=')
        return false;
    switch (s[0]) {
    case 'm':
        return read_message(s + 2, end, c);
    case 'b':
        return read_place(s + 2, end, &c->job, &c->job_line);
    case 'a':
        return read_place(s + 2, end, &c->agent, &c->agent_line);
    default:
        return false;
    }
}

bool task_cursor_read(const char *text, struct task_cursor *ret)
{
    *ret = (struct task_cursor){.message = -1};
    size_t n = strcspn(text, ";");
    bool ok = feed_id_parse(text, n, &ret->feed);
    for (const char *s = text + n; ok && *s != '\0';) {
        s++;
        const char *end = s + strcspn(s, ";");
        ok = read_part(s, end, ret);
        s = end;
    }
    if (!ok)
        *ret = (struct task_cursor){.message = -1};
    return ok;
}

/* ---- saying ---- */

static void put(struct request *r, const char *event)
{
    const struct task_events *e = r->state;
    char id[TASK_EVENT_ID_SIZE];
    task_cursor_write(&e->at, id);
    stream_put(r, event, id, r->out.s, r->out.len);
    strbuf_clear(&r->out);
}

static void put_message(struct request *r, const struct db_result *rows, size_t i)
{
    struct task_events *e = r->state;
    const char *content = db_text(rows, i, MESSAGE_CONTENT);
    struct etag_half said = etag_of(content, strlen(content));
    int64_t id = db_int(rows, i, MESSAGE_ID);
    if (id == e->at.message && strcmp(said.s, e->at.said) == 0)
        return;
    e->at.message = id;
    memcpy(e->at.said, said.s, sizeof(said.s));
    json_open(&r->out, '{');
    json_put_int(&r->out, "id", id);
    json_put_text(&r->out, "role", db_text(rows, i, MESSAGE_ROLE));
    json_put_text(&r->out, "content", content);
    json_put_time(&r->out, "time", db_time_us(rows, i, MESSAGE_AT));
    json_close(&r->out, '}');
    put(r, "message");
}

static void put_build_line(struct request *r, const struct db_result *rows, size_t i)
{
    struct task_events *e = r->state;
    e->at.job = db_uuid(rows, i, BUILD_JOB);
    e->at.job_line = db_int(rows, i, BUILD_ID);
    json_open(&r->out, '{');
    json_put_text(&r->out, "source", "build");
    json_put_uuid(&r->out, "job_id", &e->at.job);
    json_put_int(&r->out, "id", e->at.job_line);
    json_put_text(&r->out, "level", db_text(rows, i, BUILD_LEVEL));
    json_put_text(&r->out, "stage", db_text(rows, i, BUILD_STAGE));
    json_put_text(&r->out, "output", db_text(rows, i, BUILD_OUTPUT));
    json_put_time(&r->out, "created_at", db_time_us(rows, i, BUILD_AT));
    json_close(&r->out, '}');
    put(r, "log");
}

static void put_agent_line(struct request *r, const struct db_result *rows, size_t i)
{
    struct task_events *e = r->state;
    e->at.agent = db_uuid(rows, i, AGENT_AGENT);
    e->at.agent_line = db_int(rows, i, AGENT_ID);
    json_open(&r->out, '{');
    json_put_text(&r->out, "source", "agent");
    json_put_uuid(&r->out, "agent_id", &e->at.agent);
    json_put_int(&r->out, "id", e->at.agent_line);
    json_put_text(&r->out, "level", db_text(rows, i, AGENT_LEVEL));
    json_put_text(&r->out, "source_name", db_text(rows, i, AGENT_SOURCE));
    json_put_text(&r->out, "output", db_text(rows, i, AGENT_OUTPUT));
    json_put_time(&r->out, "created_at", db_time_us(rows, i, AGENT_AT));
    json_close(&r->out, '}');
    put(r, "log");
}

static bool was_said(const struct task_events *e, const struct etag_half *h)
{
    for (size_t i = 0; i < e->queued.n; i++)
        if (strcmp(e->queued.v[i].s, h->s) == 0)
            return true;
    return false;
}

/* Those that read differently than before.  Of a new stream's only those that wait. */
static void put_queued(struct request *r, const struct db_result *rows)
{
    struct task_events *e = r->state;
    VEC(struct etag_half) now = {0};
    for (size_t i = 0; i < db_rows(rows); i++) {
        queued_message_write(rows, i, &r->out);
        struct etag_half h = etag_of(r->out.s, r->out.len);
        bool is_old = !e->is_synced && !e->is_resumed && !queued_message_waits(rows, i);
        if (!is_old && !was_said(e, &h))
            put(r, "queued_message");
        strbuf_clear(&r->out);
        *vec_push(&now) = h;
    }
    vec_done(&e->queued);
    memcpy(&e->queued, &now, sizeof(now));
}

static void put_task(struct request *r)
{
    struct task_events *e = r->state;
    const struct task_blob *b = e->set.blobs[0];
    struct queue_place place = {0};
    if (b->is_pending)
        place = queue_place(r->gw->queue, &b->id);
    task_blob_write_own(&r->out, b, place);
    struct etag_half h = etag_of(r->out.s, r->out.len);
    if (strcmp(h.s, e->task.s) != 0)
        put(r, "task");
    e->task = h;
    strbuf_clear(&r->out);
    if (e->is_synced)
        return;
    e->is_synced = true;
    strbuf_addstr(&r->out, "{}");
    put(r, "synced");
}

/* ---- reading ---- */

/* True: a page is full, or the reader has enough for now. */
static bool put_rows(struct request *r, const struct db_result *rows, size_t page,
    void (*put_row)(struct request *r, const struct db_result *rows, size_t i))
{
    size_t i = 0, n = db_rows(rows);
    while (i < n && stream_has_room(r))
        put_row(r, rows, i++);
    return i < n || n == page;
}

static void on_rows(struct request *r, const struct db_result *const *results)
{
    struct task_events *e = r->state;
    if (e->wants_reset)
        events_put_reset(r);
    e->wants_reset = false;
    bool more = put_rows(r, results[0], PAGE_MESSAGES, put_message);
    more |= put_rows(r, results[1], PAGE_LINES, put_build_line);
    more |= put_rows(r, results[2], PAGE_LINES, put_agent_line);
    if (!more) {
        put_queued(r, results[3]);
        put_task(r);
    }
    task_set_done(&e->set);
    e->set = (struct task_set){.mark = 0};
    strbuf_done(&r->out);
    stream_wait(r);
}

static void add_lines(struct db_batch *b, enum sql_id statement, const struct uuid *task_id,
    const struct uuid *of, int64_t after)
{
    db_batch_add(b, statement);
    db_add_uuid(b, task_id);
    db_add_uuid(b, of);
    db_add_int8(b, after);
    db_add_int8(b, PAGE_LINES);
}

static void ask_rows(struct request *r)
{
    const struct task_events *e = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_EVENT_MESSAGES);
    db_add_uuid(b, &e->task_id);
    db_add_int8(b, e->at.message);
    db_add_int8(b, PAGE_MESSAGES);
    add_lines(b, SQL_EVENT_BUILD_LOGS, &e->task_id, &e->at.job, e->at.job_line);
    add_lines(b, SQL_EVENT_AGENT_LOGS, &e->task_id, &e->at.agent, e->at.agent_line);
    db_batch_add(b, SQL_QUEUED_MESSAGE_LIST);
    db_add_uuid(b, &e->task_id);
    db_add_int4(b, QUEUED_CONTENT_MAX);
    ask_db(r, b, on_rows);
}

static void on_task(struct request *r)
{
    const struct task_events *e = r->state;
    const struct task_blob *b = e->set.blobs[0];
    if (b != NULL && rights_may(&r->who, OBJECT_TASK, ACTION_READ, &b->owner_id)) {
        ask_rows(r);
        return;
    }
    events_put_deleted(r, NULL, &e->task_id);
    stream_end(r);
}

/* The place in the feed before the reading: what is read is not older. */
static void pull(struct request *r)
{
    struct task_events *e = r->state;
    e->at.feed = feed_last(r->gw->feed);
    *vec_push(&e->set.ids) = e->task_id;
    task_load(r, on_task);
}

/* ---- beginning ---- */

static void on_found(struct request *r)
{
    struct task_events *e = r->state;
    const struct task_blob *b = e->set.blobs[0];
    if (b == NULL || !request_may_touch(r, &b->owner_id)) {
        answer_not_found(r);
        return;
    }
    task_set_done(&e->set);
    e->set = (struct task_set){.mark = 0};
    stream_open(r, pull, 0);
    stream_watch(r, &e->task_id);
}

void task_events_get(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id) || !events_check(r))
        return;
    struct task_events *e = request_state(r, sizeof(*e), events_done);
    const char *last = stream_last_event_id(r);
    e->task_id = id;
    e->at.message = -1;
    if (last != NULL && *last != '\0') {
        e->is_resumed = task_cursor_read(last, &e->at);
        e->wants_reset = !e->is_resumed;
    }
    *vec_push(&e->set.ids) = id;
    task_load(r, on_found);
}
