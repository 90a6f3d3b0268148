/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace.c - opening, fencing, deleting.
 *
 * The lock is on a file inside the directory, and a delete renames the directory away while it
 * holds that lock; so whoever gets the lock looks whether the directory still has its name.
 */
#include "worker/provisioner/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "worker/file.h"
#include "worker/provisioner/workspace_user.h"

#define RECORD_BYTES_MAX 4096
#define GONE_KEPT_S      (24 * 3600)

static void json_freep(json_t **j)
{
    json_decref(*j);
}

/* ---- open ---- */

static void gone_name(const struct uuid *id, char ret_name[static UUID_STR_LEN + 8])
{
    snprintf(ret_name, UUID_STR_LEN + 8, "%s.gone", uuid_format(id).s);
}

static bool is_gone(const struct workspace *ws)
{
    char name[UUID_STR_LEN + 8];
    gone_name(&ws->id, name);
    return faccessat(ws->parent_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The directory we hold still is the one of that name. */
static bool is_current(const struct workspace *ws)
{
    struct stat held, named;
    return fstat(ws->dir_fd, &held) == 0 &&
           fstatat(ws->parent_fd, uuid_format(&ws->id).s, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

/* The lock that we hold, or wait for, still is the one of that name. */
bool workspace_is_held(const struct workspace *ws)
{
    struct stat held, named;
    return fstat(ws->lock_fd, &held) == 0 &&
           fstatat(ws->dir_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static enum err lost_to_another(const struct workspace *ws, struct errctx *ctx)
{
    return err_set(
        ctx, ERR_LEASE_LOST, "another worker has taken over workspace %s", uuid_format(&ws->id).s);
}

enum err workspace_check(struct workspace *ws, struct job_io *io, struct errctx *ctx)
{
    enum err e = job_io_check(io, ctx);
    if (e == ERR_LEASE_LOST)
        return e;
    return workspace_is_held(ws) ? ERR_OK : lost_to_another(ws, ctx);
}

static enum err open_lock(struct workspace *ws, const char *name, int flags, struct errctx *ctx)
{
    file_closep(&ws->lock_fd);
    ws->lock_fd = openat(ws->dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    if (ws->lock_fd < 0)
        return file_errno(ctx, "cannot open the lock of workspace %s", uuid_format(&ws->id).s);
    return ERR_OK;
}

/* The fence first: it refuses us if it is we whose lease is the older one. */
static enum err take_over(struct workspace *ws, const struct job_spec *spec, struct errctx *ctx)
{
    char name[UUID_STR_LEN + 32];
    snprintf(name, sizeof(name), "lock.%s.%llu", uuid_format(&spec->job_id).s,
        (unsigned long long)spec->token);
    enum err e = workspace_fence(ws, spec, ctx);
    if (e == ERR_OK)
        e = open_lock(ws, name, O_TRUNC, ctx);
    if (e != ERR_OK)
        return e;
    if (flock(ws->lock_fd, LOCK_EX | LOCK_NB) != 0 ||
        renameat(ws->dir_fd, name, ws->dir_fd, "lock") != 0)
        return file_errno(ctx, "cannot take over the lock of workspace %s", uuid_format(&ws->id).s);
    log_warn("took a workspace over from a worker that does not let go workspace=%s token=%llu",
        uuid_format(&ws->id).s, (unsigned long long)spec->token);
    return ERR_OK;
}

/* One try; *ret_done false: somebody else holds it. */
static enum err try_lock(struct workspace *ws, bool *ret_done, struct errctx *ctx)
{
    enum err e = ERR_OK;
    if (ws->lock_fd < 0 || !workspace_is_held(ws))
        e = open_lock(ws, "lock", 0, ctx);
    if (e != ERR_OK)
        return e;
    bool locked = flock(ws->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK && errno != EINTR)
        return file_errno(ctx, "cannot lock workspace %s", uuid_format(&ws->id).s);
    *ret_done = locked && workspace_is_held(ws);
    return ERR_OK;
}

static enum err lock(struct workspace *ws, const struct job_spec *spec, int64_t wait_ms,
    struct job_io *io, struct errctx *ctx)
{
    int64_t begin_ms = clock_mono_ms();
    for (int pause_ms = 5;; pause_ms = pause_ms < 100 ? pause_ms * 2 : 100) {
        bool done = false;
        enum err e = try_lock(ws, &done, ctx);
        if (e != ERR_OK || done)
            return e;
        e = job_io_check(io, ctx);
        if (e != ERR_OK)
            return e;
        int64_t waited_ms = clock_mono_ms() - begin_ms;
        if (spec->token > 0 && waited_ms >= LOCK_STALE_MS)
            return take_over(ws, spec, ctx);
        if (waited_ms >= wait_ms)
            return err_set(ctx, ERR_TIMEOUT,
                "another action holds workspace %s for longer than %lld s", uuid_format(&ws->id).s,
                (long long)(wait_ms / 1000));
        (void)job_io_wait(io, -1, pause_ms);
    }
}

static void let_go(struct workspace *ws)
{
    file_closep(&ws->lock_fd);
    file_closep(&ws->dir_fd);
}

/* One try: ERR_CONFLICT when the directory was renamed away while we waited. */
static enum err open_and_lock(struct workspace *ws, const struct job_spec *spec, bool make,
    int64_t wait_ms, struct job_io *io, struct errctx *ctx)
{
    struct uuid_str name = uuid_format(&ws->id);
    if (make && is_gone(ws))
        return err_set(ctx, ERR_LEASE_LOST, "workspace %s was deleted", name.s);
    enum err e = make ? file_make_dir(ws->parent_fd, name.s, 0700, ctx) : ERR_OK;
    if (e == ERR_OK)
        e = file_open_dir(ws->parent_fd, name.s, &ws->dir_fd, ctx);
    if (e == ERR_OK)
        e = lock(ws, spec, wait_ms, io, ctx);
    if (e == ERR_OK && !is_current(ws)) {
        let_go(ws);
        return ERR_CONFLICT;
    }
    return e;
}

enum err workspace_open(const char *data_dir, const struct job_spec *spec, bool make,
    int64_t lock_wait_ms, struct job_io *io, struct workspace **ret_ws, struct errctx *ctx)
{
    scoped(workspace_freep) struct workspace *ws = mem_alloc(sizeof(*ws));
    *ws = (struct workspace){.id = spec->workspace_id,
        .data_dir = mem_strdup(data_dir),
        .parent_fd = -1,
        .dir_fd = -1,
        .lock_fd = -1};
    scoped_fd int data_fd = -1;
    enum err e = file_open_dir(AT_FDCWD, data_dir, &data_fd, ctx);
    if (e == ERR_OK)
        e = file_open_dir(data_fd, "workspaces", &ws->parent_fd, ctx);
    if (e != ERR_OK)
        return e;

    do
        e = open_and_lock(ws, spec, make, lock_wait_ms, io, ctx);
    while (e == ERR_CONFLICT);
    if (e == ERR_NOT_FOUND && !make) {
        *ret_ws = NULL;
        return ERR_OK;
    }
    if (e == ERR_OK)
        *ret_ws = steal(ws);
    return e;
}

bool workspace_is_gone(const char *data_dir, const struct uuid *id)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/workspaces/%s.gone", data_dir, uuid_format(id).s);
    return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void workspace_free(struct workspace *ws)
{
    if (ws == NULL)
        return;
    let_go(ws);
    file_closep(&ws->parent_fd);
    free(ws->data_dir);
    free(ws);
}

/* ---- fence ---- */

static json_t *load_json(struct workspace *ws, const char *name, bool *ret_present)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    *ret_present = file_read(ws->dir_fd, name, RECORD_BYTES_MAX, &text, NULL) != ERR_NOT_FOUND;
    return *ret_present ? json_loadb(text.s, text.len, 0, NULL) : NULL;
}

static enum err save_json(
    struct workspace *ws, const char *name, json_t *take_json, bool durable, struct errctx *ctx)
{
    scoped(json_freep) json_t *json = take_json;
    scoped_free char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        return err_set(ctx, ERR_INTERNAL, "cannot write %s", name);
    return file_write(ws->dir_fd, name, text, strlen(text),
        &(struct file_write){.mode = 0600, .durable = durable}, ctx);
}

struct fence {
    json_int_t build_number, series;
    int ends; /* 0: a start, 1: a stop or delete */
    json_int_t token;
    struct uuid job_id;
};

static bool load_fence(struct workspace *ws, struct fence *ret)
{
    bool present;
    const char *job_id = "";
    *ret = (struct fence){0};
    scoped(json_freep) json_t *json = load_json(ws, "fence.json", &present);
    if (json == NULL ||
        json_unpack(json, "{s:I, s?I, s:i, s:I, s:s}", "build_number", &ret->build_number, "series",
            &ret->series, "ends", &ret->ends, "token", &ret->token, "job_id", &job_id) != 0)
        return false;
    return uuid_parse(job_id, &ret->job_id);
}

static bool is_older(const struct fence *a, const struct fence *b)
{
    if (a->build_number != b->build_number)
        return a->build_number < b->build_number;
    if (a->series != b->series)
        return a->series < b->series;
    if (a->ends != b->ends)
        return a->ends < b->ends;
    return uuid_eq(&a->job_id, &b->job_id) && a->token < b->token;
}

enum err workspace_fence(struct workspace *ws, const struct job_spec *spec, struct errctx *ctx)
{
    struct fence had;
    const struct fence now = {
        .build_number = spec->build_number,
        .series = spec->series,
        .ends = spec->kind != JOB_START,
        .token = (json_int_t)spec->token,
        .job_id = spec->job_id,
    };
    if (load_fence(ws, &had)) {
        if (is_older(&now, &had))
            return err_set(ctx, ERR_LEASE_LOST,
                "stale: build %lld with token %lld, but build %lld with token %lld was here since",
                (long long)now.build_number, (long long)now.token, (long long)had.build_number,
                (long long)had.token);
    }
    return save_json(ws, "fence.json",
        json_pack("{s:I, s:I, s:i, s:I, s:s}", "build_number", now.build_number, "series",
            now.series, "ends", now.ends, "token", now.token, "job_id", uuid_format(&now.job_id).s),
        true, ctx);
}

/* ---- record ---- */

enum err workspace_load_record(
    struct workspace *ws, struct sandbox_record *ret_record, bool *ret_present, struct errctx *ctx)
{
    (void)ctx;
    *ret_record = (struct sandbox_record){.grace_ms = 10000};
    scoped(json_freep) json_t *json = load_json(ws, "sandbox.json", ret_present);
    const char *build_id = "", *boot_id = "";
    json_int_t number = 0, token = 0, grace = 10000, pid = 0, start = 0;
    if (json == NULL || json_unpack(json, "{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "build_id",
                            &build_id, "boot_id", &boot_id, "build_number", &number, "token",
                            &token, "grace_ms", &grace, "pid", &pid, "start_time", &start) != 0)
        return ERR_OK;
    (void)uuid_parse(build_id, &ret_record->build_id);
    (void)uuid_parse(boot_id, &ret_record->boot_id);
    ret_record->build_number = (unsigned)number;
    ret_record->token = (uint64_t)token;
    ret_record->grace_ms = grace;
    ret_record->init = (struct process){.pid = (pid_t)pid, .start_time = (uint64_t)start};
    return ERR_OK;
}

enum err workspace_save_record(
    struct workspace *ws, const struct sandbox_record *r, struct errctx *ctx)
{
    json_t *json = json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "version", 1, "build_id",
        uuid_format(&r->build_id).s, "boot_id", uuid_format(&r->boot_id).s, "build_number",
        (json_int_t)r->build_number, "token", (json_int_t)r->token, "grace_ms",
        (json_int_t)r->grace_ms, "pid", (json_int_t)r->init.pid, "start_time",
        (json_int_t)r->init.start_time);
    if (!workspace_is_held(ws)) {
        json_decref(json);
        return lost_to_another(ws, ctx);
    }
    /* What it names does not outlive the machine, so it need not either. */
    return save_json(ws, "sandbox.json", json, false, ctx);
}

enum err workspace_remove_record(struct workspace *ws, struct errctx *ctx)
{
    if (!workspace_is_held(ws))
        return lost_to_another(ws, ctx);
    if (unlinkat(ws->dir_fd, "sandbox.json", 0) == 0 || errno == ENOENT)
        return ERR_OK;
    return file_errno(ctx, "cannot remove sandbox.json");
}

/* ---- prepare ---- */

static enum err make_owned_dir(struct workspace *ws, const char *name, struct errctx *ctx)
{
    enum err e = file_make_dir(ws->dir_fd, name, 0700, ctx);
    if (e == ERR_OK && ws->own_user &&
        fchownat(ws->dir_fd, name, ws->uid, ws->gid, AT_SYMLINK_NOFOLLOW) != 0)
        return file_errno(ctx, "cannot give %s to its user", name);
    return e;
}

enum err workspace_prepare(struct workspace *ws, struct errctx *ctx)
{
    enum err e = workspace_user_find(ws, ctx);
    /* The agent's directory first: home's owner is what tells the user, so it completes the pair.
     */
    if (e == ERR_OK)
        e = make_owned_dir(ws, "agent", ctx);
    if (e == ERR_OK)
        e = make_owned_dir(ws, "home", ctx);
    return e;
}

/* ---- delete ---- */

static enum err mark_gone(struct workspace *ws, struct errctx *ctx)
{
    char gone[UUID_STR_LEN + 8];
    gone_name(&ws->id, gone);
    return file_write(
        ws->parent_fd, gone, "", 0, &(struct file_write){.mode = 0600, .durable = true}, ctx);
}

enum err workspace_delete(struct workspace *ws, struct errctx *ctx)
{
    struct uuid_str name = uuid_format(&ws->id);
    char trash[UUID_STR_LEN + 16];
    snprintf(trash, sizeof(trash), "%s.trash", name.s);

    /* The mark first; on a full disk there is room for it afterwards. */
    enum err marked = mark_gone(ws, ctx);
    if (marked != ERR_OK && marked != ERR_NO_SPACE)
        return marked;
    enum err e = file_remove_tree(ws->parent_fd, trash, ctx); /* what an earlier try has left */
    if (e != ERR_OK)
        return e;
    if (renameat(ws->parent_fd, name.s, ws->parent_fd, trash) != 0 && errno != ENOENT)
        return file_errno(ctx, "cannot remove workspace %s", name.s);
    e = file_remove_tree(ws->parent_fd, trash, ctx);
    return e == ERR_OK && marked != ERR_OK ? mark_gone(ws, ctx) : e;
}

enum err workspace_finish_delete(const char *data_dir, const struct uuid *id, struct errctx *ctx)
{
    char trash[UUID_STR_LEN + 16], path[4096];
    scoped_fd int parent_fd = -1;
    snprintf(path, sizeof(path), "%s/workspaces", data_dir);
    enum err e = file_open_dir(AT_FDCWD, path, &parent_fd, ctx);
    snprintf(trash, sizeof(trash), "%s.trash", uuid_format(id).s);
    if (e == ERR_OK)
        e = file_remove_tree(parent_fd, trash, ctx);
    /* Between the mark and the renaming: the directory itself is still there. */
    if (e == ERR_OK)
        e = file_remove_tree(parent_fd, uuid_format(id).s, ctx);
    return e;
}

void workspace_forget_gone(const char *data_dir)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/workspaces", data_dir);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t n = strlen(entry->d_name);
        struct stat st;
        if (n != UUID_STR_LEN + 5 || strcmp(entry->d_name + UUID_STR_LEN, ".gone") != 0)
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            time(NULL) - st.st_mtime > GONE_KEPT_S)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}
