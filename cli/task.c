/* SPDX-License-Identifier: Apache-2.0 */
/* task.c - finding a task, acting on it, and what its state is called. */
#include "cli/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/suggest.h"
#include "cli/task_follow.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

const struct column task_columns[] = {
    {"id",                     "id", COLUMN_TEXT},
    {"organization id",             "organization_id", COLUMN_TEXT},
    {"owner id",        "owner_id", COLUMN_TEXT},
    {"owner name",             "owner_name", COLUMN_TEXT},
    {"owner avatar url",               "owner_avatar_url", COLUMN_TEXT},
    {"name",             "name", COLUMN_TEXT},
    {"display name",             "display_name", COLUMN_TEXT},
    {"template id",             "template_id", COLUMN_TEXT},
    {"template version id",       "template_version_id", COLUMN_TEXT},
    {"template name",             "template_name", COLUMN_TEXT},
    {"template display name",                   "template_display_name", COLUMN_TEXT},
    {"template icon",             "template_icon", COLUMN_TEXT},
    {"workspace id",           "workspace_id", COLUMN_TEXT},
    {"workspace name",             "workspace_name", COLUMN_TEXT},
    {"workspace status",            "workspace_status", COLUMN_TEXT},
    {"workspace build number",             "workspace_build_number", COLUMN_TEXT},
    {"workspace agent id",    "workspace_agent_id", COLUMN_TEXT},
    {"workspace agent lifecycle",             "workspace_agent_lifecycle", COLUMN_TEXT},
    {"workspace agent health",          "workspace_agent_health", COLUMN_TEXT},
    {"workspace app id",             "workspace_app_id", COLUMN_TEXT},
    {"initial prompt",  "initial_prompt", COLUMN_TEXT},
    {"status",             "status", COLUMN_STATUS},
    {"state",          "current_state.state", COLUMN_STATUS},
    {"message",             "current_state.message", COLUMN_TASK_MESSAGE},
    {"link",           "current_state.uri", COLUMN_TEXT},
    {"created at",             "created_at", COLUMN_TEXT},
    {"updated at",         "updated_at", COLUMN_TEXT},
    {"state changed",             "current_state.timestamp", COLUMN_AGE},
    {"created",       "created_at", COLUMN_AGE},
    {"healthy",             "workspace_agent_health.healthy", COLUMN_TEXT},
    {"queue position", "queue.position", COLUMN_TEXT},
    {"queue size",             "queue.size", COLUMN_TEXT},
    {"queue eta",     "queue.eta_seconds", COLUMN_TEXT},
    {0            },
};

const char *task_name(const json_t *task)
{
    return table_string(task, "name");
}

const char *task_status(const json_t *task)
{
    return table_string(task, "status");
}

const char *task_state(const json_t *task)
{
    return table_string(task, "current_state.state");
}

/* ---- finding ---- */

static enum err get_task(struct cli *cli, const char *owner, const char *task, json_t **ret_task)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/tasks/");
    api_add_escaped(&path, owner);
    strbuf_addch(&path, '/');
    api_add_escaped(&path, task);
    enum err e = api_call(cli, "GET", path.s, NULL, ret_task);
    strbuf_done(&path);
    return e;
}

/* A near name among the user's own tasks, when the list can be had. */
static char *near_name(struct cli *cli, const char *word)
{
    json_t *list = NULL;
    struct suggestion s = {.typed = word};
    if (api_call(cli, "GET", "/api/v2/tasks?q=owner%3A%22me%22", NULL, &list) == ERR_OK) {
        size_t i;
        json_t *task;
        json_array_foreach(json_object_get(list, "tasks"), i, task)
            suggest_offer(&s, task_name(task));
    }
    char *name = s.best != NULL ? mem_strdup(s.best) : NULL;
    json_decref(list);
    return name;
}

static enum err not_found(struct cli *cli, const char *word)
{
    scoped_free char *near = near_name(cli, word);
    enum err e =
        near != NULL
            ? cli_fail(cli, ERR_NOT_FOUND, "no task \"%s\", did you mean \"%s\"?", word, near)
            : cli_fail(cli, ERR_NOT_FOUND, "no task \"%s\", or it is not yours to see", word);
    cli_hint(cli, "`stint task list` shows yours, `stint task list --all` everybody's");
    return e;
}

enum err task_find(struct cli *cli, const char *word, json_t **ret_task)
{
    scoped_free char *owner = mem_strdup("me");
    const char *name = word;
    const char *slash = strchr(word, '/');
    if (slash != NULL) {
        free(owner);
        owner = mem_strndup(word, (size_t)(slash - word));
        name = slash + 1;
    }
    if (owner[0] == '\0' || name[0] == '\0' || strchr(name, '/') != NULL)
        return cli_fail(cli, ERR_USAGE, "\"%s\" is no task: give its name, owner/name or id", word);
    enum err e = get_task(cli, owner, name, ret_task);
    return e == ERR_NOT_FOUND ? not_found(cli, word) : e;
}

enum err task_refresh(struct cli *cli, const json_t *task, json_t **ret_task)
{
    return get_task(cli, "me", table_string(task, "id"), ret_task);
}

enum err task_act(struct cli *cli, const char *method, const json_t *task, const char *action,
    const json_t *body, json_t **ret)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/tasks/");
    api_add_escaped(&path, table_string(task, "owner_name"));
    strbuf_addf(&path, "/%s%s%s", table_string(task, "id"), action[0] != '\0' ? "/" : "", action);
    enum err e = api_call(cli, method, path.s, body, ret);
    strbuf_done(&path);
    return e;
}

/* ---- where it rests ---- */

static const struct {
    const char *state;
    enum task_rest rest;
} rest_of_state[] = {
    {"complete", TASK_COMPLETE},
    {"failed",   TASK_FAILED  },
    {"failure",  TASK_FAILED  }, /* what gateways before 2.32 call it */
    {"idle",     TASK_IDLE    },
};

static enum task_rest resting_by_report(const json_t *task)
{
    for (size_t i = 0; i < COUNT(rest_of_state); i++)
        if (strcmp(task_state(task), rest_of_state[i].state) == 0)
            return rest_of_state[i].rest;
    return TASK_BUSY;
}

enum task_rest task_resting(const json_t *task)
{
    const char *status = task_status(task);
    if (strcmp(status, "error") == 0)
        return TASK_ERROR;
    if (strcmp(status, "paused") == 0)
        return TASK_PAUSED;
    return strcmp(status, "active") == 0 ? resting_by_report(task) : TASK_BUSY;
}

static const struct {
    int exit_status;
    const char *text;
} rest_table[] = {
    [TASK_BUSY] = {0, "at work"                                                         },
    [TASK_COMPLETE] = {0, "complete"                                                        },
    [TASK_IDLE] = {0, "idle, waiting for a message"                                     },
    [TASK_FAILED] = {1, "failed"                                                          },
    [TASK_ERROR] = {2, "in error: its workspace could not be started, stopped or reached"},
    [TASK_PAUSED] = {3, "paused"                                                          },
    [TASK_DELETED] = {4, "deleted"                                                         },
};

int task_rest_exit_status(enum task_rest rest)
{
    return rest_table[rest].exit_status;
}

const char *task_rest_text(enum task_rest rest)
{
    return rest_table[rest].text;
}

/* ---- in words ---- */

void task_add_queue(struct strbuf *out, const json_t *task)
{
    const json_t *queue = json_object_get(task, "queue");
    const json_t *eta = json_object_get(queue, "eta_seconds");
    json_int_t position = json_integer_value(json_object_get(queue, "position"));
    json_int_t size = json_integer_value(json_object_get(queue, "size"));
    if (position <= 0) {
        strbuf_addstr(out, "about to start");
        return;
    }
    strbuf_addf(out, "place %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " in the queue",
        position, size > position ? size : position);
    if (json_is_number(eta) && json_number_value(eta) > 0) {
        strbuf_addstr(out, ", about ");
        table_add_duration(out, (int64_t)json_number_value(eta));
    }
}

void task_add_line(struct strbuf *out, const json_t *task)
{
    const char *state = task_state(task);
    const char *message = table_string(task, "current_state.message");
    text_add_sanitized(out, task_status(task));
    if (json_is_object(json_object_get(task, "queue"))) {
        strbuf_addstr(out, ", ");
        task_add_queue(out, task);
        return;
    }
    if (state[0] != '\0') {
        strbuf_addstr(out, ", ");
        text_add_sanitized(out, state);
    }
    if (message[0] != '\0') {
        strbuf_addstr(out, ": ");
        text_add_sanitized(out, message);
    }
}

void task_say_why(struct cli *cli, const json_t *task)
{
    struct strbuf text;
    json_t *workspace = NULL;
    const char *id = table_string(task, "workspace_id");
    if (id[0] == '\0')
        return;
    strbuf_init(&text);
    strbuf_addf(&text, "/api/v2/workspaces/%s", id);
    if (api_call(cli, "GET", text.s, NULL, &workspace) != ERR_OK)
        cli_forgive(cli);
    strbuf_clear(&text);
    text_add_sanitized(&text, table_string(workspace, "latest_build.job.error"));
    if (text.len > 0)
        cli_say(cli, "  why: %s", text.s);
    strbuf_done(&text);
    json_decref(workspace);
}

/* ---- waiting ---- */

struct wait {
    struct cli *cli;
    task_done_fn done;
    struct progress progress;
    struct strbuf line;
};

static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    struct wait *w = arg;
    strbuf_clear(&w->line);
    strbuf_addf(&w->line, "%s: ", task_name(task));
    task_add_line(&w->line, task);
    return w->done(w->cli, task, ret_done);
}

static bool on_tick(void *arg)
{
    struct wait *w = arg;
    if (w->line.len > 0)
        progress_step(&w->progress, "%s", w->line.s);
    return true;
}

enum err task_wait(struct cli *cli, json_t *take_task, task_done_fn done, json_t **ret_task)
{
    scoped(json_unrefp) json_t *task = take_task;
    struct wait w = {.cli = cli, .done = done};
    const struct task_follower follower = {
        .on_task = on_task, .on_tick = on_tick, .arg = &w, .progress = &w.progress};
    strbuf_init(&w.line);
    progress_begin(&w.progress, cli);
    enum err e = task_follow(cli, &task, &follower);
    strbuf_done(&w.line);
    if (e == ERR_OK)
        *ret_task = steal(task);
    return e;
}
