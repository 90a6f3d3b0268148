/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builds.c - GET /workspacebuilds/{build}[/logs], GET /workspaces/{workspace}.
 *
 * One statement brings a build with everything around it, one more its apps.
 */
#include "gateway/build.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/agent.h"
#include "gateway/json_out.h"
#include "gateway/queue.h"
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
};

static void put_uuid(struct strbuf *out, const char *key, const struct db_result *r, int column)
{
    struct uuid id = db_uuid(r, 0, column);
    json_put_uuid(out, key, &id);
}

static void put_text(struct strbuf *out, const char *key, const struct db_result *r, int column)
{
    json_put_text(out, key, db_text(r, 0, column));
}

/* ---- job ---- */

static void put_uuid_if(struct strbuf *out, const char *key, const struct uuid *id)
{
    if (!uuid_is_nil(id))
        json_put_uuid(out, key, id);
}

static void write_metadata(const struct job_view *j, struct strbuf *out)
{
    json_key(out, "metadata");
    json_open(out, '{');
    json_put_text(out, "template_version_name", j->template_version_name);
    json_put_uuid(out, "template_id", &j->template_id);
    json_put_text(out, "template_name", j->template_name);
    json_put_text(out, "template_display_name", j->template_display_name);
    json_put_text(out, "template_icon", j->template_icon);
    put_uuid_if(out, "workspace_id", &j->workspace_id);
    json_put_text_if(out, "workspace_name", j->workspace_name);
    json_close(out, '}');
}

void job_write(const struct job_view *j, struct strbuf *out)
{
    json_open(out, '{');
    json_put_uuid(out, "id", &j->id);
    json_put_time(out, "created_at", j->created_at);
    json_put_time_if(out, "started_at", j->started_at);
    json_put_time_if(out, "completed_at", j->completed_at);
    json_put_time_if(out, "canceled_at", j->canceled_at);
    json_put_text_if(out, "error", j->error);
    json_put_text(out, "status", j->state);
    put_uuid_if(out, "worker_id", &j->worker_id);
    json_put_text_if(out, "worker_name", j->worker_name);
    json_put_uuid(out, "file_id", &j->file_id);
    json_key(out, "tags"), json_open(out, '{'), json_close(out, '}');
    json_put_int(out, "queue_position", j->queue_position);
    json_put_int(out, "queue_size", j->queue_size);
    json_put_uuid(out, "organization_id", &j->organization_id);
    json_put_uuid(out, "initiator_id", &j->initiator_id);
    json_key(out, "input");
    json_open(out, '{');
    json_put_uuid(out, j->input_key, &j->input_id);
    json_close(out, '}');
    json_put_text(out, "type", j->type);
    write_metadata(j, out);
    json_put_bool(out, "logs_overflowed", false);
    json_close(out, '}');
}

static struct job_view job_of(const struct request *r, const struct db_result *b)
{
    struct uuid task_id = db_uuid(b, 0, TASK_ID);
    struct queue_place place = {0};
    if (strcmp(db_text(b, 0, JOB_STATE), "pending") == 0)
        place = queue_place(r->gw->queue, &task_id);
    return (struct job_view){
        .id = db_uuid(b, 0, JOB_ID),
        .worker_id = db_uuid(b, 0, WORKER_ID),
        .file_id = db_uuid(b, 0, FILE_ID),
        .organization_id = db_uuid(b, 0, ORGANIZATION_ID),
        .initiator_id = db_uuid(b, 0, INITIATOR_ID),
        .state = db_text(b, 0, JOB_STATE),
        .error = db_text(b, 0, JOB_ERROR),
        .worker_name = db_text(b, 0, WORKER_NAME),
        .created_at = db_time_us(b, 0, JOB_CREATED_AT),
        .started_at = db_time_us(b, 0, JOB_STARTED_AT),
        .completed_at = db_time_us(b, 0, JOB_COMPLETED_AT),
        .canceled_at = db_time_us(b, 0, JOB_CANCELED_AT),
        .queue_position = place.position,
        .queue_size = place.size,
        .type = "workspace_build",
        .input_key = "workspace_build_id",
        .input_id = db_uuid(b, 0, ID),
        .template_version_name = db_text(b, 0, VERSION_NAME),
        .template_id = db_uuid(b, 0, TEMPLATE_ID),
        .template_name = db_text(b, 0, TEMPLATE_NAME),
        .template_display_name = db_text(b, 0, TEMPLATE_DISPLAY_NAME),
        .template_icon = db_text(b, 0, TEMPLATE_ICON),
        .workspace_id = db_uuid(b, 0, WORKSPACE_ID),
        .workspace_name = db_text(b, 0, WORKSPACE_NAME),
    };
}

/* ---- resources ---- */

static void write_agent(const struct db_result *b, const struct db_result *apps, struct strbuf *out)
{
    const struct agent_row a = {
        .id = db_uuid(b, 0, AGENT_ID),
        .resource_id = db_uuid(b, 0, ID),
        .name = db_text(b, 0, AGENT_NAME),
        .created_at = db_time_us(b, 0, AGENT_CREATED_AT),
        .connected_at = db_time_us(b, 0, AGENT_CONNECTED_AT),
        .disconnected_at = db_time_us(b, 0, AGENT_DISCONNECTED_AT),
        .seen = {.lifecycle = db_text(b, 0, AGENT_LIFECYCLE),
                 .has_connected = !db_is_null(b, 0, AGENT_CONNECTED_AT),
                 .is_lost = !db_is_null(b, 0, AGENT_DISCONNECTED_AT),
                 .is_started = strcmp(db_text(b, 0, JOB_STATE), "succeeded") == 0,
                 .is_over = db_bool(b, 0, IS_OVER),
                 .started_s_ago = db_int(b, 0, COMPLETED_S_AGO)},
    };
    agent_write(&a, &(struct agent_parts){.apps = apps}, out);
}

static void write_resources(
    const struct db_result *b, const struct db_result *apps, struct strbuf *out)
{
    json_key(out, "resources");
    json_open(out, '[');
    if (!db_is_null(b, 0, AGENT_ID)) {
        json_open(out, '{');
        put_uuid(out, "id", b, ID);
        json_put_time(out, "created_at", db_time_us(b, 0, CREATED_AT));
        put_uuid(out, "job_id", b, JOB_ID);
        put_text(out, "workspace_transition", b, TRANSITION);
        json_put_text(out, "type", "stint_workspace");
        put_text(out, "name", b, WORKSPACE_NAME);
        json_put_bool(out, "hide", false);
        json_put_text(out, "icon", "");
        json_key(out, "agents");
        json_open(out, '[');
        write_agent(b, apps, out);
        json_close(out, ']');
        json_put_int(out, "daily_cost", 0);
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* ---- build, workspace ---- */

static void write_build(struct request *r, const struct db_result *const *results)
{
    const struct db_result *b = results[0];
    struct strbuf *out = &r->out;
    json_open(out, '{');
    put_uuid(out, "id", b, ID);
    json_put_time(out, "created_at", db_time_us(b, 0, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(b, 0, UPDATED_AT));
    put_uuid(out, "workspace_id", b, WORKSPACE_ID);
    put_text(out, "workspace_name", b, WORKSPACE_NAME);
    put_uuid(out, "workspace_owner_id", b, OWNER_ID);
    put_text(out, "workspace_owner_name", b, OWNER_NAME);
    json_put_text_if(out, "workspace_owner_avatar_url", db_text(b, 0, OWNER_AVATAR_URL));
    put_uuid(out, "template_version_id", b, VERSION_ID);
    put_text(out, "template_version_name", b, VERSION_NAME);
    json_put_int(out, "build_number", db_int(b, 0, NUMBER));
    put_text(out, "transition", b, TRANSITION);
    put_uuid(out, "initiator_id", b, INITIATOR_ID);
    put_text(out, "initiator_name", b, INITIATOR_NAME);
    struct job_view job = job_of(r, b);
    json_key(out, "job");
    job_write(&job, out);
    put_text(out, "reason", b, REASON);
    write_resources(b, results[1], out);
    json_put_time_or_null(out, "deadline", db_time_us(b, 0, DEADLINE));
    json_put_null(out, "max_deadline");
    json_put_text(
        out, "status", workspace_status(db_text(b, 0, TRANSITION), db_text(b, 0, JOB_STATE)));
    json_put_int(out, "daily_cost", 0);
    json_put_null(out, "template_version_preset_id");
    json_put_bool(out, "has_ai_task", true);
    json_put_bool(out, "has_external_agent", false);
    json_close(out, '}');
}

static void write_workspace(struct request *r, const struct db_result *const *results)
{
    const struct db_result *b = results[0];
    struct strbuf *out = &r->out;
    struct uuid active = db_uuid(b, 0, ACTIVE_VERSION_ID), version = db_uuid(b, 0, VERSION_ID);
    json_open(out, '{');
    put_uuid(out, "id", b, WORKSPACE_ID);
    json_put_time(out, "created_at", db_time_us(b, 0, WORKSPACE_CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(b, 0, WORKSPACE_UPDATED_AT));
    put_uuid(out, "owner_id", b, OWNER_ID);
    put_text(out, "owner_name", b, OWNER_NAME);
    put_text(out, "owner_avatar_url", b, OWNER_AVATAR_URL);
    put_uuid(out, "organization_id", b, ORGANIZATION_ID);
    put_text(out, "organization_name", b, ORGANIZATION_NAME);
    put_uuid(out, "template_id", b, TEMPLATE_ID);
    put_text(out, "template_name", b, TEMPLATE_NAME);
    put_text(out, "template_display_name", b, TEMPLATE_DISPLAY_NAME);
    put_text(out, "template_icon", b, TEMPLATE_ICON);
    put_uuid(out, "template_active_version_id", b, ACTIVE_VERSION_ID);
    json_put_bool(out, "outdated", !uuid_eq(&active, &version));
    put_text(out, "name", b, WORKSPACE_NAME);
    put_uuid(out, "task_id", b, TASK_ID);
    json_key(out, "latest_build");
    write_build(r, results);
    json_put_null(out, "latest_app_status");
    json_put_null(out, "autostart_schedule");
    if (db_int(b, 0, TTL_MS) > 0)
        json_put_int(out, "ttl_ms", db_int(b, 0, TTL_MS));
    else
        json_put_null(out, "ttl_ms");
    json_key(out, "health");
    json_open(out, '{');
    json_put_bool(out, "healthy", true);
    json_key(out, "failing_agents"), json_open(out, '['), json_close(out, ']');
    json_close(out, '}');
    json_put_bool(out, "favorite", false);
    json_close(out, '}');
}

/* ---- asking ---- */

/* The row is gone by the time the queue has answered, so it is asked for first. */
struct build_ask {
    struct uuid build_id, workspace_id;
    enum { SHOW_BUILD, SHOW_MADE, SHOW_WORKSPACE, CANCEL_IT } show;
    bool knows_place;
};

static void cancel(struct request *r, const struct db_result *b);

static void ask_build(struct request *r);

static void on_place(void *arg)
{
    ask_build(arg);
}

static bool is_waiting(const struct db_result *b)
{
    return strcmp(db_text(b, 0, JOB_STATE), "pending") == 0 &&
           strcmp(db_text(b, 0, TRANSITION), "start") == 0;
}

static void on_build(struct request *r, const struct db_result *const *results)
{
    const struct db_result *b = results[0];
    struct build_ask *a = r->state;
    struct uuid owner = {0}, task_id = {0};
    if (db_rows(b) == 1) {
        owner = db_uuid(b, 0, OWNER_ID);
        task_id = db_uuid(b, 0, TASK_ID);
    }
    if (db_rows(b) == 0 || !request_may_touch(r, &owner)) {
        answer_not_found(r);
        return;
    }
    if (a->show == CANCEL_IT) {
        cancel(r, b);
        return;
    }
    if (is_waiting(b) && !a->knows_place) {
        a->knows_place = true;
        queue_ask(r->gw->queue, &task_id, 1, on_place, r);
        return;
    }
    if (a->show == SHOW_MADE) {
        json_open(&r->out, '{');
        json_key(&r->out, "workspace_build");
        write_build(r, results);
        json_close(&r->out, '}');
    } else if (a->show == SHOW_WORKSPACE) {
        write_workspace(r, results);
    } else {
        write_build(r, results);
    }
    answer_json(r, a->show == SHOW_MADE ? 202 : 200);
}

static void ask_build(struct request *r)
{
    const struct build_ask *a = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_READ);
    db_add_uuid(b, &a->build_id);
    db_add_uuid(b, &a->workspace_id);
    db_batch_add(b, SQL_APP_LIST_OF_BUILD);
    db_add_uuid(b, &a->build_id);
    db_add_uuid(b, &a->workspace_id);
    ask_db(r, b, on_build);
}

void build_answer_made(struct request *r, const struct uuid *build_id)
{
    struct build_ask *a = request_state(r, sizeof(*a), NULL);
    a->build_id = *build_id;
    a->show = SHOW_MADE;
    ask_build(r);
}

void build_get(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct build_ask *a = request_state(r, sizeof(*a), NULL);
    a->build_id = id;
    ask_build(r);
}

void workspace_get(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct build_ask *a = request_state(r, sizeof(*a), NULL);
    a->workspace_id = id;
    a->show = SHOW_WORKSPACE;
    ask_build(r);
}

/* ---- cancel ---- */

static void on_canceled(struct request *r, const Stint__V1__Envelope *reply)
{
    if (task_accepted(r, reply) == NULL)
        return;
    json_open(&r->out, '{');
    json_key(&r->out, "message");
    json_text(&r->out, "Job has been marked as canceled...");
    json_close(&r->out, '}');
    answer_json(r, 200);
}

/* `?expect_status=pending|running`: only if the job is still as the asker saw it. */
static void cancel(struct request *r, const struct db_result *b)
{
    const char *expected = request_query(r, "expect_status");
    if (expected != NULL && strcmp(expected, "pending") != 0 && strcmp(expected, "running") != 0) {
        answer_error(r, 400, "Invalid expect_status.", "Use pending or running.");
        return;
    }
    if (expected != NULL && strcmp(expected, db_text(b, 0, JOB_STATE)) != 0) {
        answer_error(r, 412, "Job is not in the expected state.", "");
        return;
    }
    const struct build_ask *a = r->state;
    struct uuid task_id = db_uuid(b, 0, TASK_ID);
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.task_id = wire_uuid(&task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.build_id = wire_uuid(&a->build_id);
    m.verb = STINT__V1__TASK_VERB__TASK_VERB_CANCEL;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_canceled);
}

void build_cancel(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct build_ask *a = request_state(r, sizeof(*a), NULL);
    a->build_id = id;
    a->show = CANCEL_IT;
    ask_build(r);
}
