/* SPDX-License-Identifier: Apache-2.0 */
/* local.h - the `local` provisioner: workspaces are bubblewrap sandboxes on this host. */
#ifndef WORKER_PROVISIONER_LOCAL_H
#define WORKER_PROVISIONER_LOCAL_H

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "worker/provisioner/provisioner.h"

struct local_conf {
    const char *data_dir;    /* absolute; its folders exist */
    const char *agent_path;  /* stint-agent */
    const char *mounts;      /* "name=/dir,name2=/dir2", may be NULL */
    const char *secrets_dir; /* secrets.h; may be NULL */
};

struct local;

/* Checks the machine: ERR_UNAVAILABLE when bubblewrap or the agent's binary is missing, ERR_CONFIG
 * for mounts that do not parse.  Strings of conf are copied. */
enum err must_check local_new(
    const struct local_conf *conf, struct local **ret_local, struct errctx *ctx);
void local_free(struct local *l);
DEFINE_SCOPED(struct local, local_free)

struct provisioner local_provisioner(struct local *l);
/* One line for the log: how limits are upheld here. */
const char *local_limits_text(const struct local *l);

#endif
