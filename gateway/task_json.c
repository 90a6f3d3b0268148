/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_json.c - from a row of task_read to Coder's Task.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/task.h"

/* The columns of task_read, in order. */
enum column {
    ID,
    ORGANIZATION_ID,
    OWNER_ID,
    OWNER_USERNAME,
    OWNER_AVATAR_URL,
    NAME,
    DISPLAY_NAME,
    TEMPLATE_ID,
    TEMPLATE_VERSION_ID,
    TEMPLATE_NAME,
    TEMPLATE_DISPLAY_NAME,
    TEMPLATE_ICON,
    WORKSPACE_ID,
    WORKSPACE_NAME,
    BUILD_NUMBER,
    TRANSITION,
    JOB_STATE,
    AGENT_ID,
    AGENT_LIFECYCLE,
    AGENT_CONNECTED_AT,
    APP_ID,
    APP_HEALTH,
    PROMPT,
    STATUS,
    STATE,
    STATE_MESSAGE,
    STATE_URI,
    STATE_AT,
    BUILD_CREATED_AT,
    CREATED_AT,
    WORKSPACE_UPDATED_AT,
    BUILD_ID,
    JOB_ERROR,
    PRIORITY,
    LABELS,
    PARAMETERS,
    PRESET_ID,
    START_AFTER,
    TIME_LIMIT_MS,
    TTL_MS,
    REVISION,
};

void task_row_read(const struct db_result *r, size_t i, struct task_row *ret_row)
{
    *ret_row = (struct task_row){
        .id = db_uuid(r, i, ID),
        .organization_id = db_uuid(r, i, ORGANIZATION_ID),
        .owner_id = db_uuid(r, i, OWNER_ID),
        .owner_username = db_text(r, i, OWNER_USERNAME),
        .owner_avatar_url = db_text(r, i, OWNER_AVATAR_URL),
        .name = db_text(r, i, NAME),
        .display_name = db_text(r, i, DISPLAY_NAME),
        .template_id = db_uuid(r, i, TEMPLATE_ID),
        .template_version_id = db_uuid(r, i, TEMPLATE_VERSION_ID),
        .template_name = db_text(r, i, TEMPLATE_NAME),
        .template_display_name = db_text(r, i, TEMPLATE_DISPLAY_NAME),
        .template_icon = db_text(r, i, TEMPLATE_ICON),
        .workspace_id = db_uuid(r, i, WORKSPACE_ID),
        .workspace_name = db_text(r, i, WORKSPACE_NAME),
        .build_number = db_int(r, i, BUILD_NUMBER),
        .transition = db_text(r, i, TRANSITION),
        .job_state = db_text(r, i, JOB_STATE),
        .agent_id = db_uuid(r, i, AGENT_ID),
        .agent_lifecycle = db_text(r, i, AGENT_LIFECYCLE),
        .agent_connected_at = db_time_us(r, i, AGENT_CONNECTED_AT),
        .app_id = db_uuid(r, i, APP_ID),
        .app_health = db_text(r, i, APP_HEALTH),
        .prompt = db_text(r, i, PROMPT),
        .status = db_text(r, i, STATUS),
        .state = db_text(r, i, STATE),
        .state_message = db_text(r, i, STATE_MESSAGE),
        .state_uri = db_text(r, i, STATE_URI),
        .state_at = db_time_us(r, i, STATE_AT),
        .build_created_at = db_time_us(r, i, BUILD_CREATED_AT),
        .created_at = db_time_us(r, i, CREATED_AT),
        .workspace_updated_at = db_time_us(r, i, WORKSPACE_UPDATED_AT),
        .build_id = db_uuid(r, i, BUILD_ID),
        .error = db_text(r, i, JOB_ERROR),
        .priority = db_int(r, i, PRIORITY),
        .labels = db_text(r, i, LABELS),
        .parameters = db_text(r, i, PARAMETERS),
        .preset_id = db_uuid(r, i, PRESET_ID),
        .start_after = db_time_us(r, i, START_AFTER),
        .time_limit_ms = db_int(r, i, TIME_LIMIT_MS),
        .ttl_ms = db_int(r, i, TTL_MS),
        .revision = db_int(r, i, REVISION),
    };
}

static void write_agent(const struct task_row *t, struct strbuf *out)
{
    json_put_uuid_or_null(out, "workspace_agent_id", &t->agent_id);
    if (t->agent_lifecycle[0] == '\0') {
        json_put_null(out, "workspace_agent_lifecycle");
        json_put_null(out, "workspace_agent_health");
        return;
    }
    json_put_text(out, "workspace_agent_lifecycle", t->agent_lifecycle);
    const char *reason =
        agent_unhealthy_reason(t->agent_lifecycle, t->agent_connected_at != INT64_MIN);
    json_key(out, "workspace_agent_health");
    json_open(out, '{');
    json_put_bool(out, "healthy", reason == NULL);
    if (reason != NULL)
        json_put_text(out, "reason", reason);
    json_close(out, '}');
}

static void write_state(const struct task_row *t, struct strbuf *out)
{
    struct task_current_state state;
    if (!task_current_state(t, &state)) {
        json_put_null(out, "current_state");
        return;
    }
    json_key(out, "current_state");
    json_open(out, '{');
    json_put_time(out, "timestamp", state.at);
    json_put_text(out, "state", state.state);
    json_put_text(out, "message", state.message);
    json_put_text(out, "uri", state.uri);
    json_close(out, '}');
}

void task_row_write(const struct task_row *t, struct strbuf *out)
{
    json_open(out, '{');
    json_put_uuid(out, "id", &t->id);
    json_put_uuid(out, "organization_id", &t->organization_id);
    json_put_uuid(out, "owner_id", &t->owner_id);
    json_put_text(out, "owner_name", t->owner_username);
    json_put_text_if(out, "owner_avatar_url", t->owner_avatar_url);
    json_put_text(out, "name", t->name);
    json_put_text(out, "display_name", t->display_name);
    json_put_uuid(out, "template_id", &t->template_id);
    json_put_uuid(out, "template_version_id", &t->template_version_id);
    json_put_text(out, "template_name", t->template_name);
    json_put_text(out, "template_display_name", t->template_display_name);
    json_put_text(out, "template_icon", t->template_icon);
    json_put_uuid_or_null(out, "workspace_id", &t->workspace_id);
    json_put_text(out, "workspace_name", t->workspace_name);
    json_put_text_if(out, "workspace_status", workspace_status(t->transition, t->job_state));
    if (t->build_number != 0)
        json_put_int(out, "workspace_build_number", t->build_number);
    write_agent(t, out);
    json_put_uuid_or_null(out, "workspace_app_id", &t->app_id);
    json_put_text(out, "initial_prompt", t->prompt);
    json_put_text(out, "status", t->status);
    write_state(t, out);
    json_put_time(out, "created_at", t->created_at);
    json_put_time(out, "updated_at", t->workspace_updated_at);
    json_close(out, '}');
}

static void put_raw(struct strbuf *out, const char *key, const char *json)
{
    json_key(out, key);
    json_raw(out, json, strlen(json));
}

static void put_ms_or_null(struct strbuf *out, const char *key, int64_t ms)
{
    if (ms == 0)
        json_put_null(out, key);
    else
        json_put_int(out, key, ms);
}

void task_row_write_more(const struct task_row *t, struct strbuf *out)
{
    if (t->error[0] == '\0')
        json_put_null(out, "error");
    else
        json_put_text(out, "error", t->error);
    json_put_int(out, "priority", t->priority);
    put_raw(out, "labels", t->labels);
    put_raw(out, "parameters", t->parameters);
    json_put_uuid_or_null(out, "template_version_preset_id", &t->preset_id);
    json_put_time_or_null(out, "start_after", t->start_after);
    put_ms_or_null(out, "time_limit_ms", t->time_limit_ms);
    put_ms_or_null(out, "ttl_ms", t->ttl_ms);
    json_put_int(out, "revision", t->revision);
}
