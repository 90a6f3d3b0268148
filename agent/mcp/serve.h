/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - the MCP server as a process: stdin and stdout are the client's, stderr is the log.
 */
#ifndef AGENT_MCP_SERVE_H
#define AGENT_MCP_SERVE_H

#include <stdbool.h>

#include "core/base/err.h"

#define SERVE_SOCKET_INITIAL "/tmp/coder-agent.sock"

/* NULL and "" mean: not given. */
struct serve_conf {
    const char *instructions, *allowed_tools, *slug;
    const char *socket_path; /* of the agent's control socket */
    const char *agentapi_url;
    const char *agent_url, *agent_token, *agent_token_file;
};

/* Serves until stdin ends, stdout has no reader any more, or a signal asks to stop. */
enum err must_check serve(const struct serve_conf *conf, struct errctx *ctx);

/* Somebody listens on that socket.  One that was named is waited for: it may be starting. */
bool serve_finds_agent(const char *socket_path);

#endif
