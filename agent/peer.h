/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - which worker to talk to: the sockets in a directory, each one a live worker of this
 * host.
 */
#ifndef AGENT_PEER_H
#define AGENT_PEER_H

#include <stdbool.h>

#include "core/base/err.h"

/*
 * A bus URL of a random worker whose socket takes a connection at this moment; `avoid` (a URL, may
 * be NULL) only when it is the only one.  Sockets that dead workers left behind are passed over.
 * ERR_UNAVAILABLE when there is none; the caller frees the URL.
 */
enum err must_check peer_pick(
    const char *workers_dir, const char *avoid, char **ret_url, struct errctx *ctx);

#endif
