/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.h - which worker to talk to, for an agent that lives elsewhere: those that the gateway
 * names as alive.
 *
 * The list comes with the manifest.  When all of it have been tried in vain, or it is empty, the
 * gateway is asked for a new one, by the agent's token; the old one is good meanwhile.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_PEERS_H
#define AGENT_PEERS_H

#include <jansson.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

/* Of the gateway's API. */
#define PEERS_MANIFEST_PATH "/api/stint/v1/agent/manifest"
#define PEERS_ANSWER_MAX    (8 * 1024 * 1024)

struct peers;

struct peers_conf {
    const char *gateway_url; /* without a '/' at its end */
    const char *token;
    const json_t *workers; /* array of bus URLs */
};

/* Copies what `conf` points to. */
struct peers *peers_new(struct loop *l, const struct peers_conf *conf);
void peers_free(struct peers *p);

/* A random one of them; `avoid` (may be NULL) only when it is the only one.  After as many calls as
 * there are workers without peers_found() the gateway is asked.  ERR_UNAVAILABLE when there is
 * none; the caller frees the URL. */
enum err must_check peers_pick(
    struct peers *p, const char *avoid, char **ret_url, struct errctx *ctx);
/* One has answered. */
void peers_found(struct peers *p);

#endif
