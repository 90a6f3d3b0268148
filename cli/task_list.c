/* SPDX-License-Identifier: Apache-2.0 */
/* task_list.c - `stint task list`. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/task.h"

#include <string.h>

#include "cli/suggest.h"
#include "cli/task_list.h"
#include "core/base/mem.h"

static const char *const statuses[] = {
    "pending", "initializing", "active", "paused", "unknown", "error"};

static enum err check_status(struct cli *cli, const char *status)
{
    struct suggestion s = {.typed = status};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        if (strcmp(status, statuses[i]) == 0)
            return ERR_OK;
        suggest_offer(&s, statuses[i]);
    }
    (void)cli_fail(cli, ERR_USAGE, "\"%s\" is no status%s%s%s", status,
        s.best != NULL ? ", did you mean \"" : "", s.best != NULL ? s.best : "",
        s.best != NULL ? "\"?" : "");
    cli_hint(cli, "--status is one of pending, initializing, active, paused, unknown, error");
    return cli->code;
}

static void add_term(struct strbuf *query, const char *key, const char *value)
{
    strbuf_addf(query, "%s%s:\"%s\"", query->len > 0 ? " " : "", key, value);
}

enum err task_list_fetch(struct cli *cli, const struct list_wanted *wanted, json_t **ret_list)
{
    struct strbuf query, path;
    strbuf_init(&query);
    strbuf_init(&path);
    if (wanted->user != NULL)
        add_term(&query, "owner", wanted->user);
    if (wanted->status != NULL)
        add_term(&query, "status", wanted->status);
    strbuf_addstr(&path, "/api/v2/tasks?q=");
    api_add_escaped(&path, query.s);
    enum err e = api_call(cli, "GET", path.s, NULL, ret_list);
    strbuf_done(&query);
    strbuf_done(&path);
    return e;
}

/* ---- pages, by Stint's own route ---- */

static bool wants_page(const struct call *call)
{
    return call_has(call, "label") || call_has(call, "limit") || call_has(call, "cursor");
}

static void add_parameter(struct strbuf *path, const char *key, const char *value)
{
    if (value == NULL)
        return;
    strbuf_addf(path, "%c%s=", strchr(path->s, '?') == NULL ? '?' : '&', key);
    api_add_escaped(path, value);
}

/* "name=value" as it is written everywhere here; the gateway says "name:value". */
static void add_label(struct strbuf *path, const char *label)
{
    scoped_free char *text = mem_strdup(label);
    char *equals = strchr(text, '=');
    if (equals != NULL)
        *equals = ':';
    add_parameter(path, "label", text);
}

static enum err fetch_page(
    struct cli *cli, const struct call *call, const struct list_wanted *wanted, json_t **ret_list)
{
    struct strbuf path;
    const char *label;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/stint/v1/tasks");
    add_parameter(&path, "owner", wanted->user);
    add_parameter(&path, "status", wanted->status);
    for (size_t i = 0; (label = call_text_at(call, "label", i)) != NULL; i++)
        add_label(&path, label);
    add_parameter(&path, "limit", call_text(call, "limit"));
    add_parameter(&path, "cursor", call_text(call, "cursor"));
    enum err e = api_call(cli, "GET", path.s, NULL, ret_list);
    strbuf_done(&path);
    return e;
}

static void say_next(struct cli *cli, const json_t *list)
{
    const char *cursor = table_string(list, "next_cursor");
    if (cursor[0] != '\0')
        cli_say(cli, "There are more: --cursor %s", cursor);
}

/* ---- the command ---- */

static void print_ids(struct cli *cli, const json_t *tasks)
{
    size_t i;
    json_t *task;
    json_array_foreach(tasks, i, task) fprintf(cli->out, "%s\n", table_string(task, "id"));
}

static enum err run_list(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *status = call_text(call, "status");
    const char *user = call_text(call, "user");
    const char *names = call_text(call, "column");
    const char *usual = call_has(call, "all") ? "owner name,name,status,state,state changed,message"
                                              : "name,status,state,state changed,message";
    scoped(json_unrefp) json_t *list = NULL;
    const struct list_wanted wanted = {.user = call_has(call, "all") ? NULL
                                               : user != NULL        ? user
                                                                     : "me",
        .status = status};
    enum err e = table_pick(cli, task_columns, names != NULL ? names : usual, columns);
    if (e == ERR_OK && status != NULL)
        e = check_status(cli, status);
    if (e == ERR_OK && call_has(call, "all") && call_has(call, "user"))
        e = cli_fail(cli, ERR_USAGE, "--all and --user exclude each other");
    if (e == ERR_OK && call_has(call, "watch") && wants_page(call))
        e = cli_fail(cli, ERR_USAGE, "--watch excludes --label, --limit and --cursor");
    if (e == ERR_OK && call_has(call, "watch"))
        return task_list_watch(cli, call, &wanted, columns);
    if (e == ERR_OK)
        e = wants_page(call) ? fetch_page(cli, call, &wanted, &list)
                             : task_list_fetch(cli, &wanted, &list);
    if (e != ERR_OK)
        return e;

    const json_t *tasks = json_object_get(list, "tasks");
    if (call_has(call, "quiet"))
        print_ids(cli, tasks);
    else if (call_wants_json(call))
        table_print_json(cli, tasks);
    else if (json_array_size(tasks) > 0)
        table_print(cli, columns, tasks);
    else
        cli_say(cli, "No tasks found. Create one: stint task create 'what is to be done'");
    say_next(cli, list);
    return ERR_OK;
}

static const struct flag list_flags[] = {
    FLAG(0, "status", "STATUS",
        "Only these: pending, initializing, active, paused, unknown or error."),
    SWITCH('a', "all", "Everybody's tasks, as far as you may see them."),
    FLAG(0, "user", "USER", "The tasks of this user."),
    FLAG(0, "label", "NAME=VALUE", "With this label, or with any of this NAME; may be repeated."),
    FLAG(0, "limit", "N", "So many at most; how to go on is said below them."),
    FLAG(0, "cursor", "TEXT", "Go on behind an earlier page."),
    SWITCH('q', "quiet", "Ids and nothing else, one per line."),
    SWITCH('w', "watch", "Stay, and show what changes, until Ctrl-C."),
    {0},
};

static const struct example list_examples[] = {
    EXAMPLE("Your tasks, newest first", "stint task list"),
    EXAMPLE("Who waits, and how long",
        "stint task list --status pending -c 'name,queue position,queue eta'"),
    EXAMPLE("As it happens, in a terminal", "stint task list --watch"),
    EXAMPLE("As it happens, for a program: a line of JSON for each change",
        "stint task list --all --watch --json | jq -c '[.name, .status]'"),
    EXAMPLE("In a script", "stint task list -q --status paused | xargs stint task delete -y"),
    {0},
};

const struct command task_list_command = {
    .name = "list",
    .alias = "ls",
    .summary = "List tasks.",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about =
        "With --watch, a terminal shows a table that follows the changes; elsewhere each change "
        "is a line, with --json a line of JSON: a task, or {\"id\", \"deleted\": true}. With "
        "--status a task that is no longer in it is shown once more.",
    .flags = list_flags,
    .examples = list_examples,
    .run = run_list,
};
