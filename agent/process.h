/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - one run of a command that has an end: a script, or the asking for a value.
 *
 * Its output goes to the log, or, when `capture` is given, into that and nowhere else.  When its
 * time is over it gets TERM, and KILL a while later if it does not care.  What it leaves running in
 * the background after it has ended by itself is let be.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include <stdbool.h>

#include "agent/agent_log.h"
#include "agent/child.h"
#include "core/base/strbuf.h"

/* From TERM to KILL. */
#define PROCESS_KILL_MS 2000

struct process;

/* It has ended, all that it had printed by then is taken.  The process is freed after it. */
typedef void (*process_done_fn)(void *arg, int wait_status, bool has_timed_out);

struct process_spec {
    struct loop *loop;
    struct children *children;
    struct agent_log *log;
    const char *name; /* of its lines in the log; borrowed */
    char *const *argv, *const *env;
    const char *dir;
    const char *log_path;   /* NULL: none; what it prints goes to that file, too */
    int64_t timeout_ms;     /* 0: none */
    struct strbuf *capture; /* NULL: to the log */
    size_t capture_max;     /* what comes after is read and left out */
    process_done_fn done;
    void *arg;
};

/* ERR_NOT_FOUND or ERR_FAILED with a sentence: it does not run, and done() is not called. */
enum err must_check process_start(
    const struct process_spec *spec, struct process **ret_process, struct errctx *ctx);

/* Its time is over now. */
void process_time_out(struct process *p);
/* Let it run, without done(); what it prints still goes to the log.  NULL is none. */
void process_forget(struct process *take_process);

#endif
