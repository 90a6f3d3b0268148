/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor.h - the agent itself: pid 1 of the sandbox, from the manifest to "off".
 *
 *   <state dir>   where the manifest is; kept over builds: reports, turns.json, started
 *   <run dir>     0700, gone with the sandbox: agent.sock, prompt-N
 *
 * The state dir's file "started" holds the build id, and nothing else, once this build's agent
 * runs: that is how the provisioner knows that the start has succeeded.
 */
#ifndef AGENT_SUPERVISOR_H
#define AGENT_SUPERVISOR_H

#include "core/base/err.h"

struct peers_conf;

struct supervisor_options {
    const char *manifest;
    const char *run_dir;
    /* Of an agent that lives elsewhere; NULL: workers_dir of the manifest. */
    const struct peers_conf *peers;
};

/* Returns when the agent has been told to stop and has stopped in order (ERR_OK), or could not be
 * started. */
enum err must_check supervisor_run(const struct supervisor_options *options, struct errctx *ctx);

#endif
