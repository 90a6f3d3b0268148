/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - worlds by the thousand: each in a child process, so that an assertion that fails or a
 * crash is a finding like any other.
 */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "tests/sim/world.h"

struct outcome {
    bool good;
    struct figures figures;
    char why[512];
};

/* One world, in a child. */
struct outcome run_one(const struct options *o);

struct many {
    struct options options; /* seed: the first */
    uint64_t seeds;
    unsigned jobs;
    bool until_found; /* the first violation ends it all, and is what was looked for */
    uint64_t lives;   /* tasks to live through; 0: as many as the seeds make */
};
struct sum {
    uint64_t worlds, failed, first_failed, lives;
    struct figures figures;
    double seconds; /* by the clock on the wall */
    char why[512];  /* of the first that failed */
};
/* Failing seeds are printed as they come. */
struct sum run_many(const struct many *m);

/* The smallest options that still fail: fewer faults, fewer tasks, a shorter while. */
struct options shrink(const struct options *o);

/* "--seed 1 --faults drop,crash --tasks 3 --seconds 60", borrowed until the next call. */
const char *options_text(const struct options *o);
const char *faults_text(unsigned faults);
const char *variant_name(enum variant v);

#endif
