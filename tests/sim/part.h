/* SPDX-License-Identifier: Apache-2.0 */
/* part.h - the parts of a world: each is made with it and ended with it. */
#ifndef TESTS_SIM_PART_H
#define TESTS_SIM_PART_H

#include "tests/sim/world.h"

/* ---- loop.c ---- */
/* Posts and turn hooks of all its loops. */
void loops_turn(struct proc *p);
/* The process is dead: what it has posted is forgotten. */
void loops_cut(struct proc *p);

/* ---- net.c ---- */
struct net *net_new(void);
void net_free(struct net *n);
/* Everything passes again. */
void net_heal(void);
void net_cut(int from, int to, int64_t until_us);
bool net_is_open(int from, int to);
/* How long a message takes now, or -1: it is lost.  `local`: within one machine. */
int64_t net_delay(int from, int to, bool local);

/* ---- bus.c ---- */
void bus_world_begin(void);
void bus_world_end(void);
/* Its connections break: whoever waits for it is told. */
void bus_proc_died(struct proc *p);

/* ---- pg_door.c, pg_rows.c ---- */
struct pg *pg_new(void);
void pg_free(struct pg *pg);
void pg_restart(void);
void pg_end_sessions(void);
void pg_stall(int64_t us);
void pg_slow(int64_t us);
void pg_proc_died(struct proc *p);
int64_t pg_clock_us(void);

/* ---- redis.c ---- */
struct redis *redis_new(void);
void redis_free(struct redis *r);
void redis_forget(void);
void redis_restart(void);
void redis_proc_died(struct proc *p);

/* ---- the processes ---- */
void scheduler_init(struct proc *p);
void scheduler_drain(struct proc *p);
void worker_init(struct proc *p);
void worker_drain(struct proc *p);
void gateway_init(struct proc *p);

/* ---- nemesis.c: what breaks, and when ---- */
void nemesis_begin(void);
/* All that was broken works again from now on. */
void nemesis_end(void);

#endif
