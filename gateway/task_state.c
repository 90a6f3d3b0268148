/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_state.c - what is shown of a task that no column says: rules as rows.
 */
#include <string.h>

#include "core/base/cleanup.h"
#include "gateway/task.h"

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* ---- workspace status ---- */

static const struct {
    const char *transition, *running, *succeeded;
} transitions[] = {
    {"start",  "starting", "running"},
    {"stop",   "stopping", "stopped"},
    {"delete", "deleting", "deleted"},
};

const char *workspace_status(const char *transition, const char *job_state)
{
    bool running = is(job_state, "running");
    if (!running && !is(job_state, "succeeded"))
        return job_state;
    for (size_t i = 0; i < COUNT(transitions); i++)
        if (is(transitions[i].transition, transition))
            return running ? transitions[i].running : transitions[i].succeeded;
    return job_state;
}

bool workspace_status_parse(
    const char *status, const char **ret_job_state, const char **ret_transition)
{
    static const char *const others[] = {"pending", "failed", "canceling", "canceled"};
    *ret_job_state = status;
    *ret_transition = NULL;
    for (size_t i = 0; i < COUNT(others); i++)
        if (is(others[i], status))
            return true;
    for (size_t i = 0; i < COUNT(transitions); i++) {
        bool running = is(transitions[i].running, status);
        *ret_job_state = running ? "running" : "succeeded";
        *ret_transition = transitions[i].transition;
        if (running || is(transitions[i].succeeded, status))
            return true;
    }
    return false;
}

/* ---- current state ---- */

/* What an initializing task is waiting for: the first row that fits speaks.  NULL fits anything. */
static const struct {
    const char *workspace, *lifecycle, *health, *message;
} waits[] = {
    {"pending",  NULL,       NULL,           "Workspace is pending"               },
    {"starting", NULL,       NULL,           "Workspace is starting"              },
    {NULL,       "created",  NULL,           "Agent is connecting"                },
    {NULL,       "starting", NULL,           "Agent is starting"                  },
    {NULL,       "ready",    "initializing", "App is initializing"                },
    {NULL,       "ready",    NULL,           "Initializing workspace applications"},
    {NULL,       "",         NULL,           "Initializing workspace agent"       },
    {NULL,       NULL,       "initializing", "App is initializing"                },
    {NULL,       NULL,       NULL,           "Initializing workspace"             },
};

static bool fits(const char *pattern, const char *text)
{
    return pattern == NULL || is(pattern, text);
}

static const char *waiting_for(const struct task_row *t)
{
    const char *workspace = workspace_status(t->transition, t->job_state);
    for (size_t i = 0; i < COUNT(waits); i++)
        if (fits(waits[i].workspace, workspace) && fits(waits[i].lifecycle, t->agent_lifecycle) &&
            fits(waits[i].health, t->app_health))
            return waits[i].message;
    return "";
}

bool task_current_state(const struct task_row *t, struct task_current_state *ret_state)
{
    if (t->state[0] != '\0') {
        *ret_state = (struct task_current_state){
            .at = t->state_at,
            .state = is(t->state, "failure") ? "failed" : t->state,
            .message = t->state_message,
            .uri = t->state_uri,
        };
        return true;
    }
    if (!is(t->status, "initializing"))
        return false;
    *ret_state = (struct task_current_state){
        .at = t->build_created_at, .state = "working", .message = waiting_for(t), .uri = ""};
    return true;
}

/* ---- agent ---- */

const char *agent_unhealthy_reason(const char *lifecycle, bool has_connected)
{
    static const char *const ending[] = {
        "shutting_down", "shutdown_timeout", "shutdown_error", "off"};
    for (size_t i = 0; i < COUNT(ending); i++)
        if (is(lifecycle, ending[i]))
            return "agent is shutting down";
    if (!has_connected)
        return "agent has not yet connected";
    return is(lifecycle, "start_error") ? "agent startup script exited with an error" : NULL;
}

bool task_status_is_known(const char *status)
{
    static const char *const known[] = {
        "pending", "initializing", "active", "paused", "unknown", "error"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (is(status, known[i]))
            return true;
    return false;
}
