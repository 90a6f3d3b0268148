/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - small files that are whole or not there.
 *
 * Directories are open file descriptors: what the agent keeps stays where it was opened.
 */
#ifndef AGENT_FILE_H
#define AGENT_FILE_H

#include <stddef.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

enum err must_check file_open_dir(const char *path, int *ret_fd, struct errctx *ctx);

/* Append the file's content to `out`.  ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_IO. */
enum err must_check file_read(
    int dir, const char *name, size_t bytes_max, struct strbuf *out, struct errctx *ctx);

/* Replace `name` (mode 0600) in one step; on disk when this returns: a reader, or the next start
 * after a power cut, finds the old content or the new one.  ERR_NO_SPACE, ERR_IO. */
enum err must_check file_replace(
    int dir, const char *name, const void *data, size_t n, struct errctx *ctx);

/* The two halves of it, for content that is written in pieces: `name`.new, open for reading and
 * writing, and its move to `name`. */
enum err must_check file_begin(int dir, const char *name, int *ret_fd, struct errctx *ctx);
enum err must_check file_finish(int dir, const char *name, int fd, struct errctx *ctx);

/* All of it, whatever signals and short writes say. */
enum err must_check file_write(int fd, const void *data, size_t n, struct errctx *ctx);

/* ERR_NO_SPACE for a full disk or quota, else ERR_IO. */
enum err file_err(int error);

#endif
