/* SPDX-License-Identifier: Apache-2.0 */
/* remote_ask.h - the manifest from the gateway, however long it takes. */
#ifndef AGENT_REMOTE_ASK_H
#define AGENT_REMOTE_ASK_H

#include <jansson.h>

#include "core/base/err.h"

/* Asks again after 0.5 s .. 15 s, with jitter, while the gateway is away or does not know the token
 * yet; says so now and then.  ERR_CANCELED: told to stop.  ERR_USAGE: that cannot be a gateway's
 * URL. */
enum err must_check remote_ask(
    const char *gateway_url, const char *token, json_t **ret_manifest, struct errctx *ctx);

#endif
