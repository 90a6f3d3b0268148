/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwt.h - ID tokens (RFC 7519, OpenID Connect Core): is it signed by one of these keys, and is it
 * meant for us, now?
 *
 * Two algorithms are known, RS256 and ES256, both with a key that only the provider has; a token
 * that names any other ("none", or one whose key we would have to know too) is refused, whatever
 * else it says.  Pure: keys and time are arguments.
 */
#ifndef GATEWAY_JWT_H
#define GATEWAY_JWT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

#define JWT_BYTES_MAX (32 * 1024)

/* `jwks` is a JSON Web Key Set.  ERR_NOT_FOUND: it has no such key, newer ones may.  Claims are the
 * caller's. */
enum err must_check jwt_verify(
    const char *token, const json_t *jwks, json_t **ret_claims, struct errctx *ctx);

struct jwt_expected {
    const char *issuer, *audience, *nonce;
    int64_t now_s;
};
enum err must_check jwt_check(
    const json_t *claims, const struct jwt_expected *want, struct errctx *ctx);

#endif
