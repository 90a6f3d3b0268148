/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - replacing, reading and removing, by descriptor.
 *
 * A tree is removed by flattening it: each directory found below the top is moved up to the top, so
 * a pass only ever looks one level deep and a tree of any depth costs two descriptors.
 */
#include "worker/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

void file_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

enum err file_errno(struct errctx *ctx, const char *fmt, ...)
{
    int number = errno;
    char text[180];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (number == ENOSPC || number == EDQUOT)
        return err_set(
            ctx, ERR_NO_SPACE, "%s: the disk is full; free some space and try again", text);
    return err_set(ctx, ERR_IO, "%s: %s", text, strerror(number));
}

enum err file_make_dir(int at_fd, const char *path, mode_t mode, struct errctx *ctx)
{
    if (mkdirat(at_fd, path, mode) == 0 || errno == EEXIST)
        return ERR_OK;
    return file_errno(ctx, "cannot make the directory %s", path);
}

enum err file_open_dir(int at_fd, const char *path, int *ret_fd, struct errctx *ctx)
{
    int fd = openat(at_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(ctx, ERR_NOT_FOUND, "there is no directory %s", path);
    if (fd < 0)
        return file_errno(ctx, "cannot open the directory %s", path);
    *ret_fd = fd;
    return ERR_OK;
}

/* ---- one file ---- */

enum err file_read(int dir_fd, const char *name, size_t max, struct strbuf *out, struct errctx *ctx)
{
    scoped_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(ctx, ERR_NOT_FOUND, "there is no file %s", name);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return file_errno(ctx, "cannot open %s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(ctx, ERR_INVALID, "%s is not a file", name);

    while (out->len < max) {
        char piece[8192];
        size_t want = max - out->len < sizeof(piece) ? max - out->len : sizeof(piece);
        ssize_t n = read(fd, piece, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_errno(ctx, "cannot read %s", name);
        if (n == 0)
            break;
        strbuf_add(out, piece, (size_t)n);
    }
    return ERR_OK;
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, data, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        data += written;
        n -= (size_t)written;
    }
    return true;
}

static enum err fill_and_name(int dir_fd, int fd, const char *temp, const char *name,
    const void *data, size_t n, const struct file_write *how, struct errctx *ctx)
{
    if (!write_all(fd, data, n) || fchmod(fd, how->mode) != 0)
        return file_errno(ctx, "cannot write %s", name);
    if (how->owned && fchown(fd, how->uid, how->gid) != 0)
        return file_errno(ctx, "cannot give %s to its user", name);
    if (how->durable && fsync(fd) != 0)
        return file_errno(ctx, "cannot write %s", name);
    /* A directory of that name can only be a stranger's. */
    if (renameat(dir_fd, temp, dir_fd, name) != 0) {
        if (errno != EISDIR && errno != ENOTEMPTY && errno != EEXIST)
            return file_errno(ctx, "cannot write %s", name);
        enum err e = file_remove_tree(dir_fd, name, ctx);
        if (e != ERR_OK)
            return e;
        if (renameat(dir_fd, temp, dir_fd, name) != 0)
            return file_errno(ctx, "cannot write %s", name);
    }
    if (how->durable && fsync(dir_fd) != 0)
        return file_errno(ctx, "cannot write %s", name);
    return ERR_OK;
}

enum err file_write(int dir_fd, const char *name, const void *data, size_t n,
    const struct file_write *how, struct errctx *ctx)
{
    uint64_t random;
    rng_bytes(&random, sizeof(random));
    char temp[64];
    snprintf(temp, sizeof(temp), ".%.24s.%016llx", name, (unsigned long long)random);

    scoped_fd int fd =
        openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_errno(ctx, "cannot write %s", name);
    enum err e = fill_and_name(dir_fd, fd, temp, name, data, n, how, ctx);
    if (e != ERR_OK)
        unlinkat(dir_fd, temp, 0);
    return e;
}

/* ---- trees ---- */

/* Opened for emptying: made readable and writable first if need be. */
static int open_for_removal(int dir_fd, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = openat(dir_fd, name, flags);
    if (fd >= 0)
        (void)fchmod(fd, 0700);
    return fd;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Move dir_fd/name to a free name in top_fd.  A file or full directory in the way: the next name.
 */
static bool lift(int dir_fd, const char *name, int top_fd, uint64_t *serial)
{
    for (int tries = 0; tries < 100000; tries++) {
        char target[40];
        snprintf(target, sizeof(target), "lifted.%llu", (unsigned long long)(*serial)++);
        if (renameat(dir_fd, name, top_fd, target) == 0)
            return true;
        if (errno == EACCES ||
            errno == EPERM) /* one must be able to write a directory to move it */
            (void)fchmodat(dir_fd, name, 0700, 0);
        else if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return false;
    }
    return false;
}

/* Empty the directory: files are unlinked, directories lifted to top_fd. */
static bool empty_dir(int fd, int top_fd, uint64_t *serial)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return false;
    }
    bool fine = true;
    for (struct dirent *entry; fine && (entry = readdir(dir)) != NULL;) {
        if (is_dot(entry->d_name))
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        fine = (errno == EISDIR || errno == EPERM) &&
               (unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) == 0 ||
                   lift(dirfd(dir), entry->d_name, top_fd, serial));
    }
    int number = errno;
    closedir(dir);
    errno = number;
    return fine;
}

/* One look at the top: what is a directory is emptied into the top and removed.  More to do? */
static bool flatten_once(int top_fd, uint64_t *serial, bool *ret_more)
{
    int scan_fd = openat(top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
    if (dir == NULL)
        return false;
    bool fine = true;
    *ret_more = false;
    for (struct dirent *entry; fine && (entry = readdir(dir)) != NULL;) {
        if (is_dot(entry->d_name))
            continue;
        *ret_more = true;
        if (unlinkat(top_fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (unlinkat(top_fd, entry->d_name, AT_REMOVEDIR) == 0)
            continue;
        int fd = open_for_removal(top_fd, entry->d_name);
        fine = fd >= 0 && empty_dir(fd, top_fd, serial) &&
               unlinkat(top_fd, entry->d_name, AT_REMOVEDIR) == 0;
    }
    int number = errno;
    closedir(dir);
    errno = number;
    return fine;
}

enum err file_remove_tree(int dir_fd, const char *name, struct errctx *ctx)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return ERR_OK;
    scoped_fd int top_fd = open_for_removal(dir_fd, name);
    if (top_fd < 0)
        return errno == ENOENT ? ERR_OK : file_errno(ctx, "cannot remove %s", name);

    uint64_t serial = 0;
    for (bool more = true; more;) {
        if (!flatten_once(top_fd, &serial, &more))
            return file_errno(ctx, "cannot remove what is in %s", name);
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return file_errno(ctx, "cannot remove %s", name);
    return ERR_OK;
}

char *file_find_program(const char *name)
{
    const char *path = getenv("PATH");
    char tried[4096];
    for (const char *p = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"; *p != '\0';) {
        size_t n = strcspn(p, ":");
        snprintf(tried, sizeof(tried), "%.*s/%s", (int)n, p, name);
        if (n > 0 && access(tried, X_OK) == 0)
            return mem_strdup(tried);
        p += n + (p[n] == ':');
    }
    return NULL;
}
