/* SPDX-License-Identifier: Apache-2.0 */
/* task_logs.c - `stint task logs`: what went in and what came out. */
#include "cli/agent_log.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_follow.h"

#include <string.h>

static const struct column log_columns[] = {
    {"id",         "id", COLUMN_TEXT},
    {"type", "type", COLUMN_TEXT},
    {"time",       "time", COLUMN_TEXT},
    {"content", "content", COLUMN_TEXT},
    {0      },
};

static void say_snapshot(struct cli *cli, const json_t *task, size_t n)
{
    const char *status = task_status(task);
    if (n > 0)
        cli_say(cli, "Task is %s. Showing last %zu messages from snapshot.", status, n);
    else
        cli_say(
            cli, "Task is %s. No snapshot available; its output shows once it is active.", status);
}

static enum err show_once(struct cli *cli, const struct call *call, const json_t *task)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    struct task_log log;
    scoped(json_unrefp) json_t *lines = NULL;
    task_log_begin(&log, cli);
    if (names != NULL && table_pick(cli, log_columns, names, columns) != ERR_OK)
        return cli->code;
    enum err e = task_log_fetch(&log, task, &lines);
    if (e != ERR_OK)
        return e;

    if (log.snapshot)
        say_snapshot(cli, task, json_array_size(lines));
    else if (json_array_size(lines) == 0)
        cli_say(cli, "No task logs found.");
    if (call_wants_json(call))
        table_print_json(cli, lines);
    else if (names != NULL)
        table_print(cli, columns, lines);
    else
        task_log_print(&log, lines);
    task_log_end(&log);
    return ERR_OK;
}

/* ---- -f ---- */

/* Without compute nothing more can come. */
static bool is_over(const json_t *task)
{
    return strcmp(task_status(task), "paused") == 0 || strcmp(task_status(task), "error") == 0;
}

static void print_lines(struct task_log *log, const json_t *lines, bool as_json)
{
    size_t i;
    json_t *line;
    if (!as_json) {
        task_log_print(log, lines);
        return;
    }
    json_array_foreach(lines, i, line)
    {
        table_print_json_line(log->cli, line);
    }
    fflush(log->cli->out);
}

struct follow {
    struct cli *cli;
    struct task_log log;
    bool as_json;
};

static enum err on_output(void *arg, const json_t *lines, bool *ret_done)
{
    struct follow *f = arg;
    (void)ret_done;
    print_lines(&f->log, lines, f->as_json);
    return ERR_OK;
}

static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    (void)arg;
    *ret_done = is_over(task);
    return ERR_OK;
}

static enum err follow(struct cli *cli, json_t **task, bool as_json)
{
    struct follow f = {.cli = cli, .as_json = as_json};
    const struct task_follower follower = {
        .on_task = on_task, .on_output = on_output, .arg = &f, .log = &f.log};
    task_log_begin(&f.log, cli);
    enum err e = task_follow(cli, task, &follower);
    task_log_end(&f.log);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(cli);
        cli_say(cli, "The task was deleted.");
        return ERR_OK;
    }
    if (e == ERR_OK)
        cli_say(cli, "The task is %s; no more output will come.", task_status(*task));
    return e;
}

static enum err run(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *task = NULL;
    enum err e = task_find(cli, call->args[0], &task);
    if (e != ERR_OK)
        return e;
    if (call_has(call, "follow") && call_has(call, "column"))
        return cli_fail(cli, ERR_USAGE, "-c makes a table, which -f cannot: use -f --json");
    if (call_has(call, "agent"))
        return agent_log_show(cli, &task, call_has(call, "follow"), call_wants_json(call));
    return call_has(call, "follow") ? follow(cli, &task, call_wants_json(call))
                                    : show_once(cli, call, task);
}

static const struct flag flags[] = {
    SWITCH(
        'f', "follow", "Stay and show what comes, until the task is paused, in error or deleted."),
    SWITCH(0, "agent", "Instead, what the scripts and apps of the workspace have written."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("All of it; what was put in is marked with \"> \"", "stint task logs fix-login-3fa2"),
    EXAMPLE("Stay with it", "stint task logs -f fix-login-3fa2"),
    EXAMPLE("Why did its start script fail?", "stint task logs fix-login-3fa2 --agent"),
    EXAMPLE("As a table", "stint task logs fix-login-3fa2 -c time,type,content"),
    {0},
};

const struct command task_logs_command = {
    .name = "logs",
    .summary = "Show a task's input and output.",
    .args = "TASK",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "With -f and --json each message is one line of JSON.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
