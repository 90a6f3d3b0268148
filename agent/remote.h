/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h - the agent of a workspace that no worker has made: it asks the gateway who it is.
 *
 *   GET <url>/api/stint/v1/agent/manifest, with the token, until the gateway knows it
 *      -> <state dir>/<workspace id>/manifest.json, which the supervisor then runs from
 *
 * What the manifest says in terms of the machine is put into its terms here: "~" and $VARIABLES in
 * directories, values of the environment and paths of logs; scripts, which are texts, become
 * commands (by their "#!" line, else with the user's shell).
 *
 * The state dir is the first of these that can be written: the one given, $HOME/.stint-agent,
 * /tmp/stint-agent-<uid>.  With a home that is kept over builds, reports that could not be handed
 * over before a stop are handed over after the next start.
 */
#ifndef AGENT_REMOTE_H
#define AGENT_REMOTE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/base/cleanup.h"
#include "core/base/err.h"

struct remote_options {
    const char *url;
    const char *token;
    const char *state_dir; /* NULL: as above */
    const char *run_dir;   /* NULL: in the state dir, or in /tmp when its path is too long */
};

struct remote {
    char *url; /* without a '/' at its end */
    char *manifest, *run_dir;
    bool run_dir_is_in_tmp; /* taken away by remote_done() */
    json_t *workers;
};

/* Asks until there is an answer; SIGTERM ends that with ERR_CANCELED.  Sets HOME, PATH and what
 * else scripts rely on in this process's environment.  ERR_USAGE for a bad URL or token. */
enum err must_check remote_prepare(
    const struct remote_options *options, struct remote *ret_remote, struct errctx *ctx);
void remote_done(struct remote *r);

#endif
