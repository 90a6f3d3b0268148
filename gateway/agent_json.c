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

/* The columns of app_list: id, slug, display_name, icon, url, health, is_task_app. */
static void write_app(const struct db_result *p, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(p, i, 0);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text_if(out, "url", db_text(p, i, 4));
    json_put_bool(out, "external", false);
    json_put_text(out, "slug", db_text(p, i, 1));
    json_put_text(out, "display_name", db_text(p, i, 2));
    json_put_text_if(out, "icon", db_text(p, i, 3));
    json_put_bool(out, "subdomain", false);
    json_put_text(out, "sharing_level", "owner");
    json_put_text(out, "health", db_text(p, i, 5));
    json_put_bool(out, "hidden", false);
    json_put_text(out, "open_in", "slim-window");
    put_empty(out, "statuses", "[]");
    json_put_bool(out, "is_task_app", db_bool(p, i, 6));
    json_close(out, '}');
}

void agent_write_apps(const struct db_result *apps, struct strbuf *out)
{
    json_key(out, "apps");
    json_open(out, '[');
    for (size_t i = 0; apps != NULL && i < db_rows(apps); i++)
        write_app(apps, i, out);
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
    agent_write_apps(parts->apps, out);
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
