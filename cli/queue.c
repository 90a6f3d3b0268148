/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - `stint queue`: who waits for the cap, where, and for how long. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"

static const struct column queue_columns[] = {
    {"position",   "position", COLUMN_TEXT},
    {"name", "task.name", COLUMN_TEXT},
    {"id",       "task.id", COLUMN_TEXT},
    {"owner name", "task.owner_name", COLUMN_TEXT},
    {"template",         "task.template_name", COLUMN_TEXT},
    {"priority", "task.priority", COLUMN_TEXT},
    {"created", "task.created_at", COLUMN_AGE},
    {"eta seconds", "eta_seconds", COLUMN_TEXT},
    {0  },
};

static void say_sum(struct cli *cli, const json_t *answer)
{
    json_int_t cap = json_integer_value(json_object_get(answer, "cap"));
    json_int_t others = json_integer_value(json_object_get(answer, "others"));
    cli_say(cli,
        "%" JSON_INTEGER_FORMAT " wait, %" JSON_INTEGER_FORMAT " of them other people's; "
        "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " hold compute.",
        json_integer_value(json_object_get(answer, "size")), others,
        json_integer_value(json_object_get(answer, "holding")), cap);
    if (table_string(answer, "next_cursor")[0] != '\0')
        cli_say(cli, "There are more: --cursor %s", table_string(answer, "next_cursor"));
}

static enum err fetch(struct cli *cli, const struct call *call, json_t **ret_answer)
{
    struct strbuf path;
    const char *cursor = call_text(call, "cursor");
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/stint/v1/queue");
    if (cursor != NULL) {
        strbuf_addstr(&path, "?cursor=");
        api_add_escaped(&path, cursor);
    }
    enum err e = api_call(cli, "GET", path.s, NULL, ret_answer);
    strbuf_done(&path);
    return e;
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = table_pick(cli, queue_columns,
        names != NULL ? names : "position,name,owner name,priority,created,eta seconds", columns);
    if (e == ERR_OK)
        e = fetch(cli, call, &answer);
    if (e != ERR_OK)
        return e;
    const json_t *queue = json_object_get(answer, "queue");
    if (call_wants_json(call))
        table_print_json(cli, queue);
    else if (json_array_size(queue) > 0)
        table_print(cli, columns, queue);
    say_sum(cli, answer);
    return ERR_OK;
}

static const struct flag flags[] = {
    FLAG(0, "cursor", "TEXT", "Go on behind an earlier page."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("Who is next", "stint queue"),
    {0},
};

const struct command queue_command = {
    .name = "queue",
    .summary = "Show who waits for compute, and how long.",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "Of other people's tasks you see those that you may see.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
