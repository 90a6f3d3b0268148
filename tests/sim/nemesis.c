/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nemesis.c - what breaks from outside, every now and then, as the seed has drawn it.
 *
 * What breaks inside a message, a transaction or an action is where those are (sim_happens).
 */
#include "tests/sim/part.h"
#include "tests/sim/provider.h"

#define ROUND_US (700 * MS)

static struct proc *any_proc(void)
{
    return &sim->fixed[sim_between(0, PROCS_FIXED - 1)];
}

static int any_node(void)
{
    return (int)sim_between(0, NODES - 1);
}

static int64_t some_seconds(void)
{
    int64_t short_us = sim_between(100 * MS, 3 * SECOND);
    return sim->now_us + (sim_between(0, 3) == 0 ? sim_between(3 * SECOND, 25 * SECOND) : short_us);
}

/* ---- the network ---- */

static void cut_both(int a, int b, int64_t until_us)
{
    net_cut(a, b, until_us);
    net_cut(b, a, until_us);
}

static void do_partition(void)
{
    int a = any_node(), b = any_node();
    int64_t until_us = some_seconds();
    bool alone = sim_between(0, 1) == 0;
    sim_trace("partition of %d from %d", a, alone ? -1 : b);
    for (int n = 0; n < NODES; n++)
        if (n != a && (alone || n == b))
            cut_both(a, n, until_us);
}

static void do_oneway(void)
{
    int a = any_node(), b = any_node();
    sim_trace("nothing passes from %d to %d", a, b);
    if (a != b)
        net_cut(a, b, some_seconds());
}

static void do_clog(void)
{
    int a = any_node();
    sim_trace("links of %d clog", a);
    for (int n = 0; n < NODES; n++)
        if (n != a && sim_between(0, 1) == 0)
            cut_both(a, n, sim->now_us + sim_between(100 * MS, 10 * SECOND));
}

/* ---- processes ---- */

static void on_start(void *arg)
{
    proc_start(arg);
}

static void start_later(struct proc *p)
{
    sim_after(sim_between(100 * MS, 8 * SECOND), NULL, on_start, NULL, p);
}

static void do_crash(void)
{
    struct proc *p = any_proc();
    proc_kill(p);
}

static void do_pause(void)
{
    struct proc *p = any_proc();
    if (!p->up)
        return;
    p->stopped_until = sim->now_us + sim_between(50 * MS, 20 * SECOND);
    sim_trace("%s is stopped until %.3f", p->name, (double)p->stopped_until / (double)SECOND);
}

static void do_drain(void)
{
    if (sim_between(0, 2) > 0)
        worker_drain(worker_proc((unsigned)sim_between(0, WORKERS - 1)));
    else
        scheduler_drain(scheduler_proc((unsigned)sim_between(0, SCHEDULERS - 1)));
}

static void do_agent(void)
{
    size_t n = provider_running();
    if (n == 0)
        return;
    struct place *place = provider_running_at((size_t)sim_between(0, (int64_t)n - 1));
    if (sim_between(0, 2) > 0)
        proc_kill(place->agent);
    else
        provider_sandbox_dies(place);
}

/* Whoever is down comes back some time. */
static void revive(void)
{
    for (unsigned i = 0; i < PROCS_FIXED; i++)
        if (!sim->fixed[i].up && sim_between(0, 5) == 0)
            start_later(&sim->fixed[i]);
}

/* ---- Postgres, Redis, clocks ---- */

static void do_disk(void)
{
    if (sim_between(0, 2) == 0)
        pg_stall(sim_between(100 * MS, 6 * SECOND));
    else
        pg_slow(sim_between(SECOND, 15 * SECOND));
}

static void do_redis(void)
{
    if (sim_between(0, 1) == 0)
        redis_forget();
    else
        redis_restart();
}

static void do_clock(void)
{
    int64_t jump_us = sim_between(-3600, 3600) * SECOND;
    sim_trace("a clock jumps by %lld s", (long long)(jump_us / SECOND));
    if (sim_between(0, 2) == 0)
        sim->pg_offset_us = jump_us;
    else
        any_proc()->wall_offset_us = jump_us;
}

static const struct {
    enum fault fault;
    unsigned one_in; /* rounds, at the higher level */
    void (*act)(void);
} acts[] = {
    {FAULT_PARTITION, 20, do_partition   },
    {FAULT_ONEWAY,    20, do_oneway      },
    {FAULT_CLOG,      20, do_clog        },
    {FAULT_CRASH,     15, do_crash       },
    {FAULT_PAUSE,     15, do_pause       },
    {FAULT_DRAIN,     40, do_drain       },
    {FAULT_DISK,      30, do_disk        },
    {FAULT_SESSION,   30, pg_end_sessions},
    {FAULT_POSTGRES,  60, pg_restart     },
    {FAULT_REDIS,     30, do_redis       },
    {FAULT_CLOCK,     30, do_clock       },
    {FAULT_AGENT,     30, do_agent       },
};

static void on_round(void *arg)
{
    (void)arg;
    if (sim->calm)
        return;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        if (sim_happens(acts[i].fault, acts[i].one_in))
            acts[i].act();
    revive();
    sim_after(sim_between(ROUND_US / 2, ROUND_US), NULL, on_round, NULL, NULL);
}

void nemesis_begin(void)
{
    sim_after(ROUND_US, NULL, on_round, NULL, NULL);
}

void nemesis_end(void)
{
    net_heal();
    sim->pg_offset_us = 0;
    for (unsigned i = 0; i < PROCS_FIXED; i++) {
        sim->fixed[i].stopped_until = 0;
        sim->fixed[i].wall_offset_us = 0;
    }
}
