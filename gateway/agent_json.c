/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_json.c - an agent, its connection, its apps: rules as Coder has them, and their JSON.
 */
#include <string.h>

#include "core/base/cleanup.h"
#include "gateway/agent.h"
#include "gateway/json_out.h"

/* ---- rules ---- */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool is_shutting_down(const char *lifecycle)
{
    static const char *const ending[] = {
        "shutting_down", "shutdown_timeout", "shutdown_error", "off"};
    for (size_t i = 0; i < COUNT(ending); i++)
        if (is(lifecycle, ending[i]))
            return true;
    return false;
}

const char *agent_connection(const struct agent_seen *seen)
{
    if (!seen->has_connected)
        return seen->is_started && seen->started_s_ago > AGENT_CONNECT_SECONDS_MAX ? "timeout"
                                                                                   : "connecting";
    /* Its last words are those of an end. */
    bool has_ended = is_shutting_down(seen->lifecycle) && !is(seen->lifecycle, "shutting_down");
    return seen->is_over || seen->is_lost || has_ended ? "disconnected" : "connected";
}

const char *agent_illness(const char *connection, const char *lifecycle)
{
    if (!is(connection, "connected") && is(lifecycle, "off"))
        return "agent is not running";
    if (is(connection, "timeout"))
        return "agent is taking too long to connect";
    if (is(connection, "disconnected"))
        return "agent has lost connection";
    if (is(lifecycle, "start_error"))
        return "agent startup script exited with an error";
    return is_shutting_down(lifecycle) ? "agent is shutting down" : NULL;
}

/* ---- JSON ---- */

void agent_write_health(const char *connection, const char *lifecycle, struct strbuf *out)
{
    const char *reason = agent_illness(connection, lifecycle);
    json_key(out, "health");
    json_open(out, '{');
    json_put_bool(out, "healthy", reason == NULL);
    if (reason != NULL)
        json_put_text(out, "reason", reason);
    json_close(out, '}');
}

static void put_empty(struct strbuf *out, const char *key, const char *brackets)
{
    json_key(out, key), json_open(out, brackets[0]), json_close(out, brackets[1]);
}

void app_said_write(const struct app_said *s, struct strbuf *out)
{
    json_open(out, '{');
    json_put_uuid(out, "id", &s->id);
    json_put_time(out, "created_at", s->at);
    json_put_uuid(out, "workspace_id", &s->workspace_id);
    json_put_uuid(out, "agent_id", &s->agent_id);
    json_put_uuid(out, "app_id", &s->app_id);
    json_put_text(out, "state", s->state);
    json_put_text(out, "message", s->message);
    json_put_text(out, "uri", s->uri);
    json_put_text(out, "icon", "");
    json_put_bool(out, "needs_user_attention", false);
    json_close(out, '}');
}

/* The columns of app_list: id, slug, display_name, icon, url, health, is_task_app, agent. */
enum app_column { APP_ID, SLUG, DISPLAY_NAME, ICON, URL, HEALTH, IS_TASK_APP, AGENT_ID };

static void write_app(
    const struct db_result *p, size_t i, const struct app_said *said, struct strbuf *out)
{
    struct uuid id = db_uuid(p, i, APP_ID);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text_if(out, "url", db_text(p, i, URL));
    json_put_bool(out, "external", false);
    json_put_text(out, "slug", db_text(p, i, SLUG));
    json_put_text(out, "display_name", db_text(p, i, DISPLAY_NAME));
    json_put_text_if(out, "icon", db_text(p, i, ICON));
    json_put_bool(out, "subdomain", false);
    json_put_text(out, "sharing_level", "owner");
    json_put_text(out, "health", db_text(p, i, HEALTH));
    json_put_bool(out, "hidden", false);
    json_put_text(out, "open_in", "slim-window");
    json_key(out, "statuses");
    json_open(out, '[');
    if (said != NULL && said->state[0] != '\0' && uuid_eq(&said->app_id, &id))
        app_said_write(said, out);
    json_close(out, ']');
    json_put_bool(out, "is_task_app", db_bool(p, i, IS_TASK_APP));
    json_close(out, '}');
}

void agent_write_apps(const struct uuid *agent_id, const struct db_result *apps,
    const struct app_said *said, struct strbuf *out)
{
    json_key(out, "apps");
    json_open(out, '[');
    for (size_t i = 0; apps != NULL && i < db_rows(apps); i++) {
        struct uuid of = db_uuid(apps, i, AGENT_ID);
        if (agent_id == NULL || uuid_eq(&of, agent_id))
            write_app(apps, i, said, out);
    }
    json_close(out, ']');
}

void agent_write_metadata(const struct db_result *metadata, struct strbuf *out)
{
    json_key(out, "metadata");
    json_open(out, '[');
    for (size_t i = 0; i < db_rows(metadata); i++) {
        json_open(out, '{');
        json_put_text(out, "key", db_text(metadata, i, 0));
        json_put_text(out, "value", db_text(metadata, i, 1));
        json_put_text(out, "error", db_text(metadata, i, 2));
        json_put_time(out, "collected_at", db_time_us(metadata, i, 3));
        json_close(out, '}');
    }
    json_close(out, ']');
}

/* The columns of agent_log_sources: name, id, bytes, time of the first line. */
static void write_sources(
    const struct agent_row *a, const struct db_result *sources, struct strbuf *out)
{
    int64_t bytes = 0;
    json_key(out, "log_sources");
    json_open(out, '[');
    for (size_t i = 0; sources != NULL && i < db_rows(sources); i++) {
        struct uuid id = db_uuid(sources, i, 1);
        bytes += db_int(sources, i, 2);
        json_open(out, '{');
        json_put_uuid(out, "workspace_agent_id", &a->id);
        json_put_uuid(out, "id", &id);
        json_put_time(out, "created_at", db_time_us(sources, i, 3));
        json_put_text(out, "display_name", db_text(sources, i, 0));
        json_put_text(out, "icon", "");
        json_close(out, '}');
    }
    json_close(out, ']');
    json_put_int(out, "logs_length", bytes);
    json_put_bool(out, "logs_overflowed", false);
}

void agent_write(const struct agent_row *a, const struct agent_parts *parts, struct strbuf *out)
{
    const char *connection = agent_connection(&a->seen);
    json_open(out, '{');
    json_put_uuid(out, "id", &a->id);
    json_put_null(out, "parent_id");
    json_put_time(out, "created_at", a->created_at);
    json_put_time(
        out, "updated_at", a->connected_at != INT64_MIN ? a->connected_at : a->created_at);
    json_put_time_if(out, "first_connected_at", a->connected_at);
    json_put_time_if(out, "disconnected_at", a->disconnected_at);
    json_put_text(out, "status", connection);
    json_put_text(out, "lifecycle_state", a->seen.lifecycle);
    json_put_text(out, "name", a->name);
    json_put_uuid(out, "resource_id", &a->resource_id);
    json_put_text(out, "architecture", "amd64");
    put_empty(out, "environment_variables", "{}");
    json_put_text(out, "operating_system", "linux");
    json_put_text(out, "version", "");
    json_put_text(out, "api_version", "");
    agent_write_apps(&a->id, parts->apps, parts->said, out);
    json_put_int(out, "connection_timeout_seconds", AGENT_CONNECT_SECONDS_MAX);
    json_put_text(out, "troubleshooting_url", "");
    put_empty(out, "subsystems", "[]");
    agent_write_health(connection, a->seen.lifecycle, out);
    put_empty(out, "display_apps", "[]");
    write_sources(a, parts->sources, out);
    put_empty(out, "scripts", "[]");
    json_put_text(out, "startup_script_behavior", "non-blocking");
    if (parts->metadata != NULL)
        agent_write_metadata(parts->metadata, out);
    json_close(out, '}');
}
