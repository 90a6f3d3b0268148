/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - a user's session, where one is to be had.
 *
 * In falling order: STINT_URL and STINT_TOKEN; CODER_URL and CODER_SESSION_TOKEN; the file of
 * `stint login` ($XDG_CONFIG_HOME/stint/config.json: {"url", "token"}); the files of `coder login`
 * ($CODER_CONFIG_DIR or $XDG_CONFIG_HOME/coderv2: url and session).  A token that was stored is
 * only sent to the URL that was stored with it.
 */
#ifndef AGENT_MCP_USER_H
#define AGENT_MCP_USER_H

#include <stdbool.h>

struct mcp_user {
    char *url;   /* without a slash at its end; NULL: not known */
    char *token; /* NULL: nobody is logged in */
};

void user_load(struct mcp_user *u);
void user_done(struct mcp_user *u);
bool user_is_logged_in(const struct mcp_user *u);

/* "host:7080/" -> "https://host:7080"; http for this machine.  NULL: no http(s) URL. */
char *user_clean_url(const char *text);

#endif
