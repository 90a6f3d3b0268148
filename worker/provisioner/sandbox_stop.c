/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_stop.c - how a sandbox ends.
 *
 * The signals go to the sandbox's first process.  It is the init of a pid namespace, and the kernel
 * lets an init go only after every other process of the namespace is gone; so when its pidfd says
 * that it has ended, nothing of the sandbox is left.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/file.h"
#include "worker/provisioner/sandbox.h"
#include "worker/provisioner/sandbox_title.h"

/* The agent fits all it does into the grace time but its last reports, 2 s at most; the rest is for
 * a host that has much to do. */
#define AGENT_MARGIN_MS 5000
/* A killed process can still wait for a disk. */
#define KILLED_WAIT_MS 30000

struct sandbox_title sandbox_title(const struct workspace *ws, const struct sandbox_record *record)
{
    struct sandbox_title t;
    snprintf(t.s, sizeof(t.s), "stint-sandbox/%s/%s", uuid_format(&ws->id).s,
        uuid_format(&record->build_id).s);
    return t;
}

static void send_signal(int process_fd, int number)
{
    (void)syscall(SYS_pidfd_send_signal, process_fd, number, NULL, 0);
}

static bool has_ended(int process_fd, int wait_ms)
{
    struct pollfd pfd = {.fd = process_fd, .events = POLLIN};
    return poll(&pfd, 1, wait_ms) > 0;
}

/* SIGTERM and the grace time.  ERR_OK: whether it ended or not, go on; else leave it alone. */
static enum err ask(int process_fd, int64_t grace_ms, struct job_io *io, struct errctx *ctx)
{
    send_signal(process_fd, SIGTERM);
    int64_t end_ms = clock_mono_ms() + grace_ms + AGENT_MARGIN_MS;
    for (int64_t left_ms; (left_ms = end_ms - clock_mono_ms()) > 0;) {
        if (job_io_wait(io, process_fd, (int)left_ms))
            return ERR_OK;
        enum err e = job_io_check(io, ctx);
        if (e != ERR_OK)
            return e == ERR_CANCELED ? ERR_OK : e;
    }
    return ERR_OK;
}

static enum err still_there(struct errctx *ctx)
{
    return err_set(ctx, ERR_TIMEOUT,
        "the sandbox's processes do not end %d s after SIGKILL; one may hang in the kernel",
        KILLED_WAIT_MS / 1000);
}

static enum err kill_hard(
    struct sandbox_host *host, struct workspace *ws, int process_fd, struct errctx *ctx)
{
    if (has_ended(process_fd, 0))
        return ERR_OK;
    send_signal(process_fd, SIGKILL);
    cgroup_kill(&host->cgroup, &ws->id);
    return has_ended(process_fd, KILLED_WAIT_MS) ? ERR_OK : still_there(ctx);
}

/* Its pid was never recorded: bubblewrap, on its way to a sandbox. */
static bool end_half_started(struct workspace *ws, const struct sandbox_record *record)
{
    struct sandbox_title title = sandbox_title(ws, record);
    return process_end_by_title(title.s, KILLED_WAIT_MS);
}

enum err sandbox_stop(struct sandbox_host *host, struct workspace *ws,
    const struct sandbox_record *record, bool at_once, struct job_io *io, struct errctx *ctx)
{
    scoped_fd int process_fd = process_open(&record->init);
    enum err e = ERR_OK;
    if (process_fd >= 0 && !at_once)
        e = ask(process_fd, record->grace_ms, io, ctx);
    if (e == ERR_OK)
        e = workspace_check(ws, io, ctx);
    if (e == ERR_OK && process_fd >= 0)
        e = kill_hard(host, ws, process_fd, ctx);
    if (e != ERR_OK)
        return e;

    if (record->init.pid == 0 && !uuid_is_nil(&record->build_id) && !end_half_started(ws, record))
        return still_there(ctx);
    e = workspace_check(ws, io, ctx); /* the group may be another sandbox's now */
    if (e != ERR_OK)
        return e;
    cgroup_kill(&host->cgroup, &ws->id);
    cgroup_remove(&host->cgroup, &ws->id);
    return workspace_remove_record(ws, ctx);
}
