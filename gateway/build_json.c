/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_json.c - builds and workspaces as Coder's WorkspaceBuild and Workspace.
 *
 * One statement brings builds with everything around them, one more the apps of their agents.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/agent.h"
#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/queue.h"
#include "gateway/resource_json.h"
#include "gateway/task.h"

/* The columns of build_read, in order. */
enum column {
    ID,
    CREATED_AT,
    UPDATED_AT,
    WORKSPACE_ID,
    WORKSPACE_NAME,
    OWNER_ID,
    OWNER_NAME,
    OWNER_AVATAR_URL,
    VERSION_ID,
    VERSION_NAME,
    NUMBER,
    TRANSITION,
    INITIATOR_ID,
    INITIATOR_NAME,
    REASON,
    JOB_ID,
    JOB_STATE,
    JOB_ERROR,
    JOB_CREATED_AT,
    JOB_STARTED_AT,
    JOB_COMPLETED_AT,
    JOB_CANCELED_AT,
    WORKER_ID,
    WORKER_NAME,
    FILE_ID,
    ORGANIZATION_ID,
    TEMPLATE_ID,
    TEMPLATE_NAME,
    TEMPLATE_DISPLAY_NAME,
    TEMPLATE_ICON,
    TASK_ID,
    AGENT_ID,
    AGENT_NAME,
    AGENT_LIFECYCLE,
    AGENT_CONNECTED_AT,
    AGENT_CREATED_AT,
    WORKSPACE_CREATED_AT,
    WORKSPACE_UPDATED_AT,
    ORGANIZATION_NAME,
    ACTIVE_VERSION_ID,
    DEADLINE,
    TTL_MS,
    COMPLETED_S_AGO,
    IS_OVER, /* a later build has succeeded */
    AGENT_DISCONNECTED_AT,
    WORKSPACE_DELETED_AT,
    /* What the workspace's newest agent said last. */
    STATUS_AGENT_ID,
    STATUS_STATE,
    STATUS_MESSAGE,
    STATUS_URI,
    STATUS_AT,
    STATUS_APP_ID,
    STATUS_ID,
    PRESET_ID,
    RESOURCES,
};

/* One row of it. */
struct row {
    const struct db_result *b;
    size_t i;
};

static struct uuid id_of(struct row w, int column)
{
    return db_uuid(w.b, w.i, column);
}

static const char *text_of(struct row w, int column)
{
    return db_text(w.b, w.i, column);
}

static int64_t time_of(struct row w, int column)
{
    return db_time_us(w.b, w.i, column);
}

static bool has(struct row w, int column)
{
    return !db_is_null(w.b, w.i, column);
}

static void put_uuid(struct strbuf *out, const char *key, struct row w, int column)
{
    struct uuid id = id_of(w, column);
    json_put_uuid(out, key, &id);
}

static void put_text(struct strbuf *out, const char *key, struct row w, int column)
{
    json_put_text(out, key, text_of(w, column));
}

struct build_head build_head(const struct db_result *rows, size_t i)
{
    const struct row w = {rows, i};
    return (struct build_head){
        .id = id_of(w, ID),
        .workspace_id = id_of(w, WORKSPACE_ID),
        .task_id = id_of(w, TASK_ID),
        .owner_id = id_of(w, OWNER_ID),
        .job_id = id_of(w, JOB_ID),
        .version_id = id_of(w, VERSION_ID),
        .transition = text_of(w, TRANSITION),
        .job_state = text_of(w, JOB_STATE),
    };
}

bool build_waits(const struct build_head *h)
{
    return strcmp(h->job_state, "pending") == 0 && strcmp(h->transition, "start") == 0;
}

/* ---- job ---- */

static struct job_view job_of(const struct gateway *gw, struct row w)
{
    struct uuid task_id = id_of(w, TASK_ID);
    struct queue_place place = {0};
    if (strcmp(text_of(w, JOB_STATE), "pending") == 0)
        place = queue_place(gw->queue, &task_id);
    return (struct job_view){
        .id = id_of(w, JOB_ID),
        .worker_id = id_of(w, WORKER_ID),
        .file_id = id_of(w, FILE_ID),
        .organization_id = id_of(w, ORGANIZATION_ID),
        .initiator_id = id_of(w, INITIATOR_ID),
        .state = text_of(w, JOB_STATE),
        .error = text_of(w, JOB_ERROR),
        .worker_name = text_of(w, WORKER_NAME),
        .created_at = time_of(w, JOB_CREATED_AT),
        .started_at = time_of(w, JOB_STARTED_AT),
        .completed_at = time_of(w, JOB_COMPLETED_AT),
        .canceled_at = time_of(w, JOB_CANCELED_AT),
        .queue_position = place.position,
        .queue_size = place.size,
        .type = "workspace_build",
        .input_key = "workspace_build_id",
        .input_id = id_of(w, ID),
        .template_version_name = text_of(w, VERSION_NAME),
        .template_id = id_of(w, TEMPLATE_ID),
        .template_name = text_of(w, TEMPLATE_NAME),
        .template_display_name = text_of(w, TEMPLATE_DISPLAY_NAME),
        .template_icon = text_of(w, TEMPLATE_ICON),
        .workspace_id = id_of(w, WORKSPACE_ID),
        .workspace_name = text_of(w, WORKSPACE_NAME),
    };
}

/* ---- resources ---- */

static struct agent_row agent_of(struct row w)
{
    return (struct agent_row){
        .id = id_of(w, AGENT_ID),
        .resource_id = id_of(w, ID),
        .name = text_of(w, AGENT_NAME),
        .created_at = time_of(w, AGENT_CREATED_AT),
        .connected_at = time_of(w, AGENT_CONNECTED_AT),
        .disconnected_at = time_of(w, AGENT_DISCONNECTED_AT),
        .seen = {.lifecycle = text_of(w, AGENT_LIFECYCLE),
                 .has_connected = has(w, AGENT_CONNECTED_AT),
                 .is_lost = has(w, AGENT_DISCONNECTED_AT),
                 .is_started = strcmp(text_of(w, JOB_STATE), "succeeded") == 0,
                 .is_over = db_bool(w.b, w.i, IS_OVER),
                 .started_s_ago = db_int(w.b, w.i, COMPLETED_S_AGO)},
    };
}

static struct app_said said_of(struct row w)
{
    return (struct app_said){
        .id = id_of(w, STATUS_ID),
        .agent_id = id_of(w, STATUS_AGENT_ID),
        .app_id = id_of(w, STATUS_APP_ID),
        .workspace_id = id_of(w, WORKSPACE_ID),
        .state = text_of(w, STATUS_STATE),
        .message = text_of(w, STATUS_MESSAGE),
        .uri = text_of(w, STATUS_URI),
        .at = time_of(w, STATUS_AT),
    };
}

/* Of Terraform's builds: the agent goes into one of them. */
struct agent_place {
    struct row w;
    const struct db_result *apps;
};

static void write_agent(void *arg, struct strbuf *out)
{
    const struct agent_place *p = arg;
    const struct agent_row agent = agent_of(p->w);
    const struct app_said said = said_of(p->w);
    agent_write(&agent, &(struct agent_parts){.apps = p->apps, .said = &said}, out);
}

static bool write_resources(struct row w, const struct db_result *apps, struct strbuf *out)
{
    struct agent_place place = {w, apps};
    const struct resource_set set = {.json = text_of(w, RESOURCES),
        .owner_id = id_of(w, ID),
        .job_id = id_of(w, JOB_ID),
        .created_at = time_of(w, CREATED_AT),
        .transition = text_of(w, TRANSITION),
        .write_agent = has(w, AGENT_ID) ? write_agent : NULL,
        .arg = &place};
    return resources_write(&set, out);
}

static void write_resource(struct row w, const struct db_result *apps, struct strbuf *out)
{
    const struct agent_row agent = agent_of(w);
    const struct app_said said = said_of(w);
    json_open(out, '{');
    put_uuid(out, "id", w, ID);
    json_put_time(out, "created_at", time_of(w, CREATED_AT));
    put_uuid(out, "job_id", w, JOB_ID);
    put_text(out, "workspace_transition", w, TRANSITION);
    json_put_text(out, "type", "stint_workspace");
    put_text(out, "name", w, WORKSPACE_NAME);
    json_put_bool(out, "hide", false);
    json_put_text(out, "icon", "");
    json_key(out, "agents");
    json_open(out, '[');
    agent_write(&agent, &(struct agent_parts){.apps = apps, .said = &said}, out);
    json_close(out, ']');
    json_key(out, "metadata"), json_open(out, '['), json_close(out, ']');
    json_put_int(out, "daily_cost", 0);
    json_close(out, '}');
}

void build_write_resources(const struct db_result *const *results, size_t i, struct strbuf *out)
{
    const struct row w = {results[0], i};
    json_open(out, '[');
    if (!write_resources(w, results[1], out) && has(w, AGENT_ID))
        write_resource(w, results[1], out);
    json_close(out, ']');
}

/* ---- build ---- */

static void write_names(struct row w, struct strbuf *out)
{
    put_uuid(out, "id", w, ID);
    json_put_time(out, "created_at", time_of(w, CREATED_AT));
    json_put_time(out, "updated_at", time_of(w, UPDATED_AT));
    put_uuid(out, "workspace_id", w, WORKSPACE_ID);
    put_text(out, "workspace_name", w, WORKSPACE_NAME);
    put_uuid(out, "workspace_owner_id", w, OWNER_ID);
    put_text(out, "workspace_owner_name", w, OWNER_NAME);
    json_put_text_if(out, "workspace_owner_avatar_url", text_of(w, OWNER_AVATAR_URL));
    put_uuid(out, "template_version_id", w, VERSION_ID);
    put_text(out, "template_version_name", w, VERSION_NAME);
    json_put_int(out, "build_number", db_int(w.b, w.i, NUMBER));
    put_text(out, "transition", w, TRANSITION);
    put_uuid(out, "initiator_id", w, INITIATOR_ID);
    put_text(out, "initiator_name", w, INITIATOR_NAME);
}

void build_write(
    const struct gateway *gw, const struct db_result *const *results, size_t i, struct strbuf *out)
{
    const struct row w = {results[0], i};
    const struct job_view job = job_of(gw, w);
    const struct uuid preset = id_of(w, PRESET_ID);
    json_open(out, '{');
    write_names(w, out);
    json_key(out, "job");
    job_write(&job, out);
    put_text(out, "reason", w, REASON);
    json_key(out, "resources");
    build_write_resources(results, i, out);
    json_put_time_or_null(out, "deadline", time_of(w, DEADLINE));
    json_put_null(out, "max_deadline");
    json_put_text(out, "status", workspace_status(text_of(w, TRANSITION), text_of(w, JOB_STATE)));
    json_put_int(out, "daily_cost", 0);
    json_put_uuid_or_null(out, "template_version_preset_id", &preset);
    json_put_bool(out, "has_ai_task", true);
    json_put_bool(out, "has_external_agent", false);
    json_close(out, '}');
}

/* ---- workspace ---- */

static void write_owner_and_template(struct row w, struct strbuf *out)
{
    put_uuid(out, "owner_id", w, OWNER_ID);
    put_text(out, "owner_name", w, OWNER_NAME);
    put_text(out, "owner_avatar_url", w, OWNER_AVATAR_URL);
    put_uuid(out, "organization_id", w, ORGANIZATION_ID);
    put_text(out, "organization_name", w, ORGANIZATION_NAME);
    put_uuid(out, "template_id", w, TEMPLATE_ID);
    put_text(out, "template_name", w, TEMPLATE_NAME);
    put_text(out, "template_display_name", w, TEMPLATE_DISPLAY_NAME);
    put_text(out, "template_icon", w, TEMPLATE_ICON);
    json_put_bool(out, "template_allow_user_cancel_workspace_jobs", true);
    put_uuid(out, "template_active_version_id", w, ACTIVE_VERSION_ID);
    json_put_bool(out, "template_require_active_version", false);
    json_put_bool(out, "template_use_classic_parameter_flow", true);
}

/* Only what runs can be ill. */
static void write_health(struct row w, struct strbuf *out)
{
    const struct agent_row a = agent_of(w);
    bool runs = has(w, AGENT_ID) && a.seen.is_started && !a.seen.is_over;
    bool is_ill = runs && agent_illness(agent_connection(&a.seen), a.seen.lifecycle) != NULL;
    json_key(out, "health");
    json_open(out, '{');
    json_put_bool(out, "healthy", !is_ill);
    json_key(out, "failing_agents");
    json_open(out, '[');
    if (is_ill)
        json_uuid(out, &a.id);
    json_close(out, ']');
    json_close(out, '}');
}

/* What Coder's clients expect to be there and Stint has one answer to. */
static void write_fixed(struct row w, struct strbuf *out)
{
    static const char *const nulls[] = {
        "autostart_schedule", "dormant_at", "deleting_at", "next_start_at"};
    for (size_t i = 0; i < COUNT(nulls); i++)
        json_put_null(out, nulls[i]);
    json_put_time(out, "last_used_at", time_of(w, WORKSPACE_UPDATED_AT));
    json_put_text(out, "automatic_updates", "never");
    json_put_bool(out, "allow_renames", false);
    json_put_bool(out, "favorite", false);
    json_put_bool(out, "is_prebuild", false);
    json_key(out, "shared_with"), json_open(out, '['), json_close(out, ']');
}

static void write_latest(
    const struct gateway *gw, const struct db_result *const *results, size_t i, struct strbuf *out)
{
    const struct row w = {results[0], i};
    const struct app_said said = said_of(w);
    json_key(out, "latest_build");
    build_write(gw, results, i, out);
    json_key(out, "latest_app_status");
    if (has(w, STATUS_STATE))
        app_said_write(&said, out);
    else
        json_raw(out, "null", 4);
}

void workspace_write(
    const struct gateway *gw, const struct db_result *const *results, size_t i, struct strbuf *out)
{
    const struct row w = {results[0], i};
    struct uuid active = id_of(w, ACTIVE_VERSION_ID), version = id_of(w, VERSION_ID);
    json_open(out, '{');
    put_uuid(out, "id", w, WORKSPACE_ID);
    json_put_time(out, "created_at", time_of(w, WORKSPACE_CREATED_AT));
    json_put_time(out, "updated_at", time_of(w, WORKSPACE_UPDATED_AT));
    write_owner_and_template(w, out);
    json_put_bool(out, "outdated", !uuid_eq(&active, &version));
    put_text(out, "name", w, WORKSPACE_NAME);
    put_uuid(out, "task_id", w, TASK_ID);
    write_latest(gw, results, i, out);
    if (db_int(w.b, w.i, TTL_MS) > 0)
        json_put_int(out, "ttl_ms", db_int(w.b, w.i, TTL_MS));
    else
        json_put_null(out, "ttl_ms");
    write_health(w, out);
    write_fixed(w, out);
    json_close(out, '}');
}
