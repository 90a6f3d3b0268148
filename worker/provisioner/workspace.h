/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace.h - a workspace's directory: lock, fence, and the record of its sandbox.
 *
 *   <data_dir>/workspaces/<workspace_id>/home          the user's files, kept from build to build
 *                                       /agent         the agent's files, with manifest.json
 *                                       /lock          held (flock) while an action works here
 *                                       /fence.json    the newest lease that has acted here
 *                                       /sandbox.json  the sandbox that runs, if one does
 *                                       /sandbox.log   what the sandbox and its agent last had to
 * say <data_dir>/workspaces/<workspace_id>.gone          deleted: nothing may start here any more
 *
 * The lock is for two workers that both believe to have the workspace's job, or for its build after
 * the next.  Whoever waits for it has the newer lease, so the holder has lost its own and is about
 * to hear so; if it has not let go after LOCK_STALE_MS it does not run (stopped, cut off, a hanging
 * disk), and the lock is taken over: another file gets its name.  The old holder asks
 * workspace_check() before every step and touches nothing more.
 *
 * Which of two actions is the newer one?  Builds of a workspace are numbered upwards, and so are
 * the series of tries of a build; within a series the clean-up after a failed start comes after the
 * start; and the leases of one job have growing tokens.  An action first puts itself into
 * fence.json, durably; one that finds a newer one there is stale and changes nothing.
 *
 * A pool thread opens a workspace, works on it, and frees it.
 */
#ifndef WORKER_PROVISIONER_WORKSPACE_H
#define WORKER_PROVISIONER_WORKSPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"
#include "worker/provisioner/process.h"
#include "worker/provisioner/provisioner.h"

#define LOCK_STALE_MS       2000
#define WORKSPACE_UID_FIRST 200000
#define WORKSPACE_UID_LAST  1999999999

struct workspace {
    struct uuid id;
    char *data_dir;
    int parent_fd; /* <data_dir>/workspaces */
    int dir_fd;
    int lock_fd;
    uid_t uid; /* host user of the sandbox */
    gid_t gid;
    bool own_user; /* nobody else has that uid */
};

/* What sandbox.json says.  pid 0: about to start, or its worker died before it knew. */
struct sandbox_record {
    struct uuid build_id;
    struct uuid boot_id;
    unsigned build_number;
    uint64_t token;
    int64_t grace_ms;
    struct process init;
};

/*
 * Open and lock.  Waits for another action that is under way here, up to lock_wait_ms
 * (ERR_TIMEOUT) or until the call changes.  With `make` a missing one is made, else *ret_ws is NULL
 * when it is not there.  ERR_LEASE_LOST when it was deleted and `make` is asked.
 */
enum err must_check workspace_open(const char *data_dir, const struct job_spec *spec, bool make,
    int64_t lock_wait_ms, struct job_io *io, struct workspace **ret_ws, struct errctx *ctx);
/* It was deleted; nothing may start there any more. */
bool workspace_is_gone(const char *data_dir, const struct uuid *id);
/* Before a step that touches something: ERR_LEASE_LOST when the job was given to another worker, or
 * the lock taken over.  A canceled job may go on: it has to clear up. */
bool workspace_is_held(const struct workspace *ws);
enum err must_check workspace_check(struct workspace *ws, struct job_io *io, struct errctx *ctx);
void workspace_free(struct workspace *ws);
DEFINE_SCOPED(struct workspace, workspace_free)

/* Say, durably, that this job's lease acts here now; ERR_LEASE_LOST when a newer one has been here.
 */
enum err must_check workspace_fence(
    struct workspace *ws, const struct job_spec *spec, struct errctx *ctx);

/* Make home and agent directories where missing and find out the workspace's user. */
enum err must_check workspace_prepare(struct workspace *ws, struct errctx *ctx);

/* *ret_present false: none.  A damaged record counts as one with pid 0. */
enum err must_check workspace_load_record(
    struct workspace *ws, struct sandbox_record *ret_record, bool *ret_present, struct errctx *ctx);
enum err must_check workspace_save_record(
    struct workspace *ws, const struct sandbox_record *record, struct errctx *ctx);
enum err must_check workspace_remove_record(struct workspace *ws, struct errctx *ctx);

/* Remove the directory and all in it, and remember that it is gone. */
enum err must_check workspace_delete(struct workspace *ws, struct errctx *ctx);

/* For one that is marked gone: remove what an interrupted delete has left. */
enum err must_check workspace_finish_delete(
    const char *data_dir, const struct uuid *id, struct errctx *ctx);

/* Forget deletions that are older than a day.  At start. */
void workspace_forget_gone(const char *data_dir);

#endif
