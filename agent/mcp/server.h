/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the Model Context Protocol, server side: a line in, lines out.
 *
 * Versions 2024-11-05, 2025-03-26, 2025-06-18 and 2025-11-25, negotiated by initialize; of the
 * protocol's capabilities: tools.  No I/O of its own: everything goes through world.h.
 */
#ifndef AGENT_MCP_SERVER_H
#define AGENT_MCP_SERVER_H

#include <stddef.h>

#include "agent/mcp/world.h"

#define MCP_LINE_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* Enough calls run at once: no further line should be given until one is over. */
#define MCP_CALLS_MAX 64

struct mcp_server;

struct mcp_server_conf {
    const struct mcp_world *world;
    const char *instructions;  /* for the model; NULL or "": none */
    const char *allowed_tools; /* names with commas between them; NULL or "": all */
};

/* All that `conf` points to is borrowed for as long as it lives. */
struct mcp_server *mcp_server_new(const struct mcp_server_conf *conf);
/* What runs is cancelled. */
void mcp_server_free(struct mcp_server *s);

/* One line without its end.  An empty one is nothing. */
void mcp_server_line(struct mcp_server *s, const char *line, size_t n);
/* A line came that had more than MCP_LINE_BYTES_MAX, and was thrown away. */
void mcp_server_line_too_long(struct mcp_server *s);

/* How many calls run. */
size_t mcp_server_n_calls(const struct mcp_server *s);

#endif
