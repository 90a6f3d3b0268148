/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler.c - a scheduler as scheduler/main.c makes one: bus, feed, ingest, leader.
 *
 * All of it is the code that ships; only its libraries are ours (world.h).
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "scheduler/leader.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"

struct scheduler {
    struct scheduler_conf conf;
    char url[32], policy[8], nothing[1];
    struct loop *loop;
    struct serve *serve;
    struct feed_writer *feed;
    struct ingest *ingest;
    struct leader *leader;
    atomic_bool ready;
    bool is_ending;
};

static void on_said(void *arg, const struct agent_said *events, size_t n)
{
    struct scheduler *s = arg;
    if (s->leader != NULL)
        leader_agents_said(s->leader, events, n);
}

static void configure(struct scheduler *s, const struct proc *p)
{
    snprintf(s->url, sizeof(s->url), "tcp://%s", p->name);
    snprintf(s->policy, sizeof(s->policy), "queue");
    s->conf = (struct scheduler_conf){.cap_policy = s->policy,
        .database_url = s->nothing,
        .redis_url = s->nothing,
        .listen = s->url,
        .attempts_max = 3,
        .audit_retention_ms = 3600000,
        .cap = check_cap(),
        .heartbeat_ms = 1000,
        .leader_silence_ms = 3000,
        .lease_ms = 5000,
        .make_room = 1,
        .make_room_grace_ms = 10000,
        .queue_max = 1000,
        .retry_ms = 1000};
}

static void birth(struct proc *p)
{
    struct scheduler *s = mem_alloc(sizeof(*s));
    struct errctx ctx;
    p->self = s;
    configure(s, p);
    s->loop = loop_new();
    if (serve_new(s->loop, s->conf.listen, &s->serve, &ctx) != ERR_OK)
        abort();
    s->feed = feed_writer_new(s->loop, s->conf.redis_url, 's', NULL, NULL);
    s->ingest = ingest_new(s->loop, &s->conf, on_said, s);
    s->leader = leader_new(s->loop, &s->conf, s->serve, s->feed, s->ingest, &s->ready);
}

static void death(struct proc *p)
{
    struct scheduler *s = p->self;
    struct leader *leader = s->leader;
    s->leader = NULL;
    leader_free(leader);
    ingest_free(s->ingest);
    feed_writer_free(s->feed);
    serve_free(s->serve);
    loops_cut(p);
    free(s);
}

static void on_left(void *arg)
{
    struct proc *p = arg;
    p->doomed = true;
}

static void on_drain(void *arg)
{
    struct proc *p = arg;
    struct scheduler *s = p->self;
    if (s->is_ending)
        p->doomed = true;
    s->is_ending = true;
    leader_end(s->leader, on_left, p);
}

void scheduler_drain(struct proc *p)
{
    if (p->up)
        sim_after(0, p, on_drain, NULL, p);
}

void scheduler_init(struct proc *p)
{
    p->birth = birth;
    p->death = death;
}
