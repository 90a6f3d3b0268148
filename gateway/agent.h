/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h - agents and their apps as readers see them.
 */
#ifndef GATEWAY_AGENT_H
#define GATEWAY_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/uuid.h"
#include "core/db/db.h"

/* So long after its start an agent that never came is given up. */
#define AGENT_CONNECT_SECONDS_MAX 120

/* What its connection is judged by. */
struct agent_seen {
    const char *lifecycle;
    bool has_connected;
    bool is_lost;          /* its session has been gone for long */
    bool is_started;       /* the start build has succeeded */
    bool is_over;          /* a later build has succeeded */
    int64_t started_s_ago; /* only when is_started */
};

/* Coder's words: connecting, connected, disconnected, timeout. */
const char *agent_connection(const struct agent_seen *seen);
/* Coder's rule.  NULL: it is well. */
const char *agent_illness(const char *connection, const char *lifecycle);

/* An agent's row; texts are borrowed.  Times: INT64_MIN is NULL. */
struct agent_row {
    struct uuid id, resource_id;
    const char *name;
    int64_t created_at, connected_at, disconnected_at;
    struct agent_seen seen;
};

/* The newest statement of an app about its work; texts are borrowed.  state "": none. */
struct app_said {
    struct uuid id, agent_id, app_id, workspace_id;
    const char *state, *message, *uri;
    int64_t at;
};
/* Coder's WorkspaceAppStatus. */
void app_said_write(const struct app_said *s, struct strbuf *out);

/* What is shown beside the agent itself; each may be NULL. */
struct agent_parts {
    const struct db_result *apps, *metadata, *sources;
    const struct app_said *said; /* of one of the apps, or of none of them */
};

/* Coder's WorkspaceAgent. */
void agent_write(const struct agent_row *a, const struct agent_parts *parts, struct strbuf *out);
/* "health": {"healthy": …, "reason": …} */
void agent_write_health(const char *connection, const char *lifecycle, struct strbuf *out);
/* "apps": […] of the rows of app_list that are this agent's (NULL: of all), as Coder's
 * WorkspaceApp. */
void agent_write_apps(const struct uuid *agent_id, const struct db_result *apps,
    const struct app_said *said, struct strbuf *out);
/* "metadata": [{"key", "value", "error", "collected_at"}] of rows of agent_metadata_list. */
void agent_write_metadata(const struct db_result *metadata, struct strbuf *out);

#endif
