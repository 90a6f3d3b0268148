/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child leads a session and a process group; signals go to the group.  The end is known when
 * the child was reaped and its terminal has given its last bytes: output may still lie in the
 * terminal when SIGCHLD comes, and a grandchild may keep the terminal open for ever, so after the
 * reaping what is there is read once and no more is waited for.
 */
#include "agent/agentapi/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define READ_BYTES     (64 * 1024)
#define LAST_BYTES_MAX (4 * 1024 * 1024)

struct pty {
    struct pty_spec spec;
    pid_t pid; /* 0: reaped */
    int fd;    /* -1: closed */
    uv_poll_t *poll;
    uv_signal_t *on_child;
    struct timer *kill_timer;
    struct strbuf input;
    size_t input_at; /* of it, written so far */
};

static void poll_again(struct pty *p);

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_terminal(struct pty *p)
{
    if (p->fd < 0)
        return;
    uv_close((uv_handle_t *)p->poll, on_closed);
    p->poll = NULL;
    close(p->fd);
    p->fd = -1;
}

/* ---- input and output ---- */

/* False at the end: the last of those who had the terminal open is gone. */
static bool read_some(struct pty *p, size_t bytes_max)
{
    char block[READ_BYTES];
    for (size_t total = 0; total < bytes_max;) {
        ssize_t n = read(p->fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        p->spec.on_output(p->spec.arg, block, (size_t)n);
        total += (size_t)n;
    }
    return true;
}

static void write_some(struct pty *p)
{
    while (!pty_is_drained(p)) {
        ssize_t n = write(p->fd, p->input.s + p->input_at, p->input.len - p->input_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        p->input_at += (size_t)n;
    }
    strbuf_clear(&p->input);
    p->input_at = 0;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct pty *p = handle->data;
    if ((events & UV_WRITABLE) != 0)
        write_some(p);
    if ((status < 0 || (events & UV_READABLE) != 0) && !read_some(p, READ_BYTES))
        close_terminal(p);
    else
        poll_again(p);
}

static void poll_again(struct pty *p)
{
    if (p->poll != NULL)
        uv_poll_start(p->poll, UV_READABLE | (pty_is_drained(p) ? 0 : UV_WRITABLE), on_poll);
}

bool pty_is_drained(const struct pty *p)
{
    return p->input_at == p->input.len;
}

enum err pty_write(struct pty *p, const char *data, size_t n)
{
    if (p->fd < 0)
        return ERR_UNAVAILABLE;
    if (p->input.len - p->input_at + n > PTY_INPUT_MAX)
        return ERR_FULL;
    strbuf_consume(&p->input, p->input_at);
    p->input_at = 0;
    strbuf_add(&p->input, data, n);
    write_some(p);
    poll_again(p);
    return ERR_OK;
}

/* ---- the end ---- */

static void on_child(uv_signal_t *handle, int number)
{
    struct pty *p = handle->data;
    int wait_status;
    (void)number;
    if (p->pid == 0 || waitpid(p->pid, &wait_status, WNOHANG) != p->pid)
        return;
    kill(-p->pid, SIGHUP); /* what it left behind loses its terminal */
    p->pid = 0;
    timer_stop(p->kill_timer);
    if (p->fd >= 0)
        read_some(p, LAST_BYTES_MAX);
    close_terminal(p);
    p->spec.on_exit(p->spec.arg, wait_status);
}

static void on_kill_due(void *arg)
{
    struct pty *p = arg;
    log_warn("the command does not end, killing it pid=%d", (int)p->pid);
    if (p->pid > 0)
        kill(-p->pid, SIGKILL);
}

void pty_end(struct pty *p, int64_t grace_ms)
{
    if (p->pid == 0)
        return;
    kill(-p->pid, SIGTERM);
    kill(-p->pid, SIGCONT);
    timer_start(p->kill_timer, grace_ms, 0);
}

void pty_free(struct pty *p)
{
    if (p == NULL)
        return;
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    close_terminal(p);
    uv_close((uv_handle_t *)p->on_child, on_closed);
    timer_free(p->kill_timer);
    strbuf_done(&p->input);
    free(p);
}

/* ---- the beginning ---- */

static void child_signals(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child: nothing of ours but the terminal, and the way to say that there is no program. */
_Noreturn static void child_run(char *const *argv, int problem)
{
    child_signals();
    if (problem != 3)
        dup3(problem, 3, O_CLOEXEC);
    close_range(4, ~0U, 0);
    setenv("TERM", "xterm-256color", 1);
    execvp(argv[0], argv);
    int error = errno;
    while (write(3, &error, sizeof(error)) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* 0 when the program runs. */
static int read_problem(int fd)
{
    int error = 0;
    ssize_t n;
    do
        n = read(fd, &error, sizeof(error));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(error) ? error : 0;
}

static enum err fork_command(
    const struct pty_spec *spec, pid_t *ret_pid, int *ret_fd, struct errctx *ctx)
{
    struct winsize size = {
        .ws_row = (unsigned short)spec->rows, .ws_col = (unsigned short)spec->cols};
    int problem[2];
    if (pipe2(problem, O_CLOEXEC) != 0)
        return err_set(ctx, ERR_FAILED, "cannot make a pipe: %s", strerror(errno));
    pid_t pid = forkpty(ret_fd, NULL, NULL, &size);
    if (pid == 0)
        child_run(spec->argv, problem[1]);
    int error = pid < 0 ? errno : 0;
    close(problem[1]);
    if (pid > 0)
        error = read_problem(problem[0]);
    close(problem[0]);
    if (error == 0) {
        *ret_pid = pid;
        return ERR_OK;
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
        close(*ret_fd);
    }
    return err_set(ctx, error == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "cannot run \"%s\": %s",
        spec->argv[0], strerror(error));
}

static struct pty *pty_new(struct loop *l, const struct pty_spec *spec)
{
    struct pty *p = mem_alloc(sizeof(*p));
    p->spec = *spec;
    p->fd = -1;
    strbuf_init(&p->input);
    p->kill_timer = timer_new(l, on_kill_due, p);
    p->on_child = mem_alloc(sizeof(*p->on_child));
    p->on_child->data = p;
    uv_signal_init(loop_uv(l), p->on_child);
    uv_signal_start(p->on_child, on_child, SIGCHLD); /* before there is a child that could end */
    return p;
}

enum err pty_start(
    struct loop *l, const struct pty_spec *spec, struct pty **ret_pty, struct errctx *ctx)
{
    struct pty *p = pty_new(l, spec);
    enum err e = fork_command(spec, &p->pid, &p->fd, ctx);
    if (e != ERR_OK) {
        p->pid = 0;
        p->fd = -1;
        pty_free(p);
        return e;
    }
    fcntl(p->fd, F_SETFD, FD_CLOEXEC);
    fcntl(p->fd, F_SETFL, O_NONBLOCK);
    p->poll = mem_alloc(sizeof(*p->poll));
    p->poll->data = p;
    uv_poll_init(loop_uv(l), p->poll, p->fd);
    poll_again(p);
    *ret_pty = p;
    return ERR_OK;
}
