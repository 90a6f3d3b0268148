/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file.h - files of other programs that are edited: all that is in them is kept, they are
 * the old one or the new one at every moment, and what does not change is not written.
 */
#ifndef AGENT_MCP_CONFIG_FILE_H
#define AGENT_MCP_CONFIG_FILE_H

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

#define CONFIG_FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* The file's content; empty when there is none.  ERR_IO, ERR_TOO_LARGE. */
enum err must_check config_read_text(const char *path, struct strbuf *ret_text, struct errctx *ctx);

/* The same as an object; ERR_INVALID when it is something else. */
enum err must_check config_read(const char *path, json_t **ret_object, struct errctx *ctx);

/* Mode 0600; directories that lack are made (0700); a link is followed. */
enum err must_check config_write_text(
    const char *path, const char *text, size_t n, struct errctx *ctx);
enum err must_check config_write(const char *path, const json_t *object, struct errctx *ctx);

/* The object at `key` of `parent`; made when there is none, or something else. */
json_t *config_object(json_t *parent, const char *key);

#endif
