/* SPDX-License-Identifier: Apache-2.0 */
/* A child, its output and its time. */
#include "agent/process.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/mem.h"

#define BLOCK_BYTES 4096
/* No more of a captured output is read at its end than a pipe can hold. */
#define LAST_BLOCKS_MAX 256

struct process {
    struct process_spec spec;
    struct child *child;
    struct timer *timeout;
    struct log_pipe *pipe; /* to the log */
    uv_poll_t *poll;       /* captured: NULL when at its end */
    int fd;
    bool has_timed_out;
};

/* ---- capturing ---- */

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_capture(struct process *p)
{
    if (p->poll == NULL)
        return;
    uv_close((uv_handle_t *)p->poll, on_poll_closed);
    close(p->fd);
    p->poll = NULL;
}

static bool capture_block(struct process *p)
{
    char block[BLOCK_BYTES];
    ssize_t n = read(p->fd, block, sizeof(block));
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        stop_capture(p);
        return false;
    }
    size_t room = p->spec.capture_max - p->spec.capture->len;
    strbuf_add(p->spec.capture, block, (size_t)n < room ? (size_t)n : room);
    return true;
}

static void on_readable(uv_poll_t *poll, int error, int events)
{
    (void)events;
    struct process *p = poll->data;
    if (error != 0)
        stop_capture(p);
    else
        capture_block(p);
}

static void start_capture(struct process *p, int fd)
{
    p->fd = fd;
    p->poll = mem_alloc(sizeof(*p->poll));
    p->poll->data = p;
    uv_poll_init(loop_uv(p->spec.loop), p->poll, fd);
    uv_poll_start(p->poll, UV_READABLE, on_readable);
}

/* ---- its end ---- */

static void process_free(struct process *p)
{
    stop_capture(p);
    timer_free(p->timeout);
    free(p);
}

static void on_exit_of_child(void *arg, int wait_status)
{
    struct process *p = arg;
    for (int i = 0; p->poll != NULL && i < LAST_BLOCKS_MAX && capture_block(p); i++) {
    }
    if (p->pipe != NULL)
        log_pipe_settle(p->pipe);
    p->spec.done(p->spec.arg, wait_status, p->has_timed_out);
    process_free(p);
}

static void on_timeout(void *arg)
{
    process_time_out(arg);
}

void process_time_out(struct process *p)
{
    p->has_timed_out = true;
    child_end(p->child, PROCESS_KILL_MS);
}

void process_forget(struct process *take_process)
{
    struct process *p = take_process;
    if (p == NULL)
        return;
    child_forget(p->child);
    if (p->pipe != NULL)
        log_pipe_settle(p->pipe);
    process_free(p);
}

/* ---- its beginning ---- */

enum err process_start(
    const struct process_spec *spec, struct process **ret_process, struct errctx *ctx)
{
    struct process *p = mem_alloc(sizeof(*p));
    const struct child_spec child = {.argv = spec->argv,
        .env = spec->env,
        .dir = spec->dir,
        .on_exit = on_exit_of_child,
        .arg = p};
    int fd;
    enum err e = children_start(spec->children, &child, &p->child, &fd, ctx);
    if (e != ERR_OK) {
        free(p);
        return e;
    }
    p->spec = *spec;
    p->timeout = timer_new(spec->loop, on_timeout, p);
    if (spec->timeout_ms > 0)
        timer_start(p->timeout, spec->timeout_ms, 0);
    if (spec->capture != NULL)
        start_capture(p, fd);
    else
        p->pipe = agent_log_read(spec->log, spec->name, fd, spec->log_path);
    *ret_process = p;
    return ERR_OK;
}
