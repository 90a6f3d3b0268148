/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - directories made, filled, and removed. */
#include "worker/provisioner/terraform/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"

#define LOCK_WAIT_MS  120000
#define LOCK_AGAIN_MS 100
#define DEPTH_MAX     64
#define STATE_BYTES   (128 * 1024 * 1024)

/* State stays here, whatever backend the template names: the scheduler keeps it. */
#define OVERRIDE      "stint_backend_override.tf"
#define OVERRIDE_TEXT "terraform {\n  backend \"local\" {}\n}\n"

/* ---- copying ---- */

static enum err copy_file(int from, int to_dir, const char *name, mode_t mode, struct errctx *ctx)
{
    scoped_fd int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd int out =
        in < 0 ? -1
               : openat(to_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out < 0)
        return file_errno(ctx, "cannot copy the template's %.100s", name);
    for (;;) {
        ssize_t n = sendfile(out, in, NULL, 1 << 20);
        if (n < 0 && errno != EINTR)
            return file_errno(ctx, "cannot copy the template's %.100s", name);
        if (n == 0)
            return ERR_OK;
    }
}

static enum err copy_link(int from, int to_dir, const char *name, struct errctx *ctx)
{
    char target[4096];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n >= 0)
        target[n] = '\0';
    if (n < 0 || symlinkat(target, to_dir, name) != 0)
        return file_errno(ctx, "cannot copy the template's %.100s", name);
    return ERR_OK;
}

static enum err copy_dir(int from, int to, int depth, struct errctx *ctx);

static enum err copy_entry(int from, int to, const char *name, int depth, struct errctx *ctx)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return file_errno(ctx, "cannot read the template's %.100s", name);
    if (S_ISLNK(st.st_mode))
        return copy_link(from, to, name, ctx);
    if (S_ISREG(st.st_mode))
        return copy_file(from, to, name, st.st_mode & 0755, ctx);
    if (!S_ISDIR(st.st_mode))
        return ERR_OK;
    if (mkdirat(to, name, 0755) != 0 && errno != EEXIST)
        return file_errno(ctx, "cannot copy the template's %.100s", name);
    scoped_fd int in = -1, out = -1;
    enum err e = file_open_dir(from, name, &in, ctx);
    if (e == ERR_OK)
        e = file_open_dir(to, name, &out, ctx);
    return e == ERR_OK ? copy_dir(in, out, depth + 1, ctx) : e;
}

/* A pushed directory may hold what a Terraform of its owner has left there. */
static bool is_stray(const char *name, int depth)
{
    static const char *const strays[] = {".", "..", ".terraform", PLACE_STATE,
        PLACE_STATE ".backup", ".terraform.tfstate.lock.info"};
    for (size_t i = 0; i < (depth == 0 ? COUNT(strays) : 2); i++)
        if (strcmp(name, strays[i]) == 0)
            return true;
    return false;
}

static enum err copy_dir(int from, int to, int depth, struct errctx *ctx)
{
    int again = depth < DEPTH_MAX ? dup(from) : -1;
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (dir == NULL) {
        file_closep(&again);
        return err_set(ctx, ERR_TOO_LARGE, "the template's directories are too deep to copy");
    }
    enum err e = ERR_OK;
    struct dirent *d;
    rewinddir(dir);
    while (e == ERR_OK && (d = readdir(dir)) != NULL)
        if (!is_stray(d->d_name, depth))
            e = copy_entry(from, to, d->d_name, depth, ctx);
    closedir(dir);
    return e;
}

enum err place_copy_tree(int from_fd, int to_fd, struct errctx *ctx)
{
    return copy_dir(from_fd, to_fd, 0, ctx);
}

/* ---- files of src/ ---- */

static enum err open_src(const struct run *r, int *ret_fd, struct errctx *ctx)
{
    char path[1100];
    snprintf(path, sizeof(path), "%s/src", r->place.dir);
    return file_open_dir(AT_FDCWD, path, ret_fd, ctx);
}

enum err place_write(
    struct run *r, const char *name, const void *data, size_t n, struct errctx *ctx)
{
    scoped_fd int fd = -1;
    const struct file_write how = {.mode = 0600};
    enum err e = open_src(r, &fd, ctx);
    return e == ERR_OK ? file_write(fd, name, data, n, &how, ctx) : e;
}

enum err place_read(const struct run *r, const char *name, struct strbuf *out, struct errctx *ctx)
{
    scoped_fd int fd = -1;
    enum err e = open_src(r, &fd, ctx);
    return e == ERR_OK ? file_read(fd, name, STATE_BYTES, out, ctx) : e;
}

enum err place_fill(struct run *r, const char *template_dir, struct errctx *ctx)
{
    scoped_fd int from = -1, to = -1;
    enum err e = open_src(r, &to, ctx);
    if (e == ERR_OK && template_dir[0] != '\0') {
        e = file_open_dir(AT_FDCWD, template_dir, &from, ctx);
        if (e == ERR_OK)
            e = place_copy_tree(from, to, ctx);
    }
    if (e == ERR_OK)
        e = place_write(r, OVERRIDE, OVERRIDE_TEXT, sizeof(OVERRIDE_TEXT) - 1, ctx);
    return e;
}

/* ---- the directory ---- */

static enum err lock(struct run *r, const char *name, struct errctx *ctx)
{
    char path[1300];
    snprintf(path, sizeof(path), "%s/work/%s.lock", r->tf->root, name);
    for (int waited = 0;; waited += LOCK_AGAIN_MS) {
        scoped_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat ours, there;
        if (fd < 0)
            return file_errno(ctx, "cannot make %s", path);
        /* Held, and not the one that its last holder has just removed. */
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
            ours.st_ino == there.st_ino) {
            r->place.lock_fd = fd;
            fd = -1;
            return ERR_OK;
        }
        enum err e = job_io_check(r->io, ctx);
        if (e != ERR_OK)
            return e;
        if (waited >= LOCK_WAIT_MS)
            return err_set(ctx, ERR_TIMEOUT, "another worker of this host is at this workspace");
        job_io_wait(r->io, -1, LOCK_AGAIN_MS);
    }
}

static void read_left(const char *dir, struct strbuf *ret_left, uint64_t *ret_after)
{
    struct errctx ctx;
    struct strbuf mark;
    scoped_fd int fd = -1, src = -1;
    strbuf_init(&mark);
    *ret_after = 0;
    if (file_open_dir(AT_FDCWD, dir, &fd, &ctx) == ERR_OK &&
        file_read(fd, "mark", 64, &mark, &ctx) == ERR_OK &&
        file_open_dir(fd, "src", &src, &ctx) == ERR_OK &&
        file_read(src, PLACE_STATE, STATE_BYTES, ret_left, &ctx) == ERR_OK)
        *ret_after = strtoull(mark.s, NULL, 10);
    strbuf_done(&mark);
}

enum err place_make(struct run *r, struct errctx *ctx)
{
    static const char *const dirs[] = {"src", "home", "tmp"};
    const char *name = strrchr(r->place.dir, '/') + 1;
    char path[1100];
    snprintf(path, sizeof(path), "%s/work", r->tf->root);
    scoped_fd int work = -1, fd = -1;
    enum err e = file_open_dir(AT_FDCWD, path, &work, ctx);
    if (e == ERR_OK)
        e = file_remove_tree(work, name, ctx);
    if (e == ERR_OK)
        e = file_make_dir(work, name, 0700, ctx);
    if (e == ERR_OK)
        e = file_open_dir(work, name, &fd, ctx);
    for (size_t i = 0; e == ERR_OK && i < COUNT(dirs); i++)
        e = file_make_dir(fd, dirs[i], 0700, ctx);
    return e;
}

enum err place_open(struct run *r, const struct uuid *id, struct strbuf *ret_left,
    uint64_t *ret_left_after, struct errctx *ctx)
{
    struct uuid_str name = uuid_format(id);
    r->place.lock_fd = -1;
    snprintf(r->place.dir, sizeof(r->place.dir), "%s/work/%s", r->tf->root, name.s);
    enum err e = lock(r, name.s, ctx);
    if (e != ERR_OK)
        return e;
    read_left(r->place.dir, ret_left, ret_left_after);
    return ERR_OK;
}

void place_close(struct run *r, bool keep)
{
    if (r->place.lock_fd < 0)
        return;
    char path[1100];
    struct errctx ctx;
    snprintf(path, sizeof(path), "%s.lock", r->place.dir);
    if (!keep) {
        enum err ignored = file_remove_tree(AT_FDCWD, r->place.dir, &ctx);
        (void)ignored;
        unlink(path);
    }
    file_closep(&r->place.lock_fd);
    r->place.lock_fd = -1;
}

enum err place_mark(struct run *r, uint64_t version, struct errctx *ctx)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)version);
    scoped_fd int fd = -1;
    const struct file_write how = {.mode = 0600};
    enum err e = file_open_dir(AT_FDCWD, r->place.dir, &fd, ctx);
    return e == ERR_OK ? file_write(fd, "mark", text, (size_t)n, &how, ctx) : e;
}

void place_note_done(const struct run *r, const char *address)
{
    char path[1100];
    snprintf(path, sizeof(path), "%s/done", r->place.dir);
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) /* one that is not noted is made anew: no harm */
        dprintf(fd, "%s\n", address);
}

void place_read_done(const struct run *r, struct strbuf *ret_lines)
{
    struct errctx ctx;
    scoped_fd int fd = -1;
    enum err e = file_open_dir(AT_FDCWD, r->place.dir, &fd, &ctx);
    if (e == ERR_OK)
        e = file_read(fd, "done", 1 << 20, ret_lines, &ctx);
    (void)e;
}
