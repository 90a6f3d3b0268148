/* SPDX-License-Identifier: Apache-2.0 */
/* task_messages.c - `stint task messages` and `stint task unsend`: what waits for a task's app. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/message.h"
#include "cli/task.h"

/* ---- messages ---- */

static void print(struct cli *cli, const struct call *call, const struct column *columns,
    const json_t *task, const json_t *messages)
{
    if (call_wants_json(call))
        table_print_json(cli, messages);
    else if (json_array_size(messages) > 0)
        table_print(cli, columns, messages);
    else
        cli_say(
            cli, "No messages. Send one: stint task send %s 'what to do next'", task_name(task));
}

/* Those that wait alone, unless all are asked for. */
static json_t *choose(const struct call *call, const json_t *messages)
{
    json_t *chosen = json_array();
    size_t i;
    json_t *m;
    json_array_foreach(messages, i, m) if (!call_has(call, "queued") || message_waits(m))
        json_array_append(chosen, m);
    return chosen;
}

static enum err run_messages(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *task = NULL;
    scoped(json_unrefp) json_t *messages = NULL;
    enum err e = table_pick(
        cli, message_columns, names != NULL ? names : "id,state,place,created,content", columns);
    if (e == ERR_OK)
        e = task_find(cli, call->args[0], &task);
    if (e == ERR_OK)
        e = message_list(cli, task, &messages);
    if (e != ERR_OK)
        return e;
    scoped(json_unrefp) json_t *chosen = choose(call, messages);
    print(cli, call, columns, task, chosen);
    return ERR_OK;
}

static const struct flag messages_flags[] = {
    SWITCH(0, "queued", "Only those that wait."),
    {0},
};

static const struct example messages_examples[] = {
    EXAMPLE("What waits, and what became of the last ones", "stint task messages fix-login-3fa2"),
    EXAMPLE("How many wait", "stint task messages fix-login-3fa2 --queued --json | jq length"),
    {0},
};

const struct command task_messages_command = {
    .name = "messages",
    .summary = "Show the messages that wait for a task's app, and the last ones.",
    .args = "TASK",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "Those that wait come first, in the order in which the app will get them, then the "
             "newest of the others.",
    .flags = messages_flags,
    .examples = messages_examples,
    .run = run_messages,
};

/* ---- unsend ---- */

static enum err run_unsend(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *task = NULL;
    enum err e = task_find(cli, call->args[0], &task);
    if (e == ERR_OK)
        e = message_withdraw(cli, task, call->args[1]);
    if (e == ERR_OK)
        fprintf(cli->out, "The message has been taken back from %s.\n", task_name(task));
    return e;
}

static const struct example unsend_examples[] = {
    EXAMPLE("By its id, or the beginning of it", "stint task unsend fix-login-3fa2 5f0c"),
    {0},
};

const struct command task_unsend_command = {
    .name = "unsend",
    .summary = "Take back a message that waits.",
    .args = "TASK MESSAGE",
    .args_min = 2,
    .args_max = 2,
    .about =
        "MESSAGE is an id that `stint task messages` shows, or the beginning of one. A message "
        "that the app has had cannot be taken back.",
    .examples = unsend_examples,
    .run = run_unsend,
};
