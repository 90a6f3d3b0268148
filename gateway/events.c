/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - GET /api/stint/v1/events: all tasks that the asker may see, and what becomes of them.
 *
 *   new, or too long away ---> LIST: the present state, page by page --+
 *   Last-Event-ID ---> feed's history ---> HISTORY: what changed since --+--> synced --> LIVE
 *
 * The place in the feed is taken before the first page is read, so what changes meanwhile is said
 * again in LIVE: too often perhaps, never not at all.  Events say how a task is now, so that is no
 * harm.
 *
 * An event carries the id of its entry in the feed only when it is the last one of that entry.  So
 * the last id that a client has seen means "all up to here", on whichever gateway it goes on.
 */
#include "gateway/events.h"

#include <string.h>

#include "gateway/changes.h"
#include "gateway/json_out.h"
#include "gateway/rights.h"
#include "gateway/task_load.h"

#define PAGE 64
/* Longer absences are told as a whole. */
#define HISTORY_MAX 10000

enum phase { BEGINNING, HISTORY, LIST, LIVE };

struct events {
    struct task_set set; /* first: r->state is a task_set */
    struct request *r;
    struct listener listener;
    enum phase phase;
    struct feed_id from; /* the feed's place when the reading began */
    VEC(struct uuid) changed;
    size_t n_told;     /* of those */
    int64_t before_us; /* where the next page begins */
    struct uuid before_id;
};

static void events_done(void *state)
{
    struct events *e = state;
    changes_leave(e->r->gw->changes, &e->listener);
    vec_done(&e->changed);
    task_set_done(&e->set);
}

static void wake(struct listener *l)
{
    stream_nudge(container_of(l, struct events, listener)->r);
}

/* ---- saying ---- */

bool events_check(struct request *r)
{
    if (!stream_is_websocket(r))
        return true;
    answer_problem(r, 400, "not-a-websocket", "This is an event stream, not a WebSocket.",
        "Ask for it with an ordinary GET and \"Accept: text/event-stream\".");
    return false;
}

void events_put_reset(struct request *r)
{
    stream_put(r, "reset", NULL, "{}", 2);
}

void events_put_deleted(struct request *r, const char *id, const struct uuid *task_id)
{
    struct strbuf out;
    strbuf_init(&out);
    json_open(&out, '{');
    json_put_uuid(&out, "id", task_id);
    json_close(&out, '}');
    stream_put(r, "deleted", id, out.s, out.len);
    strbuf_done(&out);
}

static void put_blob(struct request *r, const struct task_blob *b)
{
    struct queue_place place = {0};
    struct strbuf out;
    if (b->is_pending)
        place = queue_place(r->gw->queue, &b->id);
    strbuf_init(&out);
    task_blob_write_own(&out, b, place);
    stream_put(r, "task", NULL, out.s, out.len);
    strbuf_done(&out);
}

static void put_synced(struct request *r)
{
    struct events *e = r->state;
    char id[FEED_ID_SIZE];
    feed_id_format(e->from, id);
    stream_put(r, "synced", id, "{}", 2);
    e->phase = LIVE;
    vec_done(&e->changed);
}

static bool may_see(const struct request *r, const struct uuid *owner)
{
    return !uuid_is_nil(owner) && rights_may(&r->who, OBJECT_TASK, ACTION_READ, owner);
}

/* ---- live ---- */

static void put_change(struct request *r, const struct change *ch)
{
    struct events *e = r->state;
    char text[FEED_ID_SIZE];
    const char *id = NULL;
    if (!changes_goes_on(r->gw->changes, &e->listener, ch->id)) {
        feed_id_format(ch->id, text);
        id = text;
    }
    if (ch->n > 0)
        stream_put(r, "task", id, ch->text, ch->n);
    else
        events_put_deleted(r, id, &ch->task_id);
}

static void begin_list(struct request *r, bool is_again);

static void go_on(struct request *r)
{
    struct events *e = r->state;
    const struct change *ch;
    while (stream_has_room(r) && (ch = changes_next(r->gw->changes, &e->listener)) != NULL)
        if (may_see(r, &ch->owner_id))
            put_change(r, ch);
    if (e->listener.is_lost)
        begin_list(r, true);
    else
        stream_wait(r);
}

/* ---- the present state ---- */

static void take_place(struct request *r)
{
    struct events *e = r->state;
    changes_catch_up(r->gw->changes, &e->listener);
    e->from = feed_last(r->gw->feed);
}

/* Memory of the last page goes before the next is asked for. */
static void clear_set(struct events *e)
{
    task_set_done(&e->set);
    e->set = (struct task_set){.mark = 0};
}

static void on_page_loaded(struct request *r)
{
    struct events *e = r->state;
    size_t n = e->set.ids.n;
    for (size_t i = 0; i < n; i++)
        if (e->set.blobs[i] != NULL && may_see(r, &e->set.blobs[i]->owner_id))
            put_blob(r, e->set.blobs[i]);
    clear_set(e);
    if (n < PAGE)
        put_synced(r);
    stream_wait(r);
}

static void on_page(struct request *r, const struct db_result *const *results)
{
    struct events *e = r->state;
    size_t n = db_rows(results[0]);
    for (size_t i = 0; i < n; i++)
        *vec_push(&e->set.ids) = db_uuid(results[0], i, 0);
    if (n > 0) {
        e->before_us = db_time_us(results[0], n - 1, 1);
        e->before_id = e->set.ids.v[n - 1];
    }
    task_load(r, on_page_loaded);
}

static void read_page(struct request *r)
{
    const struct events *e = r->state;
    bool sees_all = rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_EVENT_TASK_IDS);
    db_add_uuid(b, sees_all ? NULL : &r->who.id);
    db_add_time(b, e->before_us);
    db_add_uuid(b, &e->before_id);
    db_add_int8(b, PAGE);
    ask_db(r, b, on_page);
}

static void begin_list(struct request *r, bool is_again)
{
    struct events *e = r->state;
    if (is_again)
        events_put_reset(r);
    take_place(r);
    e->phase = LIST;
    e->before_us = INT64_MIN;
    e->before_id = (struct uuid){{0}};
    read_page(r);
}

/* ---- what changed since ---- */

static void on_changed_loaded(struct request *r)
{
    struct events *e = r->state;
    for (size_t i = 0; i < e->set.ids.n; i++) {
        if (e->set.blobs[i] != NULL)
            put_blob(r, e->set.blobs[i]);
        else
            events_put_deleted(r, NULL, &e->set.ids.v[i]);
    }
    clear_set(e);
    stream_wait(r);
}

static void on_owners(struct request *r, const struct db_result *const *results)
{
    struct events *e = r->state;
    for (size_t i = 0; i < db_rows(results[0]); i++) {
        struct uuid owner = db_uuid(results[0], i, 1);
        if (may_see(r, &owner))
            *vec_push(&e->set.ids) = db_uuid(results[0], i, 0);
    }
    task_load(r, on_changed_loaded);
}

static void read_changed(struct request *r)
{
    struct events *e = r->state;
    if (e->n_told == e->changed.n) {
        put_synced(r);
        stream_wait(r);
        return;
    }
    struct db_array *ids = db_array_new(DB_UUID);
    for (int i = 0; i < PAGE && e->n_told < e->changed.n; i++)
        db_array_uuid(ids, &e->changed.v[e->n_told++]);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_EVENT_OWNERS);
    db_add_array(b, ids);
    ask_db(r, b, on_owners);
}

static void on_history(void *arg, bool is_whole, const struct uuid *ids, size_t n)
{
    struct request *r = arg;
    struct events *e = r->state;
    if (!is_whole) {
        begin_list(r, true);
        return;
    }
    e->phase = HISTORY;
    for (size_t i = 0; i < n; i++)
        *vec_push(&e->changed) = ids[i];
    read_changed(r);
}

/* ---- the way ---- */

static void begin(struct request *r)
{
    struct events *e = r->state;
    const char *last = stream_last_event_id(r);
    struct feed_id id;
    if (last == NULL || *last == '\0') {
        begin_list(r, false);
    } else if (!feed_id_parse(last, strlen(last), &id)) {
        begin_list(r, true);
    } else {
        take_place(r);
        e->phase = HISTORY;
        feed_history(r->gw->counts, id, HISTORY_MAX, on_history, r);
    }
}

static void pull(struct request *r)
{
    struct events *e = r->state;
    if (e->phase != BEGINNING && e->listener.is_lost)
        begin_list(r, true);
    else if (e->phase == BEGINNING)
        begin(r);
    else if (e->phase == HISTORY)
        read_changed(r);
    else if (e->phase == LIST)
        read_page(r);
    else
        go_on(r);
}

void events_get(struct request *r)
{
    if (!events_check(r))
        return;
    struct events *e = request_state(r, sizeof(*e), events_done);
    e->r = r;
    e->listener.wake = wake;
    changes_join(r->gw->changes, &e->listener);
    stream_open(r, pull, 0);
}
