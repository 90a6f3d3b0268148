/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_log.h - what scripts and apps print, as numbered lines for who looks after the workspace.
 *
 *   pipe --> raw bytes --> lines (cut, cleaned) --> reports
 *
 * A line has at most AGENT_LOG_LINE_MAX bytes; a longer one becomes several.  Of a line that a
 * progress bar has written over, the last form counts; empty lines are left out.
 *
 * An agent keeps AGENT_LOG_BYTES_MAX of them, then says so in one last line and only reads on: no
 * program ever waits for its log.  For the same reason what a full disk or a full store does not
 * take is left out, and counted in a line of its own as soon as one can be kept again.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_AGENT_LOG_H
#define AGENT_AGENT_LOG_H

#include "agent/status.h"
#include "core/base/err.h"
#include "core/loop/loop.h"

#define AGENT_LOG_LINE_MAX  1024
#define AGENT_LOG_BYTES_MAX (1024 * 1024)
/* What a line costs beside its text. */
#define AGENT_LOG_LINE_COST 32
#define AGENT_LOG_COPY_MAX  (16 * 1024 * 1024)

struct agent_log;
struct log_pipe;

struct agent_log *agent_log_new(struct loop *l, struct status *status);
/* Pipes that are still open are closed. */
void agent_log_free(struct agent_log *a);

/* A line of the agent's own about a script or app. */
void agent_log_say(struct agent_log *a, const char *source, const char *level, const char *fmt, ...)
    printf_like(4, 5);

/* Lines come from the pipe's reading end until its last writer is gone.  `source` is borrowed.
 * `copy_path` (NULL: none) gets the bytes as they are, behind what it has, up to AGENT_LOG_COPY_MAX
 * of one process. */
struct log_pipe *agent_log_read(
    struct agent_log *a, const char *source, int take_fd, const char *copy_path);
/* The process that it was made for has ended: what it has left in the pipe is taken.  The pipe is
 * not the caller's any more: others may still hold its other end. */
void log_pipe_settle(struct log_pipe *take_pipe);

#endif
