/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h - the tools: rows of one table (tool.def), from which the list, the schemas and the checks
 * of arguments are made.
 */
#ifndef AGENT_MCP_TOOL_H
#define AGENT_MCP_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/mcp/world.h"

struct mcp_call;

enum tool_need {
    NEEDS_AGENT, /* offered only to who can report */
    NEEDS_USER,  /* offered only with a user's session */
    ASKS_USER,   /* always offered, as Coder does; fails without a user's session */
};

/* What a client may tell its user of the tool. */
enum tool_effect { TOOL_READS, TOOL_CHANGES, TOOL_DESTROYS };

enum tool_arg_flag {
    ARG_REQUIRED = 1 << 0,
    ARG_UUID = 1 << 1,
    /* The schema asks for it, a call without it is taken as one with "". */
    ARG_EXPECTED = 1 << 2,
    /* One line without control characters. */
    ARG_LINE = 1 << 3,
    /* Without white space too. */
    ARG_WORD = 1 << 4,
};

/* All arguments are texts. */
struct tool_arg {
    const char *name;
    unsigned flags;
    size_t bytes_max;   /* 0: no limit */
    const char *one_of; /* "a|b|c"; NULL: anything */
    const char *description;
};

#define TOOL_ARGS_MAX 5

struct mcp_tool {
    const char *name, *title, *description;
    enum tool_need needs;
    enum tool_effect effect;
    void (*run)(struct mcp_call *call);
    struct tool_arg args[TOOL_ARGS_MAX]; /* ends with a name of NULL */
};

/* The table; the row after the last has a name of NULL. */
extern const struct mcp_tool mcp_tools[];

const struct mcp_tool *tool_find(const char *name);

/* `allowed`: names with commas between them; NULL or "": all.  A tool that is withheld is not there
 * for the client. */
bool tool_is_allowed(const struct mcp_tool *t, const char *allowed);
bool tool_is_offered(const struct mcp_tool *t, const struct mcp_world *world, const char *allowed);

/* The tool as tools/list shows it; a new value. */
json_t *tool_to_json(const struct mcp_tool *t);

/* ERR_INVALID with a sentence that says which argument is wrong, and what is allowed. */
enum err must_check tool_check(
    const struct mcp_tool *t, const json_t *arguments, struct errctx *ctx);

/* The handlers, one file per noun. */
void tool_report_task(struct mcp_call *call);
void tool_create_task(struct mcp_call *call);
void tool_list_tasks(struct mcp_call *call);
void tool_get_task_status(struct mcp_call *call);
void tool_send_task_input(struct mcp_call *call);
void tool_queue_task_input(struct mcp_call *call);
void tool_get_task_logs(struct mcp_call *call);
void tool_delete_task(struct mcp_call *call);
void tool_pause_task(struct mcp_call *call);
void tool_resume_task(struct mcp_call *call);
void tool_list_templates(struct mcp_call *call);
void tool_get_template(struct mcp_call *call);
void tool_get_user(struct mcp_call *call);

#endif
