/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_status.c - `stint task status`: the task as a line, then what is known of its agent and what
 * waits for it.
 *
 * What comes after the line is a kindness: a gateway that cannot tell it (another one of Coder's
 * kind) leaves it out.
 */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/message.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_follow.h"
#include "core/base/clock.h"
#include "core/base/text.h"

/* So many messages that wait are shown in their first words. */
#define MESSAGES_SHOWN 5
#define WORDS_MAX      72

/* ---- asking ---- */

static enum err ask_agent(struct cli *cli, const json_t *task, json_t **ret_agent)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/stint/v1/tasks/%s/agent", table_string(task, "id"));
    enum err e = api_call(cli, "GET", path.s, NULL, ret_agent);
    strbuf_done(&path);
    return e;
}

/* NULL: this gateway does not tell. */
static json_t *agent_of(struct cli *cli, const json_t *task)
{
    json_t *agent = NULL;
    if (ask_agent(cli, task, &agent) != ERR_OK)
        cli_forgive(cli);
    return agent;
}

static json_t *waiting_for(struct cli *cli, const json_t *task)
{
    scoped(json_unrefp) json_t *messages = NULL;
    json_t *waiting = json_array();
    size_t i;
    json_t *m;
    if (message_list(cli, task, &messages) != ERR_OK)
        cli_forgive(cli);
    json_array_foreach(messages, i, m) if (message_waits(m)) json_array_append(waiting, m);
    return waiting;
}

/* ---- saying ---- */

/* "Agent     ready, connected" */
static void say(struct cli *cli, const char *what, const char *text)
{
    fprintf(cli->out, "%-9s %s\n", what, text);
}

/* From a server, one line, fit for a terminal. */
static void add_words(struct strbuf *out, const char *text)
{
    struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, text);
    size_t n = text_utf8_prefix(clean.s, clean.len, WORDS_MAX);
    strbuf_add(out, clean.s, n);
    if (n < clean.len)
        strbuf_addstr(out, "…");
    strbuf_done(&clean);
}

static void say_agent(struct cli *cli, const json_t *agent)
{
    struct strbuf line;
    const char *reason = table_string(agent, "health.reason");
    if (table_string(agent, "lifecycle")[0] == '\0')
        return;
    strbuf_init(&line);
    add_words(&line, table_string(agent, "lifecycle"));
    strbuf_addstr(&line, ", ");
    add_words(&line, table_string(agent, "connection"));
    if (reason[0] != '\0') {
        strbuf_addstr(&line, ": ");
        add_words(&line, reason);
    }
    say(cli, "Agent", line.s);
    strbuf_done(&line);
}

/* An app that nobody watches has nothing to say. */
static void say_apps(struct cli *cli, const json_t *agent)
{
    size_t i;
    json_t *app;
    json_array_foreach(json_object_get(agent, "apps"), i, app)
    {
        struct strbuf line;
        const char *health = table_string(app, "health");
        strbuf_init(&line);
        add_words(&line, table_string(app, "slug"));
        strbuf_addstr(&line, ": ");
        add_words(&line, strcmp(health, "disabled") == 0 ? "not watched" : health);
        say(cli, "App", line.s);
        strbuf_done(&line);
    }
}

static void say_metadata(struct cli *cli, const json_t *agent)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(agent, "metadata"), i, item)
    {
        struct strbuf line;
        const char *error = table_string(item, "error");
        strbuf_init(&line);
        add_words(&line, table_string(item, "key"));
        strbuf_addstr(&line, ": ");
        if (error[0] != '\0')
            strbuf_addstr(&line, "failed, ");
        add_words(&line, error[0] != '\0' ? error : table_string(item, "value"));
        say(cli, "Metadata", line.s);
        strbuf_done(&line);
    }
}

static void say_deadline(struct cli *cli, const json_t *task, const json_t *agent)
{
    int64_t at;
    struct strbuf line;
    if (strcmp(task_status(task), "active") != 0 ||
        !table_parse_time(table_string(agent, "deadline"), &at))
        return;
    int64_t left = (at - clock_wall_us()) / 1000000;
    strbuf_init(&line);
    if (left > 0) {
        strbuf_addstr(&line, "in ");
        table_add_duration(&line, left);
        strbuf_addstr(&line, " unless it works");
    } else {
        strbuf_addstr(&line, "as soon as it rests");
    }
    say(cli, "Pauses", line.s);
    strbuf_done(&line);
}

static void say_waiting(struct cli *cli, const json_t *waiting)
{
    size_t n = json_array_size(waiting), i;
    json_t *m;
    json_array_foreach(waiting, i, m)
    {
        struct strbuf line;
        if (i == MESSAGES_SHOWN)
            break;
        strbuf_init(&line);
        strbuf_addf(&line, "%zu. ", i + 1);
        add_words(&line, table_string(m, "content"));
        say(cli, i == 0 ? "Waiting" : "", line.s);
        strbuf_done(&line);
    }
    if (n > MESSAGES_SHOWN)
        fprintf(cli->out, "%-9s and %zu more\n", "", n - MESSAGES_SHOWN);
}

/* ---- the command ---- */

static void print_json(struct cli *cli, json_t *task, const json_t *agent, const json_t *waiting)
{
    if (agent != NULL)
        json_object_set(task, "agent", (json_t *)(uintptr_t)agent);
    json_object_set(task, "queued_messages", (json_t *)(uintptr_t)waiting);
    table_print_json(cli, task);
}

static void print(struct cli *cli, const struct column *columns, json_t *task, const json_t *agent,
    const json_t *waiting)
{
    scoped(json_unrefp) json_t *rows = json_pack("[O]", task);
    table_print(cli, columns, rows);
    fputc('\n', cli->out);
    say_agent(cli, agent);
    say_apps(cli, agent);
    say_metadata(cli, agent);
    say_deadline(cli, task, agent);
    say_waiting(cli, waiting);
}

/* ---- --watch ---- */

struct watch {
    struct cli *cli;
    const struct column *columns; /* NULL: JSON */
    json_t *last;
    enum task_rest rest;
};

static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    struct watch *w = arg;
    scoped(json_unrefp) json_t *rows = json_pack("[o]", json_deep_copy(task));
    w->rest = task_resting(task);
    *ret_done = w->rest != TASK_BUSY;
    if (w->last != NULL && json_equal(w->last, task))
        return ERR_OK;
    if (w->columns == NULL)
        table_print_json_line(w->cli, task);
    else if (w->last == NULL)
        table_print(w->cli, w->columns, rows);
    else
        table_print_rows(w->cli, w->columns, rows);
    fflush(w->cli->out);
    json_decref(w->last);
    w->last = json_incref(json_array_get(rows, 0));
    return ERR_OK;
}

static enum err watch(struct cli *cli, json_t **task, const struct column *columns)
{
    struct watch w = {.cli = cli, .columns = columns};
    const struct task_follower follower = {.on_task = on_task, .arg = &w};
    enum err e = task_follow(cli, task, &follower);
    json_decref(w.last);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(cli);
        cli_say(cli, "%s was deleted.", task_name(*task));
        w.rest = TASK_DELETED;
        e = ERR_OK;
    }
    cli->exit_status = task_rest_exit_status(w.rest);
    return e;
}

/* ---- once ---- */

static enum err run(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *task = NULL;
    enum err e = table_pick(cli, task_columns,
        names != NULL ? names : "state changed,status,healthy,state,message", columns);
    if (e == ERR_OK)
        e = task_find(cli, call->args[0], &task);
    if (e != ERR_OK)
        return e;
    if (call_has(call, "watch"))
        return watch(cli, &task, call_wants_json(call) ? NULL : columns);
    if (names != NULL && !call_wants_json(call)) {
        scoped(json_unrefp) json_t *rows = json_pack("[O]", task);
        table_print(cli, columns, rows);
        return ERR_OK;
    }
    scoped(json_unrefp) json_t *agent = agent_of(cli, task);
    scoped(json_unrefp) json_t *waiting = waiting_for(cli, task);
    if (call_wants_json(call))
        print_json(cli, task, agent, waiting);
    else
        print(cli, columns, task, agent, waiting);
    return ERR_OK;
}

static const struct flag flags[] = {
    SWITCH('w', "watch", "Stay, and show a line for each change, until the task rests."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("How it stands", "stint task status fix-login-3fa2"),
    EXAMPLE("Chosen columns", "stint task status fix-login-3fa2 -c status,state,message,link"),
    EXAMPLE("Everything there is, of somebody else's task",
        "stint task status alice/fix-login-3fa2 --json"),
    {0},
};

const struct command task_status_command = {
    .name = "status",
    .alias = "stat",
    .summary = "Show how a task stands.",
    .args = "TASK",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "Below the line: the agent in the workspace, its apps and metadata, when the task "
             "pauses by itself, and the messages that wait. With -c the line alone; with --json "
             "they are the members \"agent\" and \"queued_messages\". With --watch the exit status "
             "says how it ended, as that of `stint task watch`.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
