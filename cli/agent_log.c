/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_log.c - lines of a workspace's scripts and apps.
 *
 * A resumed task has a new agent, whose lines are numbered from 1 again.
 */
#include "cli/agent_log.h"

#include <string.h>
#include <time.h>

#include "cli/api.h"
#include "cli/table.h"
#include "cli/task_follow.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

struct agent_log {
    struct cli *cli;
    bool as_json;
    json_t *all; /* JSON that is not followed: printed at the end */
    char agent_id[UUID_STR_LEN + 1];
    json_int_t last_id;
    size_t n_printed;
};

/* ---- fetching ---- */

static void be_at(struct agent_log *l, const char *agent_id)
{
    if (strcmp(agent_id, l->agent_id) == 0)
        return;
    (void)snprintf(l->agent_id, sizeof(l->agent_id), "%s", agent_id);
    l->last_id = 0;
}

static enum err find_agent(struct agent_log *l, const json_t *task)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *agent = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/stint/v1/tasks/%s/agent", table_string(task, "id"));
    enum err e = api_call(l->cli, "GET", path.s, NULL, &agent);
    strbuf_done(&path);
    if (e == ERR_OK)
        be_at(l, table_string(agent, "id"));
    return e;
}

static enum err fetch(struct agent_log *l, json_t **ret_lines)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/workspaceagents/%s/logs?after=%" JSON_INTEGER_FORMAT, l->agent_id,
        l->last_id);
    enum err e = api_call(l->cli, "GET", path.s, NULL, ret_lines);
    strbuf_done(&path);
    return e;
}

/* ---- printing ---- */

static const char *colour_of(const struct cli *cli, const char *level)
{
    if (!cli->colour)
        return "";
    return strcmp(level, "error") == 0 ? "\033[31m" : strcmp(level, "warn") == 0 ? "\033[33m" : "";
}

/* "16:01:02  start: cloning" */
static void print_line(struct cli *cli, const json_t *line)
{
    char clock[16] = "";
    int64_t us;
    struct tm tm;
    struct strbuf text;
    const char *colour = colour_of(cli, table_string(line, "level"));
    const char *output = table_string(line, "output");
    if (table_parse_time(table_string(line, "created_at"), &us)) {
        time_t at = (time_t)(us / 1000000);
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&at, &tm));
    }
    strbuf_init(&text);
    text_add_sanitized(&text, table_string(line, "source"));
    strbuf_addstr(&text, ": ");
    text_add_output(&text, output, strlen(output));
    fprintf(cli->out, "%s  %s%s%s\n", clock, colour, text.s, colour[0] != '\0' ? "\033[0m" : "");
    strbuf_done(&text);
}

static void print_lines(struct agent_log *l, const json_t *lines)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        l->last_id = json_integer_value(json_object_get(line, "id"));
        l->n_printed++;
        if (l->all != NULL) {
            json_array_append(l->all, line);
        } else if (l->as_json) {
            table_print_json_line(l->cli, line);
        } else {
            print_line(l->cli, line);
        }
    }
    fflush(l->cli->out);
}

/* All that there is by now. */
static enum err show(struct agent_log *l, const json_t *task)
{
    enum err e = find_agent(l, task);
    while (e == ERR_OK && l->agent_id[0] != '\0') {
        scoped(json_unrefp) json_t *lines = NULL;
        e = fetch(l, &lines);
        if (e != ERR_OK || json_array_size(lines) == 0)
            break;
        print_lines(l, lines);
    }
    return e;
}

/* ---- -f ---- */

static bool is_over(const json_t *task)
{
    return strcmp(task_status(task), "paused") == 0 || strcmp(task_status(task), "error") == 0;
}

/* A stream's line as the route of the agent's log has it. */
static json_t *line_of(const json_t *log)
{
    return json_pack("{s:O*, s:O*, s:O*, s:O*, s:O*}", "id", json_object_get(log, "id"),
        "created_at", json_object_get(log, "created_at"), "output", json_object_get(log, "output"),
        "level", json_object_get(log, "level"), "source", json_object_get(log, "source_name"));
}

static enum err on_log(void *arg, const json_t *log, bool *ret_done)
{
    struct agent_log *l = arg;
    (void)ret_done;
    if (strcmp(table_string(log, "source"), "agent") != 0)
        return ERR_OK;
    be_at(l, table_string(log, "agent_id"));
    if (json_integer_value(json_object_get(log, "id")) <= l->last_id)
        return ERR_OK;
    scoped(json_unrefp) json_t *lines = json_pack("[o]", line_of(log));
    print_lines(l, lines);
    return ERR_OK;
}

static enum err on_look(void *arg, const json_t *task, bool *ret_done)
{
    (void)ret_done;
    return show(arg, task);
}

static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    (void)arg;
    *ret_done = is_over(task);
    return ERR_OK;
}

static enum err follow(struct agent_log *l, json_t **task)
{
    const struct task_follower follower = {
        .on_task = on_task, .on_log = on_log, .on_look = on_look, .arg = l};
    enum err e = task_follow(l->cli, task, &follower);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(l->cli);
        cli_say(l->cli, "The task was deleted.");
        return ERR_OK;
    }
    if (e == ERR_OK)
        cli_say(l->cli, "The task is %s; nothing more will come.", task_status(*task));
    return e;
}

enum err agent_log_show(struct cli *cli, json_t **task, bool follows, bool as_json)
{
    struct agent_log l = {.cli = cli, .as_json = as_json};
    if (follows)
        return follow(&l, task);
    l.all = as_json ? json_array() : NULL;
    enum err e = show(&l, *task);
    if (e == ERR_OK && as_json)
        table_print_json(cli, l.all);
    else if (e == ERR_OK && l.n_printed == 0)
        cli_say(cli, "No script or app of this workspace has written anything.");
    json_decref(l.all);
    return e;
}
