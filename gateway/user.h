/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - people, for those who show and change them. */
#ifndef GATEWAY_USER_H
#define GATEWAY_USER_H

#include "gateway/request.h"

/* Coder's User of a row of user_get or user_list. */
void user_write(
    const struct gateway *gw, const struct db_result *u, size_t row, struct strbuf *out);
/* "roles": […], as Coder shows them: without the one that everybody has. */
void user_write_roles(struct strbuf *out, const char *key, const char *names);
/* 200 (201 after a POST) with this user. */
void user_answer(struct request *r, const struct uuid *id);

/* What must be true of a new name or password.  False: a 400 has been answered. */
bool user_check_username(struct request *r, const char *username);
bool user_check_password(struct request *r, const char *password);
/* "roles" of the body, appended to `buf` with commas.  False: a 400 has been answered. */
bool user_read_roles(struct request *r, char *buf, size_t size);
/* A user that was not written because somebody else has name, address or number. */
void user_answer_taken(struct request *r, enum err code, const char *constraint);

#endif
