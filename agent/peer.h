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
 * A bus URL of a random worker; `avoid` (a URL, may be NULL) only when it is the only one.  Nobody
 * may listen there any more: a socket file outlives its process.  It is not tried out here, for a
 * listener of nng takes a moment's rest after a connection that comes to nothing.
 * ERR_UNAVAILABLE when there is none; the caller frees the URL.
 */
enum err must_check peer_pick(
    const char *workers_dir, const char *avoid, char **ret_url, struct errctx *ctx);

#endif
