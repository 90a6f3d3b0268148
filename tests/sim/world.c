/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.c - the heap of events and the lives of processes.
 *
 *   chaos_s of faults ──> calm: all processes up, everything passes ──> settled, or LIVENESS_S over
 *
 * A seed first draws how often each fault happens, never for some: worlds in which everything
 * breaks at once hide what only one thing breaking would show.
 */
#include "tests/sim/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "tests/sim/people.h"
#include "tests/sim/provider.h"

#define LIVENESS_S 3600
#define LOOK_US    SECOND

struct event {
    int64_t at_us;
    uint64_t number;
    sim_fn fn, drop;
    void *arg;
    struct proc *proc;
    unsigned life;
};

struct world *sim;

/* ---- chance ---- */

/* splitmix64 */
uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t dice_below(struct dice *d, uint64_t n)
{
    return dice_roll(d) % n;
}

int64_t dice_between(struct dice *d, int64_t from, int64_t to)
{
    return from + (int64_t)dice_below(d, (uint64_t)(to - from) + 1);
}

int64_t sim_between(int64_t from, int64_t to)
{
    return dice_between(&sim->dice, from, to);
}

bool sim_happens(enum fault fault, unsigned one_in)
{
    unsigned level = sim->calm ? 0 : sim->level[fault];
    return level > 0 && dice_below(&sim->dice, level > 1 ? one_in : one_in * 8) == 0;
}

bool sim_is_variant(enum variant v)
{
    return sim->options.variant == v;
}

static void draw_levels(void)
{
    for (int f = 0; f < FAULT_COUNT; f++) {
        unsigned level = (unsigned)dice_below(&sim->dice, 4);
        level = level == 3 ? 1 : level;
        sim->level[f] = (sim->options.faults & 1u << f) != 0 ? level : 0;
    }
}

/* ---- what is told ---- */

void sim_digest(uint64_t what)
{
    sim->figures.digest = (sim->figures.digest ^ what) * UINT64_C(0x100000001b3);
}

void sim_violation(int rule, const char *fmt, ...)
{
    if (sim->violation[0] != '\0')
        return;
    int n = snprintf(sim->violation, sizeof(sim->violation), "rule %d at %.3f s: ", rule,
        (double)sim->now_us / (double)SECOND);
    va_list args;
    va_start(args, fmt);
    vsnprintf(sim->violation + n, sizeof(sim->violation) - (size_t)n, fmt, args);
    va_end(args);
    sim_trace("VIOLATION %s", sim->violation);
    sim->over = true;
}

void sim_trace(const char *fmt, ...)
{
    if (!sim->options.trace)
        return;
    fprintf(stderr, "%12.6f %-11s ", (double)sim->now_us / (double)SECOND,
        sim->at_work != NULL ? sim->at_work->name : "-");
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void push(struct event e)
{
    (void)vec_push(&sim->heap);
    size_t at = sim->heap.n - 1;
    for (; at > 0 && is_before(&e, &sim->heap.v[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap.v[at] = sim->heap.v[(at - 1) / 2];
    sim->heap.v[at] = e;
}

static struct event pop(void)
{
    struct event top = sim->heap.v[0], last = sim->heap.v[--sim->heap.n];
    size_t n = sim->heap.n, at = 0;
    for (size_t child; (child = at * 2 + 1) < n; at = child) {
        if (child + 1 < n && is_before(&sim->heap.v[child + 1], &sim->heap.v[child]))
            child++;
        if (!is_before(&sim->heap.v[child], &last))
            break;
        sim->heap.v[at] = sim->heap.v[child];
    }
    if (n > 0)
        sim->heap.v[at] = last;
    return top;
}

void sim_after(int64_t after_us, struct proc *p, sim_fn fn, sim_fn drop, void *arg)
{
    assert(after_us >= 0);
    push((struct event){
        sim->now_us + after_us, ++sim->next_number, fn, drop, arg, p, p != NULL ? p->life : 0});
}

static void let_go(const struct event *e)
{
    if (e->drop != NULL)
        e->drop(e->arg);
}

static void run_in(struct proc *p, const struct event *e)
{
    sim->at_work = p;
    e->fn(e->arg);
    loops_turn(p);
    sim->at_work = NULL;
    if (p->doomed)
        proc_kill(p);
}

static void step(void)
{
    struct event e = pop();
    struct proc *p = e.proc;
    sim->now_us = e.at_us;
    if (p == NULL) {
        e.fn(e.arg);
    } else if (!p->up || p->life != e.life) {
        let_go(&e);
        return;
    } else if (p->stopped_until > sim->now_us) {
        e.at_us = p->stopped_until;
        push(e);
        return;
    } else {
        run_in(p, &e);
    }
    sim->figures.events++;
    sim_digest((uint64_t)e.at_us ^ (uint64_t)(p != NULL ? p->node + 1 : 0) << 56);
}

/* ---- processes ---- */

struct proc *scheduler_proc(unsigned i)
{
    return &sim->fixed[i];
}

struct proc *worker_proc(unsigned i)
{
    return &sim->fixed[SCHEDULERS + i];
}

struct proc *gateway_proc(unsigned i)
{
    return &sim->fixed[SCHEDULERS + WORKERS + i];
}

bool proc_is_heard(const struct proc *p)
{
    return p->up && !p->doomed;
}

void proc_start(struct proc *p)
{
    if (p->up)
        return;
    sim_trace("%s starts", p->name);
    p->up = true;
    p->doomed = false;
    p->stopped_until = 0;
    p->life++;
    struct proc *before = sim->at_work;
    sim->at_work = p;
    p->birth(p);
    sim->at_work = before;
}

void proc_kill(struct proc *p)
{
    if (!p->up)
        return;
    sim_trace("%s dies", p->name);
    sim->figures.crashes++;
    p->doomed = true;
    struct proc *before = sim->at_work;
    sim->at_work = p;
    bus_proc_died(p);
    pg_proc_died(p);
    redis_proc_died(p);
    provider_proc_died(p);
    p->death(p);
    loops_cut(p);
    sim->at_work = before;
    p->up = false;
    p->life++;
}

void proc_may_die(struct proc *p)
{
    if (p->kind == PROC_AGENT || p->doomed || !p->up || !sim_happens(FAULT_AWAIT, 400))
        return;
    sim_trace("%s dies here", p->name);
    p->doomed = true;
}

static void name_proc(struct proc *p, enum proc_kind kind, unsigned index, const char *name)
{
    p->kind = kind;
    p->index = index;
    p->node = NODE_FIRST_PROC + (int)(p - sim->fixed);
    p->host = kind == PROC_WORKER ? (int)(index / 2) : -1;
    snprintf(p->name, sizeof(p->name), "%s-%u", name, index);
}

static void make_procs(void)
{
    for (unsigned i = 0; i < SCHEDULERS; i++)
        name_proc(scheduler_proc(i), PROC_SCHEDULER, i, "scheduler");
    for (unsigned i = 0; i < WORKERS; i++)
        name_proc(worker_proc(i), PROC_WORKER, i, "worker");
    for (unsigned i = 0; i < GATEWAYS; i++)
        name_proc(gateway_proc(i), PROC_GATEWAY, i, "gateway");
    for (unsigned i = 0; i < SCHEDULERS; i++)
        scheduler_init(scheduler_proc(i));
    for (unsigned i = 0; i < WORKERS; i++)
        worker_init(worker_proc(i));
    for (unsigned i = 0; i < GATEWAYS; i++)
        gateway_init(gateway_proc(i));
    for (unsigned i = 0; i < PROCS_FIXED; i++)
        proc_start(&sim->fixed[i]);
}

/* ---- the course of a world ---- */

static void look(void *arg)
{
    int64_t *settled_since_us = arg;
    for (unsigned i = 0; sim->calm && i < PROCS_FIXED; i++)
        proc_start(&sim->fixed[i]); /* one that was told to end */
    bool settled = sim->calm && check_is_settled();
    if (!settled)
        *settled_since_us = 0;
    else if (*settled_since_us == 0)
        *settled_since_us = sim->now_us;
    else if (sim->now_us - *settled_since_us >= 3 * SECOND)
        sim->over = true;
    if (sim->now_us > (sim->options.chaos_s + LIVENESS_S) * SECOND) {
        sim_violation(
            0, "not settled %d s after the last fault: %s", LIVENESS_S, check_unsettled());
        return;
    }
    sim_after(LOOK_US, NULL, look, NULL, arg);
}

static void on_calm(void *arg)
{
    (void)arg;
    sim_trace("calm");
    sim->calm = true;
    nemesis_end();
    for (unsigned i = 0; i < PROCS_FIXED; i++)
        proc_start(&sim->fixed[i]);
}

static void begin(const struct options *o)
{
    sim->options = *o;
    sim->dice.state = o->seed * UINT64_C(0xd1342543de82ef95) + 0x5eed;
    sim->now_us = 1000 * SECOND;
    sim->options.chaos_s += 1000;
    draw_levels();
    sim->checks = checks_new();
    sim->net = net_new();
    bus_world_begin();
    sim->pg = pg_new();
    sim->redis = redis_new();
    sim->provider = provider_new();
    make_procs();
    sim->people = people_new();
    nemesis_begin();
}

static void end(void)
{
    for (unsigned i = 0; i < PROCS_FIXED; i++)
        proc_kill(&sim->fixed[i]);
    people_free(sim->people);
    provider_free(sim->provider);
    for (size_t i = 0; i < sim->heap.n; i++)
        let_go(&sim->heap.v[i]);
    for (size_t i = 0; i < sim->agents.n; i++)
        free(sim->agents.v[i]);
    vec_done(&sim->agents);
    bus_world_end();
    redis_free(sim->redis);
    pg_free(sim->pg);
    net_free(sim->net);
    checks_free(sim->checks);
    for (unsigned i = 0; i < PROCS_FIXED; i++)
        vec_done(&sim->fixed[i].loops);
    vec_done(&sim->heap);
}

bool world_run(const struct options *o, struct figures *ret_figures, char *ret_why, size_t size)
{
    struct world *w = mem_alloc(sizeof(*w));
    int64_t settled_since_us = 0;
    sim = w;
    begin(o);
    int64_t began_us = w->now_us;
    sim_after(LOOK_US, NULL, look, NULL, &settled_since_us);
    sim_after(w->options.chaos_s * SECOND - began_us, NULL, on_calm, NULL, NULL);
    while (!w->over)
        step();
    w->figures.virtual_us = w->now_us - began_us;
    if (w->violation[0] == '\0')
        check_at_the_end();
    bool good = w->violation[0] == '\0';
    *ret_figures = w->figures;
    snprintf(ret_why, size, "%s", w->violation);
    w->calm = true;
    end();
    free(w);
    sim = NULL;
    return good;
}
