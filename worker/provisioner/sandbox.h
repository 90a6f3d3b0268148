/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - one workspace's sandbox: is it running, start it, stop it.  All are called with the
 * workspace locked, on a pool thread.
 *
 *            sandbox.json: pid 0          pid known            file "started" has the build
 *   (none) ---------------------> starting --------> running ---------------------------> up
 *      ^                             |                  |                                  |
 *      |                             v                  v                                  v
 *      +-------------------------- stop: SIGTERM, grace, SIGKILL, all gone ----------------+
 *
 * A worker that dies in "starting" leaves a sandbox whose pid nobody wrote down; it is found by its
 * supervisor's title.
 */
#ifndef WORKER_PROVISIONER_SANDBOX_H
#define WORKER_PROVISIONER_SANDBOX_H

#include <stdbool.h>

#include "core/base/err.h"
#include "worker/provisioner/bwrap.h"
#include "worker/provisioner/cgroup.h"
#include "worker/provisioner/workspace.h"

/* What the sandboxes of this host have in common. */
struct sandbox_host {
    struct bwrap bwrap;
    struct cgroup cgroup;
    char *data_dir;
    char *agent_path;
};

struct sandbox_order {
    const struct job_spec *spec;
    const struct template *template;
    const char *const
        *mount_from; /* per template mount: the host's directory, NULL to leave it out */
    int secrets_fd;  /* from secrets_open(), borrowed; -1: none */
};

/* The sandbox that runs now, whatever build it is of; *ret_running false when none does.  Its
 * record's pid is known afterwards. */
enum err must_check sandbox_find(
    struct workspace *ws, struct sandbox_record *ret_record, bool *ret_running, struct errctx *ctx);

/*
 * Start it and fill `record`.  The manifest lies in the agent's directory already.  On failure it
 * may be half there: sandbox_stop() clears up.
 */
enum err must_check sandbox_start(struct sandbox_host *host, struct workspace *ws,
    const struct sandbox_order *order, struct sandbox_record *record, struct job_io *io,
    struct errctx *ctx);

/* Wait until the agent says that it has started this build, up to wait_ms (ERR_TIMEOUT). */
enum err must_check sandbox_await(struct workspace *ws, const struct sandbox_record *record,
    int64_t wait_ms, struct job_io *io, struct errctx *ctx);

/*
 * SIGTERM, up to the record's grace time, SIGKILL, until no process is left; then forget it.  With
 * `at_once`, or when the job is canceled meanwhile, SIGKILL comes at once.  An abandoned job stops
 * waiting and leaves everything as it is (ERR_LEASE_LOST).
 */
enum err must_check sandbox_stop(struct sandbox_host *host, struct workspace *ws,
    const struct sandbox_record *record, bool at_once, struct job_io *io, struct errctx *ctx);

/* The last line that the sandbox and its agent wrote, "" when none; returns buf. */
const char *sandbox_last_words(struct workspace *ws, char *buf, size_t size);

#endif
