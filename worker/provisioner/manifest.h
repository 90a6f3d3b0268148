/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - what the agent is told: agent/manifest.json of a workspace. */
#ifndef WORKER_PROVISIONER_MANIFEST_H
#define WORKER_PROVISIONER_MANIFEST_H

#include "core/base/err.h"
#include "worker/provisioner/template.h"
#include "worker/provisioner/workspace.h"

/* Write it, readable for the workspace's user alone, and take away what the last build's agent left
 * as its sign of life. */
enum err must_check manifest_write(struct workspace *ws, const struct job_spec *spec,
    const struct template *t, struct errctx *ctx);

#endif
