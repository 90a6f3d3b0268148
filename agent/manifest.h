/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - what the provisioner tells the agent: who it is, what to run, with which prompt.
 *
 * One JSON object; every key is required unless it says otherwise.  Unknown keys are passed over,
 * so that an older agent serves a newer provisioner.  No NUL can be in any text: JSON's \u0000 is
 * refused.
 *
 *   version         1
 *   agent_id, agent_token, task_id, workspace_id, build_id      uuids
 *   task_name, workspace_name, owner_name, template_name        not empty
 *   build_number    1 or more
 *   app_slug        not empty
 *   command         array of at least one text; the first is not empty
 *   env             object of texts; optional
 *   dir             absolute path; optional, /home/agent
 *   prompt          up to 1 MiB; may be empty
 *   grace_ms        0 to 3,600,000; optional, 10,000
 *   workers_dir     absolute path; optional, /run/stint/workers
 */
#ifndef AGENT_MANIFEST_H
#define AGENT_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"

struct env_pair {
    char *name, *value;
};

struct manifest {
    struct uuid agent_id, task_id, workspace_id, build_id;
    char *agent_token; /* a secret: never logged */
    char *task_name, *workspace_name, *owner_name, *template_name, *app_slug;
    int64_t build_number;
    char **command; /* NULL at the end */
    struct env_pair *env;
    size_t n_env;
    char *dir;
    char *prompt;
    int64_t grace_ms;
    char *workers_dir;
};

/* ERR_CONFIG with a sentence that names the key; ERR_NOT_FOUND or ERR_IO for the file itself. */
enum err must_check manifest_load(
    const char *path, struct manifest **ret_manifest, struct errctx *ctx);
/* The same from text of `n` bytes. */
enum err must_check manifest_parse(
    const char *json, size_t n, struct manifest **ret_manifest, struct errctx *ctx);
void manifest_free(struct manifest *m);
DEFINE_SCOPED(struct manifest, manifest_free)

#endif
