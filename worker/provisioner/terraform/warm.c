/* SPDX-License-Identifier: Apache-2.0 */
/* warm.c - `init`, once. */
#include "worker/provisioner/terraform/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "worker/file.h"
#include "worker/provisioner/terraform/place.h"

#define STAGE         "Initializing Terraform Directory"
#define LOCK_FILE     ".terraform.lock.hcl"
#define AGAIN_MS      100
#define WARM_MAX      64
#define LEFT_OVER_SEC 86400

static void dir_of(const struct run *r, const struct uuid *file_id, char *buf, size_t size)
{
    snprintf(buf, size, "%s/warm/%s", r->tf->root, uuid_format(file_id).s);
}

/* One `init` at a time on this host. */
static enum err lock(struct run *r, int *ret_fd, struct errctx *ctx)
{
    char path[1100];
    snprintf(path, sizeof(path), "%s/init.lock", r->tf->root);
    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*ret_fd < 0)
        return file_errno(ctx, "cannot make %s", path);
    while (flock(*ret_fd, LOCK_EX | LOCK_NB) != 0) {
        enum err e = job_io_check(r->io, ctx);
        if (e != ERR_OK)
            return e;
        job_io_wait(r->io, -1, AGAIN_MS);
    }
    return ERR_OK;
}

static enum err init(struct run *r, struct errctx *ctx)
{
    static const char *const args[] = {"init", "-input=false", "-no-color", "-json", NULL};
    struct command c = {.stage = STAGE, .args = args, .warm_writes = true};
    r->place.warm[0] = '\0';
    return run_command(r, &c, ctx);
}

/* ---- keeping ---- */

/* The lock file says which versions `init` has chosen; builds want it beside the template. */
static enum err keep_lock_file(struct run *r, int to, struct errctx *ctx)
{
    struct strbuf text;
    const struct file_write how = {.mode = 0644};
    strbuf_init(&text);
    enum err e = place_read(r, LOCK_FILE, &text, ctx);
    if (e == ERR_OK)
        e = file_write(to, LOCK_FILE, text.s, text.len, &how, ctx);
    else if (e == ERR_NOT_FOUND) /* a template without providers has none */
        e = ERR_OK;
    strbuf_done(&text);
    return e;
}

static enum err keep(struct run *r, const char *warm, struct errctx *ctx)
{
    char from[1100], made[1300], to[1400];
    snprintf(from, sizeof(from), "%s/src/.terraform", r->place.dir);
    snprintf(made, sizeof(made), "%s.new", warm);
    snprintf(to, sizeof(to), "%s/.terraform", made);
    scoped_fd int fd = -1;
    enum err e = file_remove_tree(AT_FDCWD, made, ctx);
    if (e == ERR_OK)
        e = file_make_dir(AT_FDCWD, made, 0755, ctx);
    if (e == ERR_OK)
        e = file_open_dir(AT_FDCWD, made, &fd, ctx);
    if (e == ERR_OK && rename(from, to) != 0 && mkdir(to, 0755) != 0)
        e = file_errno(ctx, "cannot keep what init has made");
    if (e == ERR_OK)
        e = keep_lock_file(r, fd, ctx);
    if (e == ERR_OK && rename(made, warm) != 0 && errno != EEXIST && errno != ENOTEMPTY)
        e = file_errno(ctx, "cannot keep what init has made");
    return e;
}

/* ---- using ---- */

static enum err use(struct run *r, const char *warm, struct errctx *ctx)
{
    char from[1300], to[1100];
    struct strbuf text;
    strbuf_init(&text);
    scoped_fd int fd = -1;
    snprintf(r->place.warm, sizeof(r->place.warm), "%s", warm);
    snprintf(from, sizeof(from), "%s/.terraform", warm);
    snprintf(to, sizeof(to), "%s/src/.terraform", r->place.dir);
    enum err e = file_open_dir(AT_FDCWD, warm, &fd, ctx);
    if (e == ERR_OK)
        futimens(fd, NULL); /* used now */
    if (e == ERR_OK && symlink(from, to) != 0)
        e = file_errno(ctx, "cannot use what init has made");
    if (e == ERR_OK && file_read(fd, LOCK_FILE, 1 << 20, &text, ctx) == ERR_OK)
        e = place_write(r, LOCK_FILE, text.s, text.len, ctx);
    strbuf_done(&text);
    return e;
}

static enum err init_and_keep(struct run *r, const char *warm, struct errctx *ctx)
{
    scoped_fd int fd = -1;
    enum err e = lock(r, &fd, ctx);
    if (e != ERR_OK || access(warm, F_OK) == 0) /* somebody was first */
        return e;
    run_line(r, LOG_INFO, STAGE, "Initialising the template, for the first time on this host");
    e = init(r, ctx);
    return e == ERR_OK ? keep(r, warm, ctx) : e;
}

enum err warm_up(struct run *r, const struct uuid *file_id, struct errctx *ctx)
{
    char warm[1200];
    enum err e = ERR_OK;
    dir_of(r, file_id, warm, sizeof(warm));
    if (access(warm, F_OK) != 0)
        e = init_and_keep(r, warm, ctx);
    return e == ERR_OK ? use(r, warm, ctx) : e;
}

enum err warm_once(struct run *r, struct errctx *ctx)
{
    scoped_fd int fd = -1;
    enum err e = lock(r, &fd, ctx);
    return e == ERR_OK ? init(r, ctx) : e;
}

/* ---- sweeping ---- */

struct entry {
    char *name;
    time_t used;
};

static int by_use(const void *a, const void *b)
{
    time_t x = ((const struct entry *)a)->used, y = ((const struct entry *)b)->used;
    return (x < y) - (x > y); /* newest first */
}

typedef VEC(struct entry) entry_vec;

static void list(const char *path, entry_vec *out)
{
    DIR *dir = opendir(path);
    struct dirent *d;
    while (dir != NULL && (d = readdir(dir)) != NULL) {
        struct stat st;
        if (d->d_name[0] != '.' && fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            *vec_push(out) = (struct entry){mem_strdup(d->d_name), st.st_mtime};
    }
    if (dir != NULL)
        closedir(dir);
}

static void sweep(const char *root, const char *folder, size_t keep_max, time_t older_than)
{
    char path[1100];
    entry_vec entries = {0};
    scoped_fd int fd = -1;
    struct errctx ctx;
    snprintf(path, sizeof(path), "%s/%s", root, folder);
    list(path, &entries);
    if (entries.n > 1)
        qsort(entries.v, entries.n, sizeof(*entries.v), by_use);
    enum err e = file_open_dir(AT_FDCWD, path, &fd, &ctx);
    for (size_t i = 0; i < entries.n; i++) {
        if (e == ERR_OK && i >= keep_max && entries.v[i].used < older_than)
            e = file_remove_tree(fd, entries.v[i].name, &ctx);
        free(entries.v[i].name);
    }
    vec_done(&entries);
}

void warm_sweep(const struct terraform *t)
{
    time_t now = time(NULL);
    sweep(t->root, "warm", WARM_MAX, now - 3600); /* none that a build may be using */
    sweep(t->root, "work", 0, now - LEFT_OVER_SEC);
}
