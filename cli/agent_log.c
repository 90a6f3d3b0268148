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
#include "cli/task.h"
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

static enum err find_agent(struct agent_log *l, const json_t *task)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *agent = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/stint/v1/tasks/%s/agent", table_string(task, "id"));
    enum err e = api_call(l->cli, "GET", path.s, NULL, &agent);
    strbuf_done(&path);
    const char *id = table_string(agent, "id");
    if (e == ERR_OK && strcmp(id, l->agent_id) != 0) {
        (void)snprintf(l->agent_id, sizeof(l->agent_id), "%s", id);
        l->last_id = 0;
    }
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
            json_dumpf(line, l->cli->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
            fputc('\n', l->cli->out);
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

static enum err follow(struct agent_log *l, json_t **task)
{
    struct pace pace = {0};
    enum err e = show(l, *task);
    while (e == ERR_OK && !is_over(*task)) {
        json_t *next = NULL;
        size_t before = l->n_printed;
        pace_wait(&pace, l->cli);
        e = task_refresh(l->cli, *task, &next);
        if (e != ERR_OK)
            break;
        json_decref(*task);
        *task = next;
        e = show(l, *task);
        if (l->n_printed > before)
            pace_changed(&pace);
    }
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
