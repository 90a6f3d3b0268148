/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reporter.h - hands reports over, one after the other, in the order in which they came.
 *
 * To the workspace's agent by its control socket; or, where there is none, to the gateway with the
 * agent's token, as agents of Coder before 2.32 did.  While the agent starts anew a report waits
 * for it, at most REPORTER_PATIENCE_MS.  A token that is not valid any more ends all trying.
 */
#ifndef AGENT_MCP_REPORTER_H
#define AGENT_MCP_REPORTER_H

#include "agent/mcp/rest.h"
#include "agent/mcp/world.h"
#include "core/loop/loop.h"

#define REPORTER_ATTEMPT_MS  5000
#define REPORTER_PATIENCE_MS 10000

struct mcp_reporter;

struct mcp_reporter_conf {
    struct loop *loop;
    const char *slug;
    const char *socket_path;     /* NULL: by `rest` */
    const struct mcp_rest *rest; /* with an agent's token */
    int64_t patience_ms;         /* 0: REPORTER_PATIENCE_MS */
};

/* All that `conf` points to is borrowed. */
struct mcp_reporter *reporter_new(const struct mcp_reporter_conf *conf);
/* All jobs are done or cancelled before. */
void reporter_free(struct mcp_reporter *r);

struct mcp_job *reporter_report(struct mcp_reporter *r, const struct mcp_report *report,
    mcp_report_done_fn done, void *done_arg);

#endif
