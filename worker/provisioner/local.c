/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local.c - import, start, stop and delete, each a ladder of steps that may have been climbed
 * before.
 *
 * Everything is named by the workspace, and every action first takes the workspace's lock and then
 * its fence (workspace.h); so two workers that believe to have the same job meet there, one after
 * the other, and the second finds the first one's work or its newer lease.
 */
#include "worker/provisioner/local.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "worker/file.h"
#include "worker/provisioner/import.h"
#include "worker/provisioner/manifest.h"
#include "worker/provisioner/sandbox.h"
#include "worker/provisioner/secrets.h"

#define LOCK_WAIT_MS  60000
#define START_WAIT_MS 10000

#define SANDBOX_PASSWD                                \
    "root:x:0:0:root:/root:/usr/sbin/nologin\n"       \
    "agent:x:1000:1000:agent:/home/agent:/bin/bash\n" \
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
#define SANDBOX_GROUP "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"
#define SANDBOX_HOSTS "127.0.0.1 localhost\n::1 localhost\n"

struct mount_dir {
    char *name;
    char *dir;
};

struct local {
    struct sandbox_host host;
    VEC(struct mount_dir) mounts;
    char *secrets_dir; /* NULL: none */
    char limits_text[400];
};

/* ---- import ---- */

static const char *find_mount(const struct local *l, const char *name)
{
    for (size_t i = 0; i < l->mounts.n; i++) {
        if (strcmp(l->mounts.v[i].name, name) == 0)
            return l->mounts.v[i].dir;
    }
    return NULL;
}

/* Per mount of the template its directory here.  ret_from has room for all. */
static enum err resolve_mounts(
    const struct local *l, const struct template *t, const char **ret_from, struct errctx *ctx)
{
    for (unsigned i = 0; i < t->mounts_count; i++) {
        ret_from[i] = find_mount(l, t->mounts[i].name);
        if (ret_from[i] == NULL && !t->mounts[i].optional)
            return err_set(ctx, ERR_CONFIG,
                TEMPLATE_FILE ": mounts: no \"%.60s\" here: name it in the worker's setting mounts "
                              "(%.60s=/some/dir), or say optional: true",
                t->mounts[i].name, t->mounts[i].name);
    }
    return ERR_OK;
}

struct warned {
    struct job_io *io;
    const struct job_spec *spec;
};

static void warn(void *arg, const char *sentence)
{
    const struct warned *w = arg;
    job_io_line(w->io, w->spec, LOG_WARN, "Checking template", "%s", sentence);
}

static enum err local_import(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct local *l = self;
    struct warned w = {io, spec};
    job_io_line(io, spec, LOG_INFO, "Checking template", "Reading %s", TEMPLATE_FILE);
    scoped(template_freep) struct template *t = NULL;
    enum err e = template_load(spec->template_dir, warn, &w, &t, ctx);
    if (e != ERR_OK)
        return e;
    const char *from[TEMPLATE_MOUNTS_MAX];
    e = resolve_mounts(l, t, from, ctx);
    if (e != ERR_OK)
        return e;
    secrets_look(l->secrets_dir, t, warn, &w);
    import_look(t, warn, &w);
    found->import = import_found_in(t);
    job_io_line(io, spec, LOG_INFO, "Checking template", "The template is good: it runs %s%s",
        import_what_runs(t),
        t->app != NULL ? "" : "; it has no app, so no tasks can be made of it");
    return ERR_OK;
}

/* ---- start ---- */

/* What runs already: the very sandbox we want (*ret_done), an older one (stopped here), or none. */
static enum err clear_the_way(struct local *l, struct workspace *ws, const struct job_spec *spec,
    struct job_io *io, bool *ret_done, struct errctx *ctx)
{
    struct sandbox_record record;
    bool running;
    *ret_done = false;
    enum err e = sandbox_find(ws, &record, &running, ctx);
    if (e != ERR_OK)
        return e;
    if (running && uuid_eq(&record.build_id, &spec->build_id)) {
        job_io_line(
            io, spec, LOG_INFO, "Starting workspace", "The sandbox of this build runs already");
        e = sandbox_await(ws, &record, START_WAIT_MS, io, ctx);
        *ret_done = e == ERR_OK;
        if (e == ERR_OK || e == ERR_LEASE_LOST || e == ERR_CANCELED)
            return e;
        job_io_line(io, spec, LOG_WARN, "Starting workspace", "It does not come up; starting anew");
        return sandbox_stop(&l->host, ws, &record, true, io, ctx);
    }
    if (running)
        job_io_line(io, spec, LOG_INFO, "Starting workspace",
            "Stopping the sandbox of build %u first", record.build_number);
    return sandbox_stop(&l->host, ws, &record, false, io, ctx);
}

static enum err start_anew(struct local *l, struct workspace *ws, const struct job_spec *spec,
    const struct template *t, struct job_io *io, struct errctx *ctx)
{
    const char *from[TEMPLATE_MOUNTS_MAX];
    struct sandbox_record record;
    scoped_fd int secrets_fd = -1;
    enum err e = resolve_mounts(l, t, from, ctx);
    if (e == ERR_OK && secrets_are_named(t))
        e = secrets_open(l->secrets_dir, t, &secrets_fd, ctx);
    if (e == ERR_OK)
        e = workspace_check(ws, io, ctx);
    if (e == ERR_OK)
        e = manifest_write(ws, spec, t, ctx);
    if (e != ERR_OK)
        return e;
    job_io_line(io, spec, LOG_INFO, "Starting workspace", "Starting the sandbox");
    const struct sandbox_order order = {
        .spec = spec, .template = t, .mount_from = from, .secrets_fd = secrets_fd};
    e = sandbox_start(&l->host, ws, &order, &record, io, ctx);
    if (e == ERR_OK)
        e = sandbox_await(ws, &record, START_WAIT_MS, io, ctx);
    return e;
}

/* After a failed start: whatever there is of a sandbox goes. */
static bool undo(struct local *l, struct workspace *ws, struct job_io *io)
{
    struct sandbox_record record;
    bool running;
    struct errctx ctx;
    return sandbox_find(ws, &record, &running, &ctx) == ERR_OK &&
           sandbox_stop(&l->host, ws, &record, true, io, &ctx) == ERR_OK;
}

static enum err start_in(struct local *l, struct workspace *ws, const struct job_spec *spec,
    const struct template *t, struct job_io *io, struct job_found *found, struct errctx *ctx)
{
    bool done = false;
    enum err e = workspace_fence(ws, spec, ctx);
    if (e == ERR_OK)
        e = workspace_prepare(ws, ctx);
    found->on_host = e == ERR_OK;
    if (e == ERR_OK)
        e = clear_the_way(l, ws, spec, io, &done, ctx);
    if (e == ERR_OK && !done)
        e = start_anew(l, ws, spec, t, io, ctx);
    if (e == ERR_OK)
        job_io_line(io, spec, LOG_INFO, "Starting workspace", "The agent has started");
    else if (e != ERR_LEASE_LOST)
        found->clean = undo(l, ws, io);
    return e;
}

static enum err local_start(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct local *l = self;
    found->clean = true; /* until something is begun */
    if (uuid_is_nil(&spec->agent_id))
        return err_set(ctx, ERR_CONFIG,
            "the template has no app, so there is nothing to start: add app: {slug: ...} "
            "to " TEMPLATE_FILE);
    scoped(template_freep) struct template *t = NULL;
    enum err e = template_load(spec->template_dir, NULL, NULL, &t, ctx);
    if (e != ERR_OK)
        return e;

    scoped(workspace_freep) struct workspace *ws = NULL;
    job_io_line(io, spec, LOG_INFO, "Preparing workspace", "Opening the workspace's storage");
    e = workspace_open(l->host.data_dir, spec, true, LOCK_WAIT_MS, io, &ws, ctx);
    found->clean = false;
    return e != ERR_OK ? e : start_in(l, ws, spec, t, io, found, ctx);
}

/* ---- stop and delete ---- */

static enum err stop_in(struct local *l, struct workspace *ws, const struct job_spec *spec,
    struct job_io *io, struct errctx *ctx)
{
    struct sandbox_record record;
    bool running = false;
    enum err e = workspace_fence(ws, spec, ctx);
    if (e == ERR_NO_SPACE) { /* stopping and deleting are what may help */
        job_io_line(io, spec, LOG_WARN, "Stopping workspace", "%s", ctx->text);
        e = ERR_OK;
    }
    if (e == ERR_OK)
        e = sandbox_find(ws, &record, &running, ctx);
    if (e != ERR_OK)
        return e;
    job_io_line(io, spec, LOG_INFO, "Stopping workspace", "%s",
        running ? "Asking the agent to stop" : "No sandbox is running");
    e = sandbox_stop(&l->host, ws, &record, false, io, ctx);
    if (e == ERR_OK && running)
        job_io_line(io, spec, LOG_INFO, "Stopping workspace", "The sandbox is gone");
    return e;
}

static enum err local_stop(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct local *l = self;
    scoped(workspace_freep) struct workspace *ws = NULL;
    enum err e = workspace_open(l->host.data_dir, spec, false, LOCK_WAIT_MS, io, &ws, ctx);
    if (e != ERR_OK)
        return e;
    found->on_host = ws != NULL;
    if (ws != NULL)
        return stop_in(l, ws, spec, io, ctx);
    job_io_line(io, spec, LOG_INFO, "Stopping workspace",
        "The workspace has no storage here: nothing to stop");
    return ERR_OK;
}

static enum err local_delete(void *self, const struct job_spec *spec, struct job_io *io,
    struct job_found *found, struct errctx *ctx)
{
    struct local *l = self;
    scoped(workspace_freep) struct workspace *ws = NULL;
    /* Made if missing, so that there is a place to leave the mark "gone" under a lock; a workspace
     * that has the mark already is done. */
    enum err e = workspace_open(l->host.data_dir, spec, true, LOCK_WAIT_MS, io, &ws, ctx);
    if (e == ERR_LEASE_LOST && atomic_load(&io->call) != JOB_ABANDON &&
        workspace_is_gone(l->host.data_dir, &spec->workspace_id))
        return workspace_finish_delete(l->host.data_dir, &spec->workspace_id, ctx);
    if (e == ERR_OK)
        e = stop_in(l, ws, spec, io, ctx);
    found->on_host = e != ERR_OK;
    if (e != ERR_OK)
        return e;
    job_io_line(io, spec, LOG_INFO, "Deleting workspace", "Removing its files");
    e = workspace_check(ws, io, ctx);
    return e != ERR_OK ? e : workspace_delete(ws, ctx);
}

/* ---- life ---- */

static enum err parse_mounts(struct local *l, const char *text, struct errctx *ctx)
{
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, ",");
        const char *equals = memchr(p, '=', n);
        if (equals == NULL || equals == p || equals[1] != '/')
            return err_set(
                ctx, ERR_CONFIG, "mounts: \"%.*s\" is not name=/host/directory", (int)n, p);
        scoped_free char *dir = mem_strndup(equals + 1, n - (size_t)(equals + 1 - p));
        char *real = realpath(dir, NULL);
        if (real == NULL)
            return file_errno(ctx, "mounts: %.100s", dir);
        *vec_push(&l->mounts) =
            (struct mount_dir){.name = mem_strndup(p, (size_t)(equals - p)), .dir = real};
        p += n + (p[n] == ',');
    }
    return ERR_OK;
}

static enum err find_secrets(struct local *l, const char *dir, struct errctx *ctx)
{
    if (dir == NULL || dir[0] == '\0')
        return ERR_OK;
    l->secrets_dir = realpath(dir, NULL);
    return l->secrets_dir != NULL ? ERR_OK : file_errno(ctx, "secrets_dir: %.100s", dir);
}

static bool has_text(int dir_fd, const char *name, const char *text)
{
    scoped(strbuf_done) struct strbuf had;
    strbuf_init(&had);
    return file_read(dir_fd, name, strlen(text) + 1, &had, NULL) == ERR_OK &&
           strcmp(had.s, text) == 0;
}

/* Only what differs is replaced: a sandbox of another worker may just be about to mount it. */
static enum err write_etc(const char *data_dir, struct errctx *ctx)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        {"passwd", SANDBOX_PASSWD},
        {"group",  SANDBOX_GROUP },
        {"hosts",  SANDBOX_HOSTS }
    };
    scoped_fd int data_fd = -1;
    scoped_fd int etc_fd = -1;
    enum err e = file_open_dir(AT_FDCWD, data_dir, &data_fd, ctx);
    if (e == ERR_OK)
        e = file_make_dir(data_fd, "etc", 0755, ctx);
    if (e == ERR_OK)
        e = file_open_dir(data_fd, "etc", &etc_fd, ctx);
    for (size_t i = 0; e == ERR_OK && i < COUNT(files); i++) {
        if (!has_text(etc_fd, files[i].name, files[i].text))
            e = file_write(etc_fd, files[i].name, files[i].text, strlen(files[i].text),
                &(struct file_write){.mode = 0644}, ctx);
    }
    return e;
}

static void describe_limits(struct local *l)
{
    const struct cgroup *c = &l->host.cgroup;
    if (c->on)
        snprintf(l->limits_text, sizeof(l->limits_text),
            "limits are upheld by cgroup v2 groups in %.300s", c->dir);
    else
        snprintf(l->limits_text, sizeof(l->limits_text),
            "limits are upheld by rlimits, not cgroups: memory per process (RLIMIT_DATA), %s, cpus "
            "by affinity (%s)",
            l->host.bwrap.stage ? "pids per workspace user (RLIMIT_NPROC)"
                                : "pids not at all (the worker is not root)",
            c->why);
}

enum err local_new(const struct local_conf *conf, struct local **ret_local, struct errctx *ctx)
{
    scoped(local_freep) struct local *l = mem_alloc(sizeof(*l));
    if (access(conf->agent_path, X_OK) != 0)
        return err_set(ctx, ERR_UNAVAILABLE,
            "there is no stint-agent at %s: install it beside stint-worker or set agent_path",
            conf->agent_path);
    l->host.data_dir = mem_strdup(conf->data_dir);
    l->host.agent_path = realpath(conf->agent_path, NULL);
    enum err e = parse_mounts(l, conf->mounts, ctx);
    if (e == ERR_OK)
        e = find_secrets(l, conf->secrets_dir, ctx);
    if (e == ERR_OK)
        e = bwrap_init(&l->host.bwrap, ctx);
    if (e == ERR_OK)
        e = write_etc(conf->data_dir, ctx);
    if (e != ERR_OK)
        return e;
    cgroup_init(&l->host.cgroup, "/sys/fs/cgroup", NULL);
    describe_limits(l);
    workspace_forget_gone(conf->data_dir);
    *ret_local = steal(l);
    return ERR_OK;
}

void local_free(struct local *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->mounts.n; i++) {
        free(l->mounts.v[i].name);
        free(l->mounts.v[i].dir);
    }
    vec_done(&l->mounts);
    bwrap_done(&l->host.bwrap);
    free(l->host.data_dir);
    free(l->host.agent_path);
    free(l->secrets_dir);
    free(l);
}

struct provisioner local_provisioner(struct local *l)
{
    return (struct provisioner){
        .name = "local",
        .action = {[JOB_START] = local_start,
                   [JOB_STOP] = local_stop,
                   [JOB_DELETE] = local_delete,
                   [JOB_IMPORT] = local_import},
        .self = l,
    };
}

const char *local_limits_text(const struct local *l)
{
    return l->limits_text;
}
