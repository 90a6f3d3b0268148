/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c - finding, starting and awaiting; sandbox_stop.c ends them. */
#include "worker/provisioner/sandbox.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "worker/file.h"
#include "worker/provisioner/sandbox_title.h"
#include "worker/provisioner/secrets.h"

#define INFO_WAIT_MS 10000
#define LOG_FILE     "sandbox.log"

/* ---- find ---- */

enum err sandbox_find(
    struct workspace *ws, struct sandbox_record *ret_record, bool *ret_running, struct errctx *ctx)
{
    bool present;
    *ret_running = false;
    enum err e = workspace_load_record(ws, ret_record, &present, ctx);
    if (e != ERR_OK || !present)
        return e;

    struct uuid boot;
    if (ret_record->init.pid != 0) {
        bool same_boot = !process_boot_id(&boot) || uuid_eq(&boot, &ret_record->boot_id);
        *ret_running = same_boot && process_is_alive(&ret_record->init);
        return ERR_OK;
    }
    /* Its worker died before it knew. */
    struct process supervisor;
    struct sandbox_title title = sandbox_title(ws, ret_record);
    process_find_by_title(title.s, &supervisor, &ret_record->init);
    *ret_running = ret_record->init.pid != 0;
    if (*ret_running)
        return workspace_save_record(ws, ret_record, ctx);
    return ERR_OK;
}

/* ---- start ---- */

static enum err bind_own(struct sandbox_host *h, struct workspace *ws,
    const struct sandbox_order *o, struct bwrap_plan *p, struct errctx *ctx)
{
    struct uuid_str id = uuid_format(&ws->id);
    const char *d = h->data_dir;
    const struct {
        const char *format, *arg, *to;
        bool writable;
    } rows[] = {
        {"%s/etc/passwd", d,                     "/etc/passwd",               false},
        {"%s/etc/group",  d,                     "/etc/group",                false},
        {"%s/etc/hosts",  d,                     "/etc/hosts",                false},
        {"%s/agents",     d,                     "/run/stint/workers",        false},
        {"%s",            o->spec->template_dir, TEMPLATE_DIR,                false},
        {"%s",            h->agent_path,         TEMPLATE_BIN "/stint-agent", false},
    };
    char path[4096];
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < COUNT(rows); i++) {
        snprintf(path, sizeof(path), rows[i].format, rows[i].arg);
        e = bwrap_plan_bind(&h->bwrap, p, path, rows[i].to, rows[i].writable, ctx);
    }
    if (e == ERR_OK) {
        snprintf(path, sizeof(path), "%s/workspaces/%s/agent", d, id.s);
        e = bwrap_plan_bind(&h->bwrap, p, path, "/var/lib/stint", true, ctx);
    }
    if (e == ERR_OK) {
        snprintf(path, sizeof(path), "%s/workspaces/%s/home", d, id.s);
        e = bwrap_plan_bind(&h->bwrap, p, path, TEMPLATE_HOME, true, ctx);
    }
    return e;
}

static enum err bind_mounts(
    struct sandbox_host *h, const struct sandbox_order *o, struct bwrap_plan *p, struct errctx *ctx)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < o->template->mounts_count; i++) {
        if (o->mount_from[i] != NULL)
            e = bwrap_plan_bind(
                &h->bwrap, p, o->mount_from[i], o->template->mounts[i].to, false, ctx);
    }
    return e;
}

/* Another descriptor of the same file in memory: bubblewrap reads it from its beginning, once. */
static enum err hand_secrets(
    const struct sandbox_order *o, struct bwrap_plan *p, struct errctx *ctx)
{
    if (o->secrets_fd < 0)
        return ERR_OK;
    int fd = fcntl(o->secrets_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return file_errno(ctx, "cannot hand over the secrets");
    bwrap_plan_file(p, fd, SECRETS_FILE);
    return ERR_OK;
}

static enum err plan(struct sandbox_host *h, struct workspace *ws, const struct sandbox_order *o,
    const char *title, struct bwrap_plan *p, struct errctx *ctx)
{
    static const char *const command[] = {
        TEMPLATE_BIN "/stint-agent", "run", "--manifest", "/var/lib/stint/manifest.json", NULL};
    const struct template_limits *limits = &o->template->limits;
    bwrap_plan_begin(&h->bwrap, p,
        &(struct bwrap_shape){
            .title = title,
            .hostname = text_is_name(o->spec->workspace_name) ? o->spec->workspace_name : NULL,
            .dir = TEMPLATE_HOME,
            .network = o->template->network,
            .tmp_bytes = limits->memory_bytes,
        });
    p->uid = ws->uid;
    p->gid = ws->gid;
    limit_plan(&p->limit, limits, h->cgroup.on, ws->own_user, ws->uid + ws->id.b[15]);
    enum err e = bind_own(h, ws, o, p, ctx);
    if (e == ERR_OK)
        e = bind_mounts(h, o, p, ctx);
    if (e == ERR_OK)
        e = hand_secrets(o, p, ctx);
    bwrap_plan_link(p, "stint-agent", TEMPLATE_BIN "/coder");
    bwrap_plan_end(p, command);
    if (e == ERR_OK && h->cgroup.on)
        e = cgroup_make(&h->cgroup, &ws->id, limits, &p->cgroup_fd, ctx);
    if (e == ERR_OK) {
        p->log_fd = openat(ws->dir_fd, LOG_FILE,
            O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (p->log_fd < 0)
            e = file_errno(ctx, "cannot write %s", LOG_FILE);
    }
    return e;
}

/* bubblewrap's {"child-pid": 123, …}; 0 when it is not there yet. */
static pid_t parse_info(int info_fd)
{
    char text[512];
    ssize_t n = pread(info_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *p = strchr(text, '}') == NULL ? NULL : strstr(text, "child-pid");
    p = p == NULL ? NULL : strchr(p, ':');
    return p == NULL ? 0 : (pid_t)strtol(p + 1, NULL, 10);
}

/* *ret_pid is 0 when the supervisor ends without a sandbox. */
static enum err await_child_pid(
    int info_fd, pid_t supervisor, struct job_io *io, pid_t *ret_pid, struct errctx *ctx)
{
    struct process process = {0};
    (void)process_look_up(supervisor, &process);
    scoped_fd int process_fd = process_open(&process);
    for (int64_t end_ms = clock_mono_ms() + INFO_WAIT_MS; (*ret_pid = parse_info(info_fd)) == 0;) {
        if (process_fd < 0 || job_io_wait(io, process_fd, 1)) {
            *ret_pid = parse_info(info_fd);
            return ERR_OK;
        }
        enum err e = job_io_check(io, ctx);
        if (e != ERR_OK)
            return e;
        if (clock_mono_ms() > end_ms)
            return err_set(
                ctx, ERR_TIMEOUT, "bubblewrap did not start within %d s", INFO_WAIT_MS / 1000);
    }
    return ERR_OK;
}

const char *sandbox_last_words(struct workspace *ws, char *buf, size_t size)
{
    char text[2048];
    buf[0] = '\0';
    scoped_fd int fd = openat(ws->dir_fd, LOG_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, end > 2047 ? end - 2047 : 0);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    if (n <= 0)
        return buf;
    text[n] = '\0';
    const char *line = strrchr(text, '\n');
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, line == NULL ? text : line + 1);
    snprintf(buf, size, "%s", clean.s);
    buf[text_utf8_prefix(buf, strlen(buf), size - 1)] = '\0';
    return buf;
}

static enum err died(struct workspace *ws, struct errctx *ctx)
{
    char words[160];
    sandbox_last_words(ws, words, sizeof(words));
    return err_set(
        ctx, ERR_UNAVAILABLE, "the sandbox ended at once%s%s", words[0] != '\0' ? ": " : "", words);
}

/* We were stopped while we started it, and another worker, which could not see it, has the
 * workspace: it goes, and nobody else's. */
static void withdraw(int info_fd, pid_t supervisor)
{
    struct job_io quiet = {.call_fd = -1};
    struct process init;
    struct errctx ctx;
    pid_t pid = 0;
    if (await_child_pid(info_fd, supervisor, &quiet, &pid, &ctx) != ERR_OK || pid == 0 ||
        !process_look_up(pid, &init))
        return;
    process_kill(&init);
}

static enum err spawn(struct sandbox_host *h, struct workspace *ws, const struct bwrap_plan *p,
    struct sandbox_record *record, struct job_io *io, struct errctx *ctx)
{
    scoped_fd int info_fd = -1;
    pid_t pid = 0;
    pid_t supervisor = 0;
    enum err e = bwrap_spawn(&h->bwrap, p, &info_fd, &supervisor, ctx);
    if (e == ERR_OK && !workspace_is_held(ws)) {
        withdraw(info_fd, supervisor);
        return err_set(ctx, ERR_LEASE_LOST, "another worker has taken over the workspace");
    }
    if (e == ERR_OK)
        e = await_child_pid(info_fd, supervisor, io, &pid, ctx);
    if (e != ERR_OK)
        return e;
    if (pid == 0 || !process_look_up(pid, &record->init))
        return died(ws, ctx);
    return workspace_save_record(ws, record, ctx);
}

enum err sandbox_start(struct sandbox_host *host, struct workspace *ws,
    const struct sandbox_order *order, struct sandbox_record *record, struct job_io *io,
    struct errctx *ctx)
{
    *record = (struct sandbox_record){
        .build_id = order->spec->build_id,
        .build_number = order->spec->build_number,
        .token = order->spec->token,
        .grace_ms = order->template->grace_ms,
    };
    (void)process_boot_id(&record->boot_id);
    /* Say that it will be before it is: rule 6 for the worker that dies in between. */
    enum err e = workspace_save_record(ws, record, ctx);
    if (e != ERR_OK)
        return e;

    struct sandbox_title title = sandbox_title(ws, record);
    scoped(bwrap_plan_done) struct bwrap_plan p;
    e = plan(host, ws, order, title.s, &p, ctx);
    if (e == ERR_OK)
        e = job_io_check(io, ctx);
    if (e == ERR_OK)
        e = workspace_check(ws, io, ctx);
    if (e == ERR_OK)
        e = spawn(host, ws, &p, record, io, ctx);
    return e;
}

/* ---- await ---- */

static bool has_started(int agent_fd, const struct uuid *build_id)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    return file_read(agent_fd, "started", UUID_STR_LEN, &text, NULL) == ERR_OK &&
           strcmp(text.s, uuid_format(build_id).s) == 0;
}

static int watch(int agent_fd)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", agent_fd);
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd >= 0 && inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        file_closep(&fd);
    return fd;
}

static void wait_for_any(int watch_fd, int process_fd, int call_fd, int64_t left_ms)
{
    char drained[4096];
    struct pollfd fds[] = {
        {.fd = watch_fd,   .events = POLLIN},
        {.fd = process_fd, .events = POLLIN},
        {.fd = call_fd,    .events = POLLIN}
    };
    /* Without a watch (the user's limit of them is reached): look again now and then. */
    int64_t longest_ms = watch_fd >= 0 ? 1000 : 20;
    poll(fds, 3, (int)(left_ms < longest_ms ? left_ms : longest_ms));
    while (watch_fd >= 0 && read(watch_fd, drained, sizeof(drained)) > 0)
        ;
}

enum err sandbox_await(struct workspace *ws, const struct sandbox_record *record, int64_t wait_ms,
    struct job_io *io, struct errctx *ctx)
{
    scoped_fd int agent_fd = -1;
    enum err e = file_open_dir(ws->dir_fd, "agent", &agent_fd, ctx);
    if (e != ERR_OK)
        return e;
    scoped_fd int watch_fd = watch(agent_fd);
    scoped_fd int process_fd = process_open(&record->init);
    for (int64_t end_ms = clock_mono_ms() + wait_ms;;) {
        if (has_started(agent_fd, &record->build_id))
            return ERR_OK;
        if (!process_is_alive(&record->init))
            return has_started(agent_fd, &record->build_id) ? ERR_OK : died(ws, ctx);
        e = job_io_check(io, ctx);
        if (e != ERR_OK)
            return e;
        int64_t left_ms = end_ms - clock_mono_ms();
        if (left_ms <= 0)
            return err_set(ctx, ERR_TIMEOUT, "the agent did not start within %lld s",
                (long long)(wait_ms / 1000));
        wait_for_any(watch_fd, process_fd, io->call_fd, left_ms);
    }
}
