/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: written beside, synced, renamed, and the directory synced after. */
#include "agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum err file_err(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? ERR_NO_SPACE : ERR_IO;
}

enum err file_open_dir(const char *path, int *ret_fd, struct errctx *ctx)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(ctx, ERR_IO, "%s: %s", path, strerror(errno));
    *ret_fd = fd;
    return ERR_OK;
}

enum err file_read(
    int dir, const char *name, size_t bytes_max, struct strbuf *out, struct errctx *ctx)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(
            ctx, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", name, strerror(errno));
    char block[16 * 1024];
    ssize_t n;
    size_t total = 0;
    while ((n = read(fd, block, sizeof(block))) > 0 && (total += (size_t)n) <= bytes_max)
        strbuf_add(out, block, (size_t)n);
    int error = errno;
    close(fd);
    if (n < 0)
        return err_set(ctx, ERR_IO, "%s: %s", name, strerror(error));
    if (total > bytes_max)
        return err_set(ctx, ERR_TOO_LARGE, "%s: larger than %zu bytes", name, bytes_max);
    return ERR_OK;
}

enum err file_write(int fd, const void *data, size_t n, struct errctx *ctx)
{
    const char *p = data;
    while (n > 0) {
        ssize_t written = write(fd, p, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return err_set(ctx, file_err(errno), "write: %s", strerror(errno));
        p += written;
        n -= (size_t)written;
    }
    return ERR_OK;
}

static void name_of_new(const char *name, char *ret_name, size_t size)
{
    snprintf(ret_name, size, "%s.new", name);
}

enum err file_begin(int dir, const char *name, int *ret_fd, struct errctx *ctx)
{
    char name_new[64];
    name_of_new(name, name_new, sizeof(name_new));
    int fd = openat(dir, name_new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(ctx, file_err(errno), "%s: %s", name_new, strerror(errno));
    *ret_fd = fd;
    return ERR_OK;
}

enum err file_finish(int dir, const char *name, int fd, struct errctx *ctx)
{
    char name_new[64];
    name_of_new(name, name_new, sizeof(name_new));
    if (fsync(fd) != 0 || renameat(dir, name_new, dir, name) != 0 || fsync(dir) != 0)
        return err_set(ctx, file_err(errno), "%s: %s", name, strerror(errno));
    return ERR_OK;
}

enum err file_replace(int dir, const char *name, const void *data, size_t n, struct errctx *ctx)
{
    int fd;
    enum err e = file_begin(dir, name, &fd, ctx);
    if (e != ERR_OK)
        return e;
    e = file_write(fd, data, n, ctx);
    if (e == ERR_OK)
        e = file_finish(dir, name, fd, ctx);
    close(fd);
    return e;
}
