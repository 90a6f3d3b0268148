/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.h - who asks?  Tokens of people and of agents, and passwords.
 *
 * Good keys are remembered for a few seconds, so that a busy client costs one look-up now and then.
 * A key that is revoked, or whose user is changed, through any gateway is forgotten by all at once;
 * while Redis is away, by the others within those seconds.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "gateway/request.h"
#include "gateway/token.h"

struct auth;

struct auth *auth_new(struct gateway *gw);
void auth_free(struct auth *a);

/* By the form of the token alone.  False: a 401 has been answered. */
bool auth_check_form(struct request *r);
/* Fills r->who and goes on with `then`, or answers 401 or 403. */
/* Nothing has been revoked since it was found out who asks. */
bool auth_is_current(const struct request *r);
void auth_check(struct request *r, request_fn then);
/* After the commit that ended a key, or changed a user: his roles, his status, all his keys. */
void auth_forget(struct auth *a, const char *key_id);
void auth_forget_user(struct auth *a, const struct uuid *user_id);

#define PASSWORD_HASH_SIZE 128
typedef void (*password_fn)(struct request *r, bool ok, const char *hash);
/* Both on threads of their own.  NULL in `hash` takes as long as a real one and fails. */
void password_verify(struct request *r, const char *password, const char *hash, password_fn done);
void password_hash(struct request *r, const char *password, password_fn done);

#endif
