/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - files and directory trees, held by descriptor so that nobody can swap them underneath.
 *
 * What lies in a workspace was written by strangers: nothing here follows a link that it finds.
 */
#ifndef WORKER_FILE_H
#define WORKER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"

/* Scope-bound descriptor: scoped_fd int fd = -1; */
void file_closep(int *fd);
#define scoped_fd scoped(file_closep)

/* The current errno as an outcome: a full disk is ERR_NO_SPACE and says what to do, the rest is
 * ERR_IO.  The text is the formatted one, followed by the system's words. */
enum err file_errno(struct errctx *ctx, const char *fmt, ...) printf_like(2, 3);

/* Make the directory if it is not there (its parent exists). */
enum err must_check file_make_dir(int at_fd, const char *path, mode_t mode, struct errctx *ctx);

/* A directory that is no link. */
enum err must_check file_open_dir(int at_fd, const char *path, int *ret_fd, struct errctx *ctx);

/* At most `max` bytes of a regular file that is no link.  ERR_NOT_FOUND when it is not there. */
enum err must_check file_read(
    int dir_fd, const char *name, size_t max, struct strbuf *out, struct errctx *ctx);

struct file_write {
    mode_t mode;
    bool owned; /* give it to uid and gid */
    uid_t uid;
    gid_t gid;
    bool durable; /* on disk, name and all, before this returns */
};
/* Replace `name` in one step: readers see the old content or the new. */
enum err must_check file_write(int dir_fd, const char *name, const void *data, size_t n,
    const struct file_write *how, struct errctx *ctx);

/*
 * Remove `name`, file or tree; fine when it is not there.  Follows no link, leaves no mount, and
 * needs neither stack nor descriptors in proportion to the depth of the tree.
 */
enum err must_check file_remove_tree(int dir_fd, const char *name, struct errctx *ctx);

/* The first of that name on the PATH that can be run, malloc'd; NULL: there is none. */
char *file_find_program(const char *name);

#endif
