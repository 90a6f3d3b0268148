/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.c - a bus client and the questions that are out. */
#include "tests/sim/gateway.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "tests/sim/part.h"

#define SERVERS    "tcp://scheduler-0,tcp://scheduler-1,tcp://scheduler-2"
#define ASK_MS_MAX 10000

struct gateway {
    struct loop *loop;
    struct bus_client *scheduler;
};

struct question {
    struct proc *gateway;
    uint64_t number;
    gateway_fill_fn fill;
    gateway_reply_fn reply;
    void *arg;
};

static void on_reply(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct question q = *(struct question *)arg;
    free(arg);
    if (code != ERR_CANCELED)
        q.reply(q.arg, q.number, code == ERR_OK ? reply : NULL);
}

static void on_question(void *arg)
{
    struct question *q = arg;
    struct gateway *g = q->gateway->self;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY__NOT_SET);
    Stint__V1__Origin origin = STINT__V1__ORIGIN__INIT;
    q->fill(q->arg, &e);
    e.origin = &origin;
    bus_send(g->scheduler, &e, ASK_MS_MAX, on_reply, q);
}

void gateway_ask(
    struct proc *gateway, uint64_t number, gateway_fill_fn fill, gateway_reply_fn reply, void *arg)
{
    struct question *q = mem_alloc(sizeof(*q));
    *q = (struct question){gateway, number, fill, reply, arg};
    sim_after(sim_between(100, MS), gateway, on_question, free, q);
}

static void birth(struct proc *p)
{
    struct gateway *g = mem_alloc(sizeof(*g));
    struct errctx ctx;
    p->self = g;
    g->loop = loop_new();
    if (bus_connect(g->loop, SERVERS, &g->scheduler, &ctx) != ERR_OK)
        abort();
}

static void death(struct proc *p)
{
    struct gateway *g = p->self;
    bus_client_free(g->scheduler);
    loops_cut(p);
    free(g);
}

void gateway_init(struct proc *p)
{
    p->birth = birth;
    p->death = death;
}
