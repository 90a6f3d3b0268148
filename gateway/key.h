/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - keys of people, for those who log somebody in. */
#ifndef GATEWAY_KEY_H
#define GATEWAY_KEY_H

#include "gateway/request.h"

/* Who asks has proved to be this user, in the way `login_type` says ("password", "oidc"): answers
 * 201 {"session_token"} with the cookie. */
void session_make(struct request *r, const struct uuid *user_id, const char *login_type);
/* The same, but a browser goes on to `location`. */
void session_make_and_go(
    struct request *r, const struct uuid *user_id, const char *login_type, const char *location);
/* A key for a program of who asks, handed to `show`, which answers. */
void key_make_for_page(struct request *r, void (*show)(struct request *r, const char *token));
/* Coder's cookie with a key in it. */
void session_set_cookie(struct request *r, const char *token);

#endif
