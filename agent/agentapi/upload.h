/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload.h - files that people hand to the agent: out of a form, into a directory.
 *
 *   <uploads>/<16 hex digits of the content's SHA-256>/<name>
 */
#ifndef AGENT_AGENTAPI_UPLOAD_H
#define AGENT_AGENTAPI_UPLOAD_H

#include <stddef.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

#define UPLOAD_FILE_MAX  (10 * 1024 * 1024)
#define UPLOAD_FORM_MAX  (UPLOAD_FILE_MAX + 64 * 1024)
#define UPLOAD_TOTAL_MAX (512 * 1024 * 1024) /* of one life of the server */

struct upload_part {
    const char *name, *data; /* inside the body; the name without its NUL */
    size_t name_n, n;
};

/* The field `file` of a multipart form.  ERR_INVALID: the form is broken, or has no such field. */
enum err must_check upload_find(const char *content_type, const char *body, size_t n,
    struct upload_part *ret_part, struct errctx *ctx);

/* The last word of a path, without what a file system or a terminal takes amiss; never empty, "."
 * or "..", at most 200 bytes. */
void upload_name(const char *name, size_t n, struct strbuf *out);

/* Write it below `dir`; its path is appended to ret_path. */
enum err must_check upload_save(
    const char *dir, const struct upload_part *part, struct strbuf *ret_path, struct errctx *ctx);

#endif
