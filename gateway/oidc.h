/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidc.h - the one OpenID Connect provider by which people may log in.
 *
 * What it says of itself (discovery) and its keys are asked for when somebody first logs in, and
 * again every hour; its keys also when a token names one that is not known yet.
 */
#ifndef GATEWAY_OIDC_H
#define GATEWAY_OIDC_H

#include <jansson.h>

#include "gateway/request.h"

#define OIDC_CALLBACK "/api/v2/users/oidc/callback"

#define OIDC_COOKIE "oauth_state"

struct oidc;

/* NULL in *ret_oidc when no issuer is set. */
enum err must_check oidc_new(struct gateway *gw, struct oidc **ret_oidc, struct errctx *ctx);
void oidc_free(struct oidc *o);

/* Goes on when the provider is known, or answers 502. */
void oidc_know(struct request *r, request_fn then);
/* Where browsers are sent.  After oidc_know(). */
void oidc_add_authorize_url(const struct oidc *o, const char *state, const char *nonce,
    const char *verifier, struct strbuf *out);

/* Exchanges a code for an ID token and goes on with its claims, which are good and borrowed, or
 * answers 401 or 502.  One of a request at a time; `nonce` and `verifier` are copied. */
typedef void (*oidc_claims_fn)(struct request *r, const json_t *claims);
void oidc_exchange(struct request *r, const char *code, const char *nonce, const char *verifier,
    oidc_claims_fn then);

#endif
