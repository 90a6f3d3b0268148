/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - a worker as worker/worker.c makes one, with the provisioner of provider.h.
 *
 * Slots, hands, polls, results, progress and sessions are the code that ships.  Templates are there
 * after a while, or cannot be had.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/part.h"
#include "tests/sim/provider.h"
#include "worker/hands.h"
#include "worker/poll.h"
#include "worker/results.h"
#include "worker/sessions.h"

#define SLOTS      3
#define MARK_BYTES 24
#define SERVERS    "tcp://scheduler-0,tcp://scheduler-1,tcp://scheduler-2"

struct worker {
    struct proc *proc;
    struct uuid id;
    char host[8];
    struct loop *loop;
    struct bus_client *scheduler;
    struct kv *redis, *redis_watch;
    struct slots slots;
    struct hands hands;
    struct progress *progress;
    struct templates *templates;
    struct results *results;
    struct sessions *sessions;
    struct poll *poll;
};

/* ---- templates ---- */

struct templates {
    struct proc *proc;
    templates_fn on_ready;
    void *arg;
};

struct wanted {
    struct templates *templates;
    struct uuid job_id;
    uint64_t token;
};

struct templates *templates_new(struct loop *l, struct bus_client *scheduler, const char *data_dir,
    templates_fn on_ready, void *arg)
{
    (void)l, (void)scheduler, (void)data_dir;
    struct templates *t = mem_alloc(sizeof(*t));
    *t = (struct templates){sim->at_work, on_ready, arg};
    return t;
}

void templates_free(struct templates *t)
{
    free(t);
}

static void on_template(void *arg)
{
    struct wanted w = *(struct wanted *)arg;
    struct errctx ctx = {.text = "simulated"};
    free(arg);
    enum err code = sim_happens(FAULT_ACTION, 20) ? ERR_UNAVAILABLE : ERR_OK;
    w.templates->on_ready(
        w.templates->arg, &w.job_id, w.token, code, code == ERR_OK ? "/template" : NULL, &ctx);
}

void templates_want(
    struct templates *t, const struct uuid *file_id, const struct uuid *job_id, uint64_t token)
{
    (void)file_id;
    struct wanted *w = mem_alloc(sizeof(*w));
    *w = (struct wanted){t, *job_id, token};
    sim_after(sim_between(MS, 20 * MS), t->proc, on_template, free, w);
}

/* ---- turns ---- */

static void on_turn(void *arg)
{
    struct worker *w = arg;
    progress_flush(w->progress);
    results_flush(w->results);
    poll_refresh(w->poll);
    bool has_drained = w->hands.draining && slots_busy(&w->slots) == 0 &&
                       slots_named(&w->slots) == 0 &&
                       (poll_has_told_drain(w->poll) || poll_is_away(w->poll));
    if (has_drained)
        w->proc->doomed = true;
}

static void on_watermark(void *arg, const char *channel, const char *data, size_t len)
{
    struct worker *w = arg;
    (void)channel;
    for (; len >= MARK_BYTES; data += MARK_BYTES, len -= MARK_BYTES) {
        struct uuid id;
        uint64_t number = 0;
        memcpy(id.b, data, sizeof(id.b));
        for (size_t i = sizeof(id.b); i < MARK_BYTES; i++)
            number = number << 8 | (uint8_t)data[i];
        sessions_committed(w->sessions, &id, number);
        progress_committed(w->progress, &id, number);
    }
}

static void on_redis(void *arg, bool up)
{
    struct worker *w = arg;
    if (up)
        progress_again(w->progress);
}

static void on_first(void *arg)
{
    (void)arg;
}

/* ---- life ---- */

static void open_outside(struct worker *w)
{
    struct errctx ctx;
    w->loop = loop_new();
    if (bus_connect(w->loop, SERVERS, &w->scheduler, &ctx) != ERR_OK)
        abort();
    w->redis = kv_new(w->loop, "", on_redis, w);
    w->redis_watch = kv_new(w->loop, "", NULL, NULL);
    if (sessions_new(w->loop, w->scheduler, w->redis, "", &w->id, &w->sessions, &ctx) != ERR_OK)
        abort();
}

static void birth(struct proc *p)
{
    struct worker *w = mem_alloc(sizeof(*w));
    p->self = w;
    w->proc = p;
    w->id = uuid_random();
    snprintf(w->host, sizeof(w->host), "host-%d", p->host);
    slots_init(&w->slots, SLOTS);
    provider_offer(&w->hands.provisioner[0], p);
    w->hands.n_provisioners = 1;
    open_outside(w);
    w->hands.loop = w->loop;
    w->hands.slots = &w->slots;
    w->progress = w->hands.progress = progress_new(w->loop, w->redis, &w->slots);
    w->templates = w->hands.templates =
        templates_new(w->loop, w->scheduler, "", hands_template_ready, &w->hands);
    w->results = results_new(w->loop, w->scheduler, &w->slots, &w->id, w->host);
    const struct poll_identity identity = {w->id, p->name, w->host, ""};
    w->poll = poll_new(w->loop, w->scheduler, &identity, &w->hands, w->sessions, on_first, w);
    kv_subscribe(w->redis_watch, "stint:watermark", on_watermark, w);
    loop_on_turn(w->loop, on_turn, w);
    on_turn(w);
}

static void death(struct proc *p)
{
    struct worker *w = p->self;
    loop_on_turn(w->loop, NULL, NULL);
    poll_free(w->poll);
    templates_free(w->templates);
    bus_client_free(w->scheduler);
    results_free(w->results); /* after the client, whose last answers come to it */
    kv_free(w->redis_watch);
    kv_free(w->redis);
    sessions_free(w->sessions);
    progress_free(w->progress);
    loops_cut(p);
    slots_done(&w->slots);
    free(w);
}

static void on_drain(void *arg)
{
    struct worker *w = arg;
    hands_drain(&w->hands);
    sessions_drain(w->sessions);
}

void worker_drain(struct proc *p)
{
    if (p->up)
        sim_after(0, p, on_drain, NULL, p->self);
}

void worker_init(struct proc *p)
{
    p->birth = birth;
    p->death = death;
}
