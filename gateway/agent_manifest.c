/* SPDX-License-Identifier: Apache-2.0 */
/* agent_manifest.c - the provider's rows to the manifest's. */
#include "gateway/agent_manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#define NAME_MAX_BYTES 64
#define AGENTAPI_PORT  3284
/* As the manifest bounds them. */
#define SECONDS_MAX     86400
#define INTERVAL_MS_MIN 100
#define THRESHOLD_MAX   1000

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "";
}

static json_int_t seconds_of(const json_t *row, const char *key, json_int_t initial)
{
    json_int_t n = json_integer_value(json_object_get(row, key));
    n = n > 0 ? n : initial;
    return n < SECONDS_MAX ? n : SECONDS_MAX;
}

static bool is_true(const json_t *row, const char *key)
{
    return json_is_true(json_object_get(row, key));
}

/* ---- scripts ---- */

static bool has_name(const json_t *rows, const char *key, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(text_of(row, key), name) == 0)
            return true;
    }
    return false;
}

/* `name`, or "name 2", … : no two are called the same. */
static void set_name(json_t *script, const json_t *among, const char *name, const char *suffix)
{
    char whole[NAME_MAX_BYTES + 32];
    size_t n = text_utf8_prefix(name, strlen(name), NAME_MAX_BYTES - 16);
    snprintf(whole, sizeof(whole), "%.*s%s", (int)n, name[0] != '\0' ? name : "script", suffix);
    for (int i = 2; has_name(among, "name", whole); i++)
        snprintf(whole, sizeof(whole), "%.*s%s %d", (int)n, name[0] != '\0' ? name : "script",
            suffix, i);
    json_object_set_new(script, "name", json_string(whole));
}

/*
 * Coder's schedule begins with seconds: six fields, or five without the weekday; "@daily" and the
 * like.  Ours has minutes to weekday.  False: it cannot be said in minutes.
 */
static bool cron_of(const char *text, char *ret_cron, size_t size)
{
    static const char *const words[][2] = {
        {"@hourly",   "0 * * * *"},
        {"@daily",    "0 0 * * *"},
        {"@midnight", "0 0 * * *"},
        {"@weekly",   "0 0 * * 0"},
        {"@monthly",  "0 0 1 * *"},
        {"@yearly",   "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(text, words[i][0]) == 0)
            return snprintf(ret_cron, size, "%s", words[i][1]) > 0;
    scoped_free char *copy = mem_strdup(text);
    char *rest = copy, *word, *field[7] = {0};
    size_t n = 0;
    while (n < COUNT(field) && (word = strsep(&rest, " \t")) != NULL)
        if (word[0] != '\0')
            field[n++] = word;
    if (text[0] == '@' || (n != 5 && n != 6))
        return false;
    for (size_t i = 1; i < n; i++)
        for (char *p = field[i]; *p != '\0'; p++)
            *p = *p == '?' ? '*' : *p;
    return snprintf(ret_cron, size, "%s %s %s %s %s", field[1], field[2], field[3], field[4],
               n == 6 ? field[5] : "*") < (int)size;
}

static void add_run(json_t *scripts, const json_t *from, const char *run, const char *suffix)
{
    json_t *script =
        json_pack("{s:s, s:s, s:b, s:I}", "run", run, "script", text_of(from, "script"), "blocking",
            (int)(strcmp(run, "start") == 0 && is_true(from, "start_blocks_login")), "timeout_ms",
            seconds_of(from, "timeout", 0) * 1000);
    set_name(script, scripts, text_of(from, "display_name"), suffix);
    if (text_of(from, "log_path")[0] != '\0')
        json_object_set_new(script, "log_path", json_string(text_of(from, "log_path")));
    json_array_append_new(scripts, script);
}

static void add_script(json_t *scripts, const json_t *from)
{
    char cron[256];
    if (is_true(from, "run_on_start"))
        add_run(scripts, from, "start", "");
    if (is_true(from, "run_on_stop"))
        add_run(scripts, from, "stop", is_true(from, "run_on_start") ? " (stop)" : "");
    if (text_of(from, "cron")[0] == '\0' || !cron_of(text_of(from, "cron"), cron, sizeof(cron)))
        return;
    add_run(scripts, from, "cron", is_true(from, "run_on_start") ? " (cron)" : "");
    json_object_set_new(
        json_array_get(scripts, json_array_size(scripts) - 1), "cron", json_string(cron));
}

/* coder_agent's own two, which came before coder_script. */
static void add_own_scripts(json_t *scripts, const json_t *agent)
{
    static const struct {
        const char *key, *name, *run, *log_path;
    } rows[] = {
        {"startup_script",  "Startup Script",  "start", "coder-startup-script.log" },
        {"shutdown_script", "Shutdown Script", "stop",  "coder-shutdown-script.log"},
    };
    bool waits = strcmp(text_of(agent, "startup_script_behavior"), "blocking") == 0;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (text_of(agent, rows[i].key)[0] == '\0')
            continue;
        json_t *from = json_pack("{s:s, s:s, s:s, s:b}", "display_name", rows[i].name, "script",
            text_of(agent, rows[i].key), "log_path", rows[i].log_path, "start_blocks_login",
            (int)waits);
        add_run(scripts, from, rows[i].run, "");
        json_decref(from);
    }
}

static json_t *scripts_of(const json_t *agent)
{
    json_t *scripts = json_array();
    size_t i;
    json_t *from;
    add_own_scripts(scripts, agent);
    json_array_foreach(json_object_get(agent, "scripts"), i, from) add_script(scripts, from);
    return scripts;
}

/* ---- metadata ---- */

static json_t *metadata_of(const json_t *agent)
{
    json_t *list = json_array();
    size_t i;
    json_t *from;
    json_array_foreach(json_object_get(agent, "metadata"), i, from)
    {
        const char *key = text_of(from, "key");
        if (key[0] == '\0' || strlen(key) > NAME_MAX_BYTES || has_name(list, "key", key))
            continue;
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:I, s:I}", "key", key, "display_name",
                      text_of(from, "display_name"), "script", text_of(from, "script"),
                      "interval_ms", seconds_of(from, "interval", 10) * 1000, "timeout_ms",
                      seconds_of(from, "timeout", 5) * 1000));
    }
    return list;
}

/* ---- apps ---- */

int agent_manifest_port(const char *url)
{
    static const char *const begins[] = {"http://localhost:", "http://127.0.0.1:", "http://[::1]:"};
    for (size_t i = 0; i < COUNT(begins); i++) {
        size_t n = strlen(begins[i]);
        long port = strncmp(url, begins[i], n) == 0 ? strtol(url + n, NULL, 10) : 0;
        if (port > 0 && port <= 65535)
            return (int)port;
    }
    return 0;
}

static json_t *health_of(const json_t *app)
{
    const json_t *from = json_object_get(app, "healthcheck");
    const char *url = text_of(from, "url");
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return NULL;
    json_int_t interval_ms = seconds_of(from, "interval", 1) * 1000;
    json_int_t threshold = json_integer_value(json_object_get(from, "threshold"));
    threshold = threshold < 1 ? 1 : threshold > THRESHOLD_MAX ? THRESHOLD_MAX : threshold;
    return json_pack("{s:s, s:I, s:I}", "url", url, "interval_ms",
        interval_ms > INTERVAL_MS_MIN ? interval_ms : INTERVAL_MS_MIN, "threshold", threshold);
}

static json_t *apps_of(const json_t *agent, const char *task_app, int *ret_port)
{
    json_t *list = json_array();
    size_t i;
    json_t *from;
    json_array_foreach(json_object_get(agent, "apps"), i, from)
    {
        const char *slug = text_of(from, "slug");
        if (slug[0] == '\0' || strlen(slug) > NAME_MAX_BYTES || has_name(list, "slug", slug))
            continue;
        json_t *app =
            json_pack("{s:s, s:s}", "slug", slug, "display_name", text_of(from, "display_name"));
        json_t *health = health_of(from);
        if (health != NULL)
            json_object_set_new(app, "health", health);
        json_array_append_new(list, app);
        if (strcmp(slug, task_app) == 0)
            *ret_port = agent_manifest_port(text_of(from, "url"));
    }
    return list;
}

/* ---- the whole ---- */

/*
 * The task's app begins by itself, from a script of the template, with the prompt that the template
 * gives it; when it answers like AgentAPI its conversation is followed and it takes messages, when
 * it does not, it only reports.
 */
void agent_manifest_put(json_t *manifest, const json_t *agent, const char *app_slug)
{
    int port = 0;
    json_t *env = json_object_get(agent, "env");
    json_object_set_new(manifest, "dir", json_string(text_of(agent, "dir")));
    json_object_set_new(manifest, "app_slug", json_string(app_slug[0] != '\0' ? app_slug : "none"));
    json_object_set_new(manifest, "apps", apps_of(agent, app_slug, &port));
    json_object_set_new(manifest, "scripts", scripts_of(agent));
    json_object_set_new(manifest, "metadata", metadata_of(agent));
    if (json_is_object(env))
        json_object_set(manifest, "env", env);
    json_object_set_new(manifest, "agentapi",
        json_pack("{s:i, s:s, s:b}", "port", port > 0 ? port : AGENTAPI_PORT, "prompt", "none",
            "watch", 0));
    json_object_set_new(manifest, "grace_ms", json_integer(AGENT_MANIFEST_GRACE_MS));
}
