/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - processes: starting them, each in a session of its own, and reaping all.
 *
 * The agent is pid 1 of its sandbox: whatever loses its parent becomes the agent's child, so every
 * SIGCHLD is answered by reaping all that have ended, known or not.  Outside a pid namespace of its
 * own the agent makes itself the subreaper, which comes to the same.
 *
 *            children_start              it ends
 *   (none) -----------------> RUNNING ------------> on_exit(), freed
 *                                |                     ^
 *                                | child_end: TERM     |
 *                                v                     |
 *                             ENDING ------------------+   after the grace time KILL
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
struct child;

/* The process has ended; `wait_status` as waitpid(2) gives it.  The child is freed after it. */
typedef void (*child_exit_fn)(void *arg, int wait_status);

struct children *children_new(struct loop *l);
/* Does not end any, and on_exit() of those that run is not called any more. */
void children_free(struct children *c);

struct child_spec {
    char *const *argv; /* argv[0] without '/' is looked for in the PATH of `env` */
    char *const *env;
    const char *dir;
    child_exit_fn on_exit; /* once, from the loop */
    void *arg;
};

/* Starts it as leader of a session and process group of its own, stdin from /dev/null, stdout and
 * stderr into one pipe of which *ret_output is the reading end (not blocking), all other files
 * closed, signals as a fresh process has them.  ERR_NOT_FOUND or ERR_FAILED with a sentence. */
enum err must_check children_start(struct children *c, const struct child_spec *spec,
    struct child **ret_child, int *ret_output, struct errctx *ctx);

pid_t child_pid(const struct child *k);

/* TERM to its process group, KILL after the grace time; and KILL to what is left of the group when
 * it has ended.  Its on_exit() follows. */
void child_end(struct child *k, int64_t grace_ms);

/* It goes on, and is ended with all the others, but its on_exit() is not called any more. */
void child_forget(struct child *k);

/* Send to the groups of all that run. */
void children_signal(struct children *c, int number);

/* End all: TERM, after the grace time KILL.  As pid 1 that is every process of the sandbox, else
 * the groups of all that run.  done(arg) follows when they are gone, or a second after KILL at the
 * latest; never from inside this call. */
void children_end(struct children *c, int64_t grace_ms, loop_fn done, void *arg);

/* "exit status 3", "SIGKILL": how a process has ended, for people. */
#define CHILD_END_TEXT_MAX 32
void child_end_text(int wait_status, char ret_text[static CHILD_END_TEXT_MAX]);
bool child_has_succeeded(int wait_status);

#endif
