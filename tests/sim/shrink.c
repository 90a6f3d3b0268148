/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shrink.c - a failing run made smaller, as long as it fails: first the faults one by one, then the
 * tasks, then the while, round after round until nothing helps any more.
 *
 * A smaller world is another history of the same seed, so each try is a try.
 */
#include <stdio.h>

#include "tests/sim/run.h"

static bool fails(const struct options *o)
{
    return !run_one(o).good;
}

static bool drop_faults(struct options *o)
{
    bool any = false;
    for (int f = 0; f < FAULT_COUNT; f++) {
        struct options less = *o;
        less.faults &= ~(1u << f);
        if (less.faults == o->faults || !fails(&less))
            continue;
        *o = less;
        any = true;
    }
    return any;
}

static bool drop_tasks(struct options *o)
{
    struct options less = *o;
    unsigned tries[] = {1, 2, 3, o->tasks / 2, o->tasks - 1};
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        less.tasks = tries[i];
        if (less.tasks == 0 || less.tasks >= o->tasks || !fails(&less))
            continue;
        *o = less;
        return true;
    }
    return false;
}

static bool drop_time(struct options *o)
{
    struct options less = *o;
    int64_t tries[] = {10, 20, o->chaos_s / 2, o->chaos_s * 3 / 4};
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        less.chaos_s = tries[i];
        if (less.chaos_s < 5 || less.chaos_s >= o->chaos_s || !fails(&less))
            continue;
        *o = less;
        return true;
    }
    return false;
}

struct options shrink(const struct options *o)
{
    struct options small = *o;
    bool any = true;
    while (any) {
        any = drop_faults(&small);
        any = drop_tasks(&small) || any;
        any = drop_time(&small) || any;
    }
    return small;
}
