/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rest.h - JSON over HTTP to one gateway with one token; a user's or an agent's.
 */
#ifndef AGENT_MCP_REST_H
#define AGENT_MCP_REST_H

#include "agent/mcp/world.h"
#include "core/loop/loop.h"

struct mcp_rest {
    struct loop *loop;
    const char *url; /* without a slash at its end */
    const char *token;
};

/* Both are borrowed until the answer. */
struct mcp_job *rest_ask(
    const struct mcp_rest *r, const struct mcp_ask *ask, mcp_ask_done_fn done, void *done_arg);

#endif
