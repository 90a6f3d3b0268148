/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - what the MCP server can do to the world: the seam between its thinking and its doing.
 *
 * The real ones are reporter.h and rest.h, put together by serve.c; tests and the fuzz target bring
 * their own.  Whatever was started is answered once, later, never from inside the call; unless it
 * is cancelled.
 */
#ifndef AGENT_MCP_WORLD_H
#define AGENT_MCP_WORLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

/* Something that was started and is not done. */
struct mcp_job {
    void (*cancel)(struct mcp_job *job); /* no answer comes any more; frees it */
};

struct mcp_report {
    const char *state, *summary, *link;
};

/* ERR_OK, or a sentence on why the report was not taken. */
typedef void (*mcp_report_done_fn)(void *arg, enum err e, const char *text);

/* A request to the gateway as the user. */
struct mcp_ask {
    const char *method, *path; /* path begins with '/', its words are escaped */
    json_t *body;              /* borrowed; NULL: none */
};

struct mcp_reply {
    enum err code;   /* ERR_OK: an answer came, whatever its status */
    const char *why; /* else a sentence */
    int status;
    json_t *body; /* borrowed; NULL when there was none, or no JSON */
};
typedef void (*mcp_ask_done_fn)(void *arg, const struct mcp_reply *reply);

struct mcp_world {
    void *arg;
    bool can_report; /* report() has somebody to report to */
    bool has_user;   /* ask() speaks as a user */
    /* One message with its line end. */
    void (*write)(void *arg, const char *line, size_t n);
    struct mcp_job *(*report)(
        void *arg, const struct mcp_report *report, mcp_report_done_fn done, void *done_arg);
    struct mcp_job *(*ask)(
        void *arg, const struct mcp_ask *ask, mcp_ask_done_fn done, void *done_arg);
};

#endif
