/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pty.h - one command on a pseudo-terminal of its own.
 *
 * It runs in a session of its own with the terminal as its controlling one, inherits the
 * environment, and sees TERM=xterm-256color.  All calls on the loop's thread; on_exit comes once,
 * after the last output.
 */
#ifndef AGENT_AGENTAPI_PTY_H
#define AGENT_AGENTAPI_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

/* What may wait for a program that does not read its terminal. */
#define PTY_INPUT_MAX (8 * 1024 * 1024)

struct pty;

struct pty_spec {
    char *const *argv; /* ends with NULL */
    int rows, cols;
    void (*on_output)(void *arg, const char *data, size_t n);
    void (*on_exit)(void *arg, int wait_status);
    void *arg;
};

/* ERR_NOT_FOUND when there is no such program. */
enum err must_check pty_start(
    struct loop *l, const struct pty_spec *spec, struct pty **ret_pty, struct errctx *ctx);
/* After on_exit, or to give up: kills what is left. */
void pty_free(struct pty *p);

/* Type; kept until the program reads.  ERR_FULL beyond PTY_INPUT_MAX, ERR_UNAVAILABLE after its
 * end. */
enum err must_check pty_write(struct pty *p, const char *data, size_t n);
/* Has the terminal taken all that was typed? */
bool pty_is_drained(const struct pty *p);

/* SIGTERM to the command's session, SIGKILL to what is left of it after grace_ms; on_exit tells. */
void pty_end(struct pty *p, int64_t grace_ms);

#endif
