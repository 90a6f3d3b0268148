/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - a group per workspace in a cgroup v2 hierarchy that we may write.
 *
 * Where there is none (cgroup v1, a container with a read-only /sys/fs/cgroup, no controllers) a
 * struct cgroup is simply off, says why, and the sandbox's limits are rlimits (limit.h).
 */
#ifndef WORKER_PROVISIONER_CGROUP_H
#define WORKER_PROVISIONER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/uuid.h"
#include "worker/provisioner/template.h"

struct cgroup {
    bool on;
    char dir[1024]; /* the directory that holds the workspaces' groups */
    char why[160];  /* when off */
};

/* `root`: where cgroup v2 is mounted, "/sys/fs/cgroup" but in tests.  `own`: our own group below it
 * as /proc/self/cgroup names it ("/system.slice/stint-worker.service"), NULL to look it up. */
void cgroup_init(struct cgroup *c, const char *root, const char *own);

/* The workspace's group with these limits, made anew; *ret_fd is its cgroup.procs, for writing. */
enum err must_check cgroup_make(const struct cgroup *c, const struct uuid *workspace_id,
    const struct template_limits *limits, int *ret_fd, struct errctx *ctx);
/* SIGKILL to all in it; nothing where there is no group. */
void cgroup_kill(const struct cgroup *c, const struct uuid *workspace_id);
/* Remove the empty group. */
void cgroup_remove(const struct cgroup *c, const struct uuid *workspace_id);

#endif
