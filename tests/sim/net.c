/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c - which messages pass between two places, and how long they take.
 *
 * A link has a direction and may be cut until a time.  What goes over TCP (Postgres, Redis) keeps
 * its order within a connection; that is the doors' business, not the network's.
 */
#include "core/base/mem.h"
#include "tests/sim/part.h"

struct net {
    int64_t cut_until_us[NODES][NODES];
};

struct net *net_new(void)
{
    return mem_alloc(sizeof(struct net));
}

void net_free(struct net *n)
{
    free(n);
}

void net_heal(void)
{
    *sim->net = (struct net){0};
}

void net_cut(int from, int to, int64_t until_us)
{
    if (sim->net->cut_until_us[from][to] < until_us)
        sim->net->cut_until_us[from][to] = until_us;
}

bool net_is_open(int from, int to)
{
    return sim->net->cut_until_us[from][to] <= sim->now_us;
}

int64_t net_delay(int from, int to, bool local)
{
    int64_t us = sim_between(40, local ? 80 : 300);
    if (local)
        return us;
    if (!net_is_open(from, to) || sim_happens(FAULT_DROP, 300))
        return -1;
    if (sim_happens(FAULT_REORDER, 20))
        us += sim_between(0, 5 * MS);
    if (sim_happens(FAULT_DELAY, 100))
        us += sim_between(MS, 3 * SECOND);
    return us;
}
