/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - places by task id, and the one open question.
 *
 * A scheduler that does not answer costs its askers a second, once in a while: for two seconds
 * after that nobody waits for it.
 */
#include "gateway/queue.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/vec.h"

#define GOOD_MS    500
#define TIMEOUT_MS 1000
#define PAUSE_MS   2000
#define ASK_MAX    1000
#define PLACES_MAX 100000

struct place {
    struct queue_place place;
    int64_t good_until_mono_ms;
};

struct waiter {
    size_t until; /* goes on when so many ids have been answered */
    loop_fn done;
    void *arg;
};

struct queue {
    struct gateway *gw;
    struct map places; /* struct place */
    VEC(struct uuid) wanted;
    VEC(struct waiter) waiters;
    size_t n_asked;      /* of wanted, in the open question */
    size_t n_wanted_all; /* ever; waiters count in these */
    bool is_open;
    int64_t pause_until_mono_ms;
};

struct queue *queue_new(struct gateway *gw)
{
    struct queue *q = mem_alloc(sizeof(*q));
    q->gw = gw;
    return q;
}

static void forget_places(struct queue *q)
{
    struct place *p;
    for (size_t i = 0; (p = map_next(&q->places, &i)) != NULL;)
        free(p);
    map_done(&q->places);
    q->places = (struct map){0};
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    forget_places(q);
    vec_done(&q->wanted);
    vec_done(&q->waiters);
    free(q);
}

static const struct place *good_place(const struct queue *q, const struct uuid *id)
{
    const struct place *p = map_get(&q->places, id);
    return p != NULL && clock_mono_ms() < p->good_until_mono_ms ? p : NULL;
}

struct queue_place queue_place(const struct queue *q, const struct uuid *id)
{
    const struct place *p = good_place(q, id);
    return p != NULL ? p->place : (struct queue_place){0};
}

static void set_place(struct queue *q, const struct uuid *id, struct queue_place place)
{
    struct place *p = map_get(&q->places, id);
    if (p == NULL) {
        if (q->places.n >= PLACES_MAX)
            forget_places(q);
        p = mem_alloc(sizeof(*p));
        map_put(&q->places, id, p);
    }
    *p = (struct place){place, clock_mono_ms() + GOOD_MS};
}

static void take_reply(struct queue *q, const Stint__V1__QueueReply *reply)
{
    for (size_t i = 0; i < q->n_asked; i++)
        set_place(q, &q->wanted.v[i], (struct queue_place){0});
    for (size_t i = 0; i < reply->n_place; i++) {
        const Stint__V1__QueueReply__Place *p = reply->place[i];
        struct uuid id;
        if (wire_get_uuid(&p->task_id, &id))
            set_place(
                q, &id, (struct queue_place){p->position, reply->size, p->eta_ms, p->starts_in_ms});
    }
}

static void ask_next(struct queue *q);

/* The open question is over, answered or not. */
static void on_reply(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct queue *q = arg;
    if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_QUEUE_REPLY)
        take_reply(q, reply->queue_reply);
    else
        q->pause_until_mono_ms = clock_mono_ms() + PAUSE_MS;
    q->is_open = false;
    size_t rest = q->wanted.n - q->n_asked;
    memmove(q->wanted.v, q->wanted.v + q->n_asked, rest * sizeof(*q->wanted.v));
    q->wanted.n = rest;
    size_t answered = q->n_wanted_all - rest, n = 0;
    while (n < q->waiters.n && q->waiters.v[n].until <= answered)
        n++;
    /* Those who are called may ask again: take them out first. */
    struct waiter *ready = mem_dup(q->waiters.v, n * sizeof(*ready));
    memmove(q->waiters.v, q->waiters.v + n, (q->waiters.n - n) * sizeof(*ready));
    q->waiters.n -= n;
    for (size_t i = 0; i < n; i++)
        ready[i].done(ready[i].arg);
    free(ready);
    if (!q->is_open)
        ask_next(q);
}

static void ask_next(struct queue *q)
{
    q->n_asked = q->wanted.n < ASK_MAX ? q->wanted.n : ASK_MAX;
    if (q->n_asked == 0)
        return;
    ProtobufCBinaryData *ids = mem_calloc(q->n_asked, sizeof(*ids));
    for (size_t i = 0; i < q->n_asked; i++)
        ids[i] = wire_uuid(&q->wanted.v[i]);
    Stint__V1__QueueQuery query = STINT__V1__QUEUE_QUERY__INIT;
    query.n_task_id = q->n_asked;
    query.task_id = ids;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_QUEUE_QUERY);
    e.queue_query = &query;
    q->is_open = true;
    bus_send(q->gw->bus, &e, TIMEOUT_MS, on_reply, q);
    free(ids);
}

void queue_ask(struct queue *q, const struct uuid *ids, size_t n, loop_fn done, void *arg)
{
    size_t before = q->wanted.n;
    bool may_ask = bus_client_is_up(q->gw->bus) && clock_mono_ms() >= q->pause_until_mono_ms;
    for (size_t i = 0; may_ask && i < n; i++)
        if (good_place(q, &ids[i]) == NULL)
            *vec_push(&q->wanted) = ids[i];
    if (q->wanted.n == before) {
        done(arg);
        return;
    }
    q->n_wanted_all += q->wanted.n - before;
    *vec_push(&q->waiters) = (struct waiter){q->n_wanted_all, done, arg};
    if (!q->is_open)
        ask_next(q);
}
