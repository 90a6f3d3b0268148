/* SPDX-License-Identifier: Apache-2.0 */
/* workspace_user.h - the host user of a workspace's sandbox. */
#ifndef WORKER_PROVISIONER_WORKSPACE_USER_H
#define WORKER_PROVISIONER_WORKSPACE_USER_H

#include "worker/provisioner/workspace.h"

/*
 * Set ws->uid, ws->gid and ws->own_user.  A worker that is root gives each workspace a user of its
 * own: the owner of its home directory, or for a new one the next number of <data_dir>/next_uid,
 * which all workers of the host share.  Any other worker has only itself to offer.
 */
enum err must_check workspace_user_find(struct workspace *ws, struct errctx *ctx);

#endif
