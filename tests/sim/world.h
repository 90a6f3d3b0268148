/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - one simulated cluster: virtual time, one source of chance, processes that live and die.
 *
 * The daemons' own code runs here: scheduler_edge, scheduler_core, feed and ingest as they ship,
 * the worker's hands, slots, polls, results and sessions, the agent's inbox.  What is replaced is
 * what stands behind the doors of core/: loop.h (loop.c), bus.h (bus.c), db.h (pg_door.c), kv.h
 * (redis.c), clock.h and rng.h (door.c).  The linker takes ours before it looks into an archive.
 *
 *   events, ordered by (time, number of order) ──> one runs ──> its process' loops have a turn
 *        ^                                                              │
 *        '──── timers, messages, answers, crashes, people ──────────────'
 *
 * Everything that happens hangs on the seed: no threads, no real clock, no addresses in decisions.
 * The same options give the same history, whose digest is printed.
 *
 * One world at a time per process; `sim` is it.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/uuid.h"
#include "core/base/vec.h"

#define MS          INT64_C(1000) /* virtual time is in microseconds */
#define SECOND      (1000 * MS)
#define EPOCH_US    INT64_C(1796000000000000) /* wall time at virtual zero */
#define SCHEDULERS  3
#define WORKERS     3
#define GATEWAYS    2
#define PROCS_FIXED (SCHEDULERS + WORKERS + GATEWAYS)

enum fault {
#define FAULT(symbol, name, text) FAULT_##symbol,
#include "tests/sim/fault.def"
    FAULT_COUNT
};
#define FAULTS_ALL ((1u << FAULT_COUNT) - 1)

enum variant {
#define VARIANT(symbol, name, seeds, faults, text) VARIANT_##symbol,
#include "tests/sim/variant.def"
    VARIANT_COUNT
};

struct options {
    uint64_t seed;
    unsigned faults; /* 1u << enum fault */
    unsigned tasks;
    int64_t chaos_s; /* how long faults happen */
    enum variant variant;
    bool trace;
};

/* ---- chance ---- */

struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d); /* 64 bits */
/* 0 .. n-1 */
uint64_t dice_below(struct dice *d, uint64_t n);
/* from .. to */
int64_t dice_between(struct dice *d, int64_t from, int64_t to);

/* ---- processes ---- */

enum proc_kind { PROC_SCHEDULER, PROC_WORKER, PROC_GATEWAY, PROC_AGENT };
/* Places in the network. */
enum { NODE_POSTGRES, NODE_REDIS, NODE_FIRST_PROC, NODES = NODE_FIRST_PROC + PROCS_FIXED };

struct loop;
struct proc {
    char name[16];
    enum proc_kind kind;
    unsigned index; /* of its kind */
    int node;       /* agents: that of their host's first worker */
    int host;       /* whose storage it sees */
    bool up;
    bool doomed;           /* it has died within the event at hand; what it says now nobody hears */
    unsigned life;         /* what was for an earlier one is dropped */
    int64_t stopped_until; /* SIGSTOP */
    int64_t wall_offset_us;
    VEC(struct loop *) loops;
    void *self;
    void (*birth)(struct proc *p);
    void (*death)(struct proc *p); /* frees; nothing it says is heard */
};

typedef void (*sim_fn)(void *arg);

/* What a run has come to. */
struct figures {
    uint64_t events, commits, crashes, jobs, reports, prompts, messages, builds, elections, deaths;
    uint64_t digest;
    int64_t virtual_us;
};

struct event;
struct net;
struct pg;
struct redis;
struct provider;
struct people;
struct checks;

struct world {
    struct options options;
    struct dice dice;
    int64_t now_us;
    bool calm; /* faults are over */
    bool over;
    VEC(struct event) heap;
    uint64_t next_number;
    struct proc *at_work; /* whose event it is; NULL: the world's own */
    struct proc fixed[PROCS_FIXED];
    VEC(struct proc *) agents;
    unsigned level[FAULT_COUNT]; /* of this seed: 0 never, 1 seldom, 2 often */
    int64_t pg_offset_us;
    struct net *net;
    struct pg *pg;
    struct redis *redis;
    struct provider *provider;
    struct people *people;
    struct checks *checks;
    struct figures figures;
    char violation[512]; /* "" so far */
};

extern struct world *sim;

/* Run one world from birth to end; false: something was violated, see world->violation. */
bool world_run(const struct options *o, struct figures *ret_figures, char *ret_why, size_t size);

/* fn(arg) after a while, in this process (NULL: the world itself).  Should the process be dead by
 * then, or another life, it is drop(arg) (or nothing).  A stopped process has it later. */
void sim_after(int64_t after_us, struct proc *p, sim_fn fn, sim_fn drop, void *arg);

/* Does it happen now?  Never in calm times, nor when this seed leaves the fault out. */
bool sim_happens(enum fault fault, unsigned one_in);
int64_t sim_between(int64_t from, int64_t to);
bool sim_is_variant(enum variant v);

/* A rule is broken.  The first one counts. */
void sim_violation(int rule, const char *fmt, ...) printf_like(2, 3);
void sim_trace(const char *fmt, ...) printf_like(1, 2);
void sim_digest(uint64_t what);

/* ---- processes ---- */

bool proc_is_heard(const struct proc *p);
void proc_start(struct proc *p);
void proc_kill(struct proc *p);
/* It may die right here: at everything it sends. */
void proc_may_die(struct proc *p);
/* Ends the lives of those that have died within an event. */
void proc_bury(struct proc *p);
struct proc *scheduler_proc(unsigned i);
struct proc *worker_proc(unsigned i);
struct proc *gateway_proc(unsigned i);

#endif
