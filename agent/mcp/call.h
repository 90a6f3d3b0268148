/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - one call of a tool that runs: what its handler reads and answers with.
 *
 * A handler ends with exactly one of call_reply() and call_fail(), now or in a step that follows;
 * after that the call is gone.  Whoever cancels a call ends what it waits for; no step follows.
 */
#ifndef AGENT_MCP_CALL_H
#define AGENT_MCP_CALL_H

#include <jansson.h>

#include "agent/mcp/tool.h"
#include "core/base/list.h"

struct mcp_server;
struct mcp_batch;

/* The gateway's answer, which had the expected status; NULL when it had no JSON. */
typedef void (*call_next_fn)(struct mcp_call *call, json_t *body);

/* Made by server.c; handlers touch none of it but `kept`. */
struct mcp_call {
    struct list item;
    struct mcp_server *server;
    const struct mcp_world *world;
    struct mcp_batch *batch; /* NULL: a request of its own */
    const struct mcp_tool *tool;
    json_t *id;
    json_t *arguments;
    json_t *kept; /* what a handler wants to have in its next step */
    struct mcp_job *job;
    call_next_fn next;
    int expected; /* status of the gateway's answer */
};

/* An argument; "" when it was not given. */
const char *call_text(const struct mcp_call *c, const char *name);

/* The result, as text.  The other: an error that the model can read. */
void call_reply(struct mcp_call *c, json_t *take_value);
void call_fail(struct mcp_call *c, const char *fmt, ...) printf_like(2, 3);

void call_report(struct mcp_call *c, const struct mcp_report *report);

/* Ask the gateway; `next` runs on an answer with the status `expected`, any other is a failure. */
void call_ask(struct mcp_call *c, const char *method, const char *path, json_t *take_body,
    int expected, call_next_fn next);

/* server.c: the call is over with this result of tools/call. */
void mcp_server_end_call(struct mcp_call *c, json_t *take_result);

#endif
