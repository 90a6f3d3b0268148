/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.h - what jobs act on: hosts with workspaces, and the agents in them.
 *
 * It behaves as worker/provisioner/local.c does: one action at a time in a workspace, a fence that
 * keeps the newest lease that has acted there, a mark that outlives a deleted one.  What is on a
 * workspace's disk outlives its agents: which builds have had their prompt, which messages the app
 * has heard, what the agent has reported and which of it is known to be in Postgres.
 */
#ifndef TESTS_SIM_PROVIDER_H
#define TESTS_SIM_PROVIDER_H

#include "core/base/list.h"
#include "core/base/map.h"
#include "tests/sim/world.h"

/* One statement; NULL: it is about the life cycle. */
struct said {
    const char *state; /* a literal */
    const char *lifecycle;
};

/* An agent's own files. */
struct record {
    struct uuid agent_id;
    char token[UUID_STR_LEN + 1];
    struct place *place;
    VEC(struct said) said; /* report 1 is the first */
    uint64_t committed;
    bool dead;   /* its sandbox died by itself */
    bool closed; /* its sandbox was stopped */
    bool revoked;
};

struct place {
    struct uuid workspace_id, task_id;
    int host;
    bool gone; /* deleted */
    /* fence.json */
    bool is_fenced, ends;
    unsigned build_number, series;
    uint64_t token;
    struct uuid job_id;
    /* the sandbox */
    bool running;
    struct uuid build_id;
    struct proc *agent;
    struct record *record;
    /* the disk */
    VEC(struct uuid) prompted; /* builds */
    VEC(struct uuid) heard;    /* messages */
    int64_t last_heard_seq;
};

struct provisioner;

struct provider *provider_new(void);
void provider_free(struct provider *p);
/* The provisioner as a worker of this host has it. */
void provider_offer(struct provisioner *ret, struct proc *worker);
/* How long until an action takes effect. */
int64_t provider_takes_us(void);
/* A worker or an agent has died. */
void provider_proc_died(struct proc *p);

struct place *provider_place(const struct uuid *workspace_id); /* NULL: none */
struct record *provider_record(const struct uuid *agent_id);   /* NULL: none */
size_t provider_running(void);
/* For the nemesis: the i-th of the sandboxes that run. */
struct place *provider_running_at(size_t i);
/* A sandbox dies by itself. */
void provider_sandbox_dies(struct place *place);

/* ---- agent.c ---- */
void agent_init(struct proc *p, struct record *record);

#endif
