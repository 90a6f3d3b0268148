/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure.h - makes this program the MCP server "coder" of agent programs, in their own files.
 */
#ifndef AGENT_MCP_CONFIGURE_H
#define AGENT_MCP_CONFIGURE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"

/* {"command", "args", "env"} of the server; `command` NULL: this program's own path. */
json_t *configure_server(const char *command, json_t *take_env);

/* mcpServers.coder of a JSON file becomes `server`; all else in it is kept. */
enum err must_check configure_json(const char *path, json_t *take_server, struct errctx *ctx);

/* NULL and "": not given. */
struct claude_conf {
    const char *config_path; /* initially ~/.claude.json */
    const char *md_path;     /* initially ~/.claude/CLAUDE.md */
    const char *project;     /* the directory where claude is going to be run */
    const char *api_key;
    const char *report_prompt; /* asks for reports; "" when nothing can be reported */
    const char *coder_prompt;  /* goes behind it */
    const char *system_prompt;
};

/* Claude Code's file: server and permission for this project, and no questions at its first start.
 */
enum err must_check configure_claude(
    const struct claude_conf *conf, json_t *take_server, struct errctx *ctx);

/* CLAUDE.md: the prompts between their markers at its begin, what else was in it behind. */
enum err must_check configure_claude_md(const struct claude_conf *conf, struct errctx *ctx);

/* A new text of CLAUDE.md, made of an old one; the caller frees it. */
char *claude_md_text(const struct claude_conf *conf, const char *old);

#endif
