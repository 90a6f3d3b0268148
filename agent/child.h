/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - processes: starting one in a session of its own, and reaping all.
 *
 * The agent is pid 1 of its sandbox: whatever loses its parent becomes the agent's child, so every
 * SIGCHLD is answered by reaping all that have ended, known or not.  Outside a pid namespace of its
 * own the agent makes itself the subreaper, which comes to the same.
 *
 * Only libuv's signal handling is used, none of its processes: those would wait for single pids and
 * fight with this.
 */
#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

struct children;

/* The process has ended; `wait_status` as waitpid(2) gives it. */
typedef void (*child_exit_fn)(void *arg, int wait_status);

struct children *children_new(struct loop *l);
/* Does not end any. */
void children_free(struct children *c);

/* The process that is running, if any, calls on_exit once; one at a time. */
struct child_spec {
    char *const *argv; /* argv[0] without '/' is looked for in the PATH of `env` */
    char *const *env;
    const char *dir;
    child_exit_fn on_exit;
    void *arg;
};

/* Starts it as leader of a session and process group of its own, stdin from /dev/null, stdout and
 * stderr into one pipe of which *ret_output is the reading end (not blocking), all other files
 * closed, signals as a fresh process has them.  ERR_NOT_FOUND or ERR_FAILED with a sentence. */
enum err must_check children_start(struct children *c, const struct child_spec *spec,
    pid_t *ret_pid, int *ret_output, struct errctx *ctx);

/* Send to the running process's group; nothing if there is none. */
void children_signal(struct children *c, int number);

/* End all: TERM, after the grace time KILL.  As pid 1 that is every process of the sandbox, else
 * the running process's group.  done(arg) follows when they are gone, or a second after KILL at the
 * latest; never from inside this call. */
void children_end(struct children *c, int64_t grace_ms, loop_fn done, void *arg);

#endif
