/* SPDX-License-Identifier: Apache-2.0 */
/* user.h - people, for the commands of `stint user`. */
#ifndef CLI_USER_H
#define CLI_USER_H

#include "cli/api.h"
#include "cli/command.h"

/* "/api/v2/users/<user><rest>" */
void user_add_path(struct strbuf *path, const char *user, const char *rest);
/* "role_names": what a table shows of "roles". */
void user_put_role_names(json_t *user);
/* "owner,auditor" -> ["owner", "auditor"] */
json_t *user_roles_of(const char *words);
/* Typed blind, or a line of standard input. */
enum err must_check user_read_password(
    struct cli *cli, const struct call *call, const char *question, char **ret);
void user_free_secret(char *secret);

#endif
