/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - processes that outlive us: named by pid and start time, held by pidfd.
 *
 * A pid alone means nothing after a restart; with the start time and the boot it names one process
 * for ever.
 */
#ifndef WORKER_PROVISIONER_PROCESS_H
#define WORKER_PROVISIONER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/uuid.h"
#include "worker/provisioner/provisioner.h"

struct process {
    pid_t pid;           /* 0: none */
    uint64_t start_time; /* in ticks since boot, as /proc/<pid>/stat has it */
};

/* The process that has this pid now; false when none has, or only a dead one that nobody reaped. */
bool process_look_up(pid_t pid, struct process *ret_process);
/* The same process, still alive? */
bool process_is_alive(const struct process *p);
/* SIGKILL, to that process and no other of its number. */
void process_kill(const struct process *p);
/* A pidfd of it, -1 when it is gone. */
int process_open(const struct process *p);

/* This boot of the machine. */
bool process_boot_id(struct uuid *ret_boot);

/*
 * The supervisor of a sandbox: a process of our own pid namespace whose first argument is `title`,
 * and the first process of the sandbox (its only child).  Either is 0 when not there.  Costs a scan
 * of /proc: only for sandboxes whose pid was not recorded because their worker died just then.
 */
void process_find_by_title(
    const char *title, struct process *ret_supervisor, struct process *ret_init);

/*
 * Kill a half-started sandbox, whoever of it is left: the supervisor, the sandbox's first process,
 * and one that lost its supervisor before it became the agent and would wait for it for ever. False
 * when one is still there after wait_ms.
 */
bool process_end_by_title(const char *title, int64_t wait_ms);

#endif
