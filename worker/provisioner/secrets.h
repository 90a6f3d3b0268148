/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets.h - secrets by reference: a template names them, the worker's host has them.
 *
 * The setting secrets_dir is a directory with one file per secret, named as templates name it
 * ([a-z0-9-]{1,64}), readable by the worker's user alone, at most 64 KiB of UTF-8.  The value is
 * the file's content without its last newline.  All that a template names is at most 1 MiB.
 *
 * A value goes from that file into a file in memory and from there into the sandbox; it is in no
 * table, on no command line, in no manifest and in no log line, and on no disk but the one it came
 * from.
 */
#ifndef WORKER_PROVISIONER_SECRETS_H
#define WORKER_PROVISIONER_SECRETS_H

#include "core/base/err.h"
#include "worker/provisioner/template.h"

#define SECRETS_FILE "/run/stint/secrets.json" /* in the sandbox */

/* Does the template name any? */
bool secrets_are_named(const struct template *t);

/*
 * {"VARIABLE": "value", ...} of all that the template names, in a file in memory that the caller
 * closes.  `dir` may be NULL: there are none here.  A missing one that is not optional, or one that
 * cannot be used, is ERR_CONFIG with a sentence that names it and the setting.
 */
enum err must_check secrets_open(
    const char *dir, const struct template *t, int *ret_fd, struct errctx *ctx);

/* What secrets_open() would complain of now, told for each secret instead. */
void secrets_look(const char *dir, const struct template *t, template_warn_fn warn, void *arg);

#endif
