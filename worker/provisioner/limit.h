/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.h - a sandbox's limits where there is no cgroup: rlimits and CPU affinity.
 *
 * They are coarser: memory is counted per process (RLIMIT_DATA), the number of processes per user
 * (good where each workspace has its own), and CPUs are whole ones.
 */
#ifndef WORKER_PROVISIONER_LIMIT_H
#define WORKER_PROVISIONER_LIMIT_H

#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "worker/provisioner/template.h"

struct limit_plan {
    struct {
        int resource;
        rlim_t value;
    } row[8];
    unsigned n;
    bool pin;
    cpu_set_t cpus;
};

/*
 * What to set in the sandbox's first process.  With `cgroup` memory, pids and cpus are left to it.
 * `own_user`: the user has no other processes.  `spread`: any number; workspaces with different
 * ones get different CPUs.
 */
void limit_plan(struct limit_plan *p, const struct template_limits *l, bool cgroup, bool own_user,
    unsigned spread);

/* In a forked child: nothing but system calls.  False with errno. */
bool limit_apply(const struct limit_plan *p);

#endif
