/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.h - a task as readers see it: a row of task_read, and its JSON.
 */
#ifndef GATEWAY_TASK_H
#define GATEWAY_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/uuid.h"
#include "core/db/db.h"

/* Texts are borrowed from the result.  "" and nil stand for NULL. */
struct task_row {
    struct uuid id, organization_id, owner_id, template_id, template_version_id, workspace_id;
    struct uuid agent_id, app_id, build_id;
    const char *owner_username, *owner_avatar_url, *name, *display_name, *prompt;
    const char *template_name, *template_display_name, *template_icon, *workspace_name;
    int64_t build_number;
    const char *transition, *job_state;
    const char *agent_lifecycle, *app_health;
    const char *status;
    /* The newest report that still counts; state "" when there is none. */
    const char *state, *state_message, *state_uri;
    int64_t state_at, agent_connected_at, build_created_at, created_at, workspace_updated_at;
    /* What Stint's own routes show besides; labels and parameters are JSON. */
    const char *error, *labels, *parameters;
    struct uuid preset_id;
    int64_t priority, start_after, time_limit_ms, ttl_ms, revision;
};

void task_row_read(const struct db_result *r, size_t i, struct task_row *ret_row);
/* One object, no line end. */
void task_row_write(const struct task_row *t, struct strbuf *out);
/* Members that Coder's Task does not have, without braces. */
void task_row_write_more(const struct task_row *t, struct strbuf *out);

/* ---- what is derived (task_state.c) ---- */

/* Coder's workspace status from a build's job and transition: "pending" ... "deleted". */
const char *workspace_status(const char *transition, const char *job_state);
/* And back: the job's state, and the transition or NULL (any).  False: there is no such status. */
bool workspace_status_parse(
    const char *status, const char **ret_job_state, const char **ret_transition);

/* False: null. */
struct task_current_state {
    int64_t at;
    const char *state, *message, *uri;
};
bool task_current_state(const struct task_row *t, struct task_current_state *ret_state);

/* Is the agent well?  The reason is NULL when it is. */
const char *agent_unhealthy_reason(const char *lifecycle, bool has_connected);

bool task_status_is_known(const char *status);

#endif
