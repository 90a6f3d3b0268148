/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - worked out in the worker, applied in the child. */
#include "worker/provisioner/limit.h"

#include <string.h>

#define FILES_MAX 65536

static void add(struct limit_plan *p, int resource, int64_t value)
{
    p->row[p->n].resource = resource;
    p->row[p->n++].value = (rlim_t)value;
}

/* `want` of the CPUs we may use, from number `spread` on, round and round. */
static void choose_cpus(struct limit_plan *p, int want, unsigned spread)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) <= want)
        return;
    int n = CPU_COUNT(&allowed), first = (int)(spread % (unsigned)n);
    CPU_ZERO(&p->cpus);
    for (size_t cpu = 0, at = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        if (((int)at - first + n) % n < want)
            CPU_SET(cpu, &p->cpus);
        at++;
    }
    p->pin = true;
}

void limit_plan(struct limit_plan *p, const struct template_limits *l, bool cgroup, bool own_user,
    unsigned spread)
{
    memset(p, 0, sizeof(*p));
    add(p, RLIMIT_CORE, 0);
    add(p, RLIMIT_NOFILE, FILES_MAX);
    if (l->file_size_bytes > 0)
        add(p, RLIMIT_FSIZE, l->file_size_bytes);
    if (cgroup)
        return;
    if (l->memory_bytes > 0)
        add(p, RLIMIT_DATA, l->memory_bytes);
    if (l->pids > 0 && own_user)
        add(p, RLIMIT_NPROC, l->pids + 2);
    if (l->cpu_milli > 0)
        choose_cpus(p, (int)((l->cpu_milli + 999) / 1000), spread);
}

bool limit_apply(const struct limit_plan *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        struct rlimit now;
        if (getrlimit((__rlimit_resource_t)p->row[i].resource, &now) != 0)
            return false;
        /* Never more than we have ourselves. */
        rlim_t value = p->row[i].value < now.rlim_max ? p->row[i].value : now.rlim_max;
        struct rlimit then = {.rlim_cur = value, .rlim_max = value};
        if (setrlimit((__rlimit_resource_t)p->row[i].resource, &then) != 0)
            return false;
    }
    return !p->pin || sched_setaffinity(0, sizeof(p->cpus), &p->cpus) == 0;
}
