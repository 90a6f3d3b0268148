/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_queue.c - /api/stint/v1/queue and …/queue/{task}: who waits for the cap, where, how long.
 *
 * Whoever may see all tasks sees the whole queue; others see their own in it, and how many wait in
 * all.  Places come from the scheduler, the tasks as every reader has them.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/own_task.h"
#include "gateway/page.h"
#include "gateway/task_query.h"

/* What is shown of each task; the prompt may be long. */
#define SHOWN \
    "id,name,display_name,owner_id,owner_name,template_name,status,created_at,priority,labels"

struct waiting {
    struct task_set set; /* first: r->state is a task_set */
    int64_t limit, after;
    struct queue_place *places; /* as many as ids */
    uint32_t size, size_of_owner, holding, cap;
    bool has_more;
};

static void waiting_done(void *state)
{
    struct waiting *w = state;
    free(w->places);
    task_set_done(&w->set);
}

static void put_eta(struct strbuf *out, uint64_t eta_ms)
{
    if (eta_ms > 0)
        json_put_int(out, "eta_seconds", (int64_t)((eta_ms + 999) / 1000));
    else
        json_put_null(out, "eta_seconds");
}

static void write_entry(struct request *r, const struct task_blob *b, struct queue_place place)
{
    uint64_t fields;
    char unknown[32];
    task_fields_parse(SHOWN, &fields, unknown);
    json_open(&r->out, '{');
    json_put_int(&r->out, "position", place.position);
    put_eta(&r->out, place.eta_ms);
    json_key(&r->out, "task");
    own_task_write(r, b, fields);
    json_close(&r->out, '}');
}

static void write_queue(struct request *r)
{
    const struct waiting *w = r->state;
    char cursor[PAGE_CURSOR_SIZE];
    page_cursor_format('q', &w->after, 1, cursor);
    json_open(&r->out, '{');
    json_key(&r->out, "queue");
    json_open(&r->out, '[');
    for (size_t i = 0; i < w->set.ids.n; i++)
        if (w->set.blobs[i] != NULL && w->set.blobs[i]->is_pending)
            write_entry(r, w->set.blobs[i], w->places[i]);
    json_close(&r->out, ']');
    json_put_int(&r->out, "size", w->size);
    json_put_int(&r->out, "others", w->size > w->size_of_owner ? w->size - w->size_of_owner : 0);
    json_put_int(&r->out, "holding", w->holding);
    json_put_int(&r->out, "cap", w->cap);
    page_put_next(r, w->has_more ? cursor : NULL);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void take_places(struct waiting *w, const Stint__V1__QueueReply *m)
{
    size_t n = m->n_place < (size_t)w->limit ? m->n_place : (size_t)w->limit;
    w->has_more = m->n_place > n;
    w->size = m->size;
    w->size_of_owner = m->size_of_owner;
    w->holding = m->holding;
    w->cap = m->cap;
    w->places = mem_calloc(n + 1, sizeof(*w->places));
    for (size_t i = 0; i < n; i++) {
        struct uuid id;
        if (!wire_get_uuid(&m->place[i]->task_id, &id))
            continue;
        w->after = m->place[i]->position;
        w->places[w->set.ids.n] =
            (struct queue_place){.position = m->place[i]->position, .eta_ms = m->place[i]->eta_ms};
        *vec_push(&w->set.ids) = id;
    }
}

static void on_places(struct request *r, const Stint__V1__Envelope *reply)
{
    if (reply->body_case == STINT__V1__ENVELOPE__BODY_QUEUE_REPLY) {
        take_places(r->state, reply->queue_reply);
        task_load(r, write_queue);
        return;
    }
    bool is_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    answer_refusal(r, is_status ? reply->status->code : (uint32_t)REFUSAL_MALFORMED,
        is_status ? reply->status->detail : "", "");
}

void own_queue_list(struct request *r)
{
    static const char *const known[] = {"limit", "cursor", NULL};
    struct waiting *w = request_state(r, sizeof(*w), waiting_done);
    if (!page_check_parameters(r, known) || !page_read_limit(r, &w->limit) ||
        !page_read_cursor(r, 'q', &w->after, 1))
        return;
    Stint__V1__QueueQuery__List list = STINT__V1__QUEUE_QUERY__LIST__INIT;
    Stint__V1__QueueQuery query = STINT__V1__QUEUE_QUERY__INIT;
    if (!rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL))
        list.owner_id = wire_uuid(&r->who.id);
    list.after = (uint32_t)w->after;
    list.limit = (uint32_t)w->limit + 1;
    query.list = &list;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_QUEUE_QUERY);
    e.queue_query = &query;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_places);
}

/* ---- one ---- */

static void show_place(struct request *r)
{
    const struct task_set *set = r->state;
    const struct task_blob *b = set->blobs[0];
    if (b == NULL || !request_may_touch(r, &b->owner_id)) {
        answer_not_found(r);
        return;
    }
    struct queue_place place = {0};
    if (b->is_pending)
        place = queue_place(r->gw->queue, &b->id);
    json_open(&r->out, '{');
    json_put_uuid(&r->out, "task_id", &b->id);
    json_put_text(&r->out, "status", b->status);
    if (place.position > 0)
        json_put_int(&r->out, "position", place.position);
    else
        json_put_null(&r->out, "position");
    put_eta(&r->out, place.eta_ms);
    json_put_int(&r->out, "size", place.size);
    json_close(&r->out, '}');
    etag_answer(r, 200, etag_of(r->out.s, r->out.len));
}

void own_queue_get(struct request *r)
{
    static const char *const none[] = {NULL};
    struct uuid id;
    if (request_param_uuid(r, 0, &id) && page_check_parameters(r, none))
        own_task_show(r, &id, show_place);
}
