/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.c - `stint scheduler status`, `step-down`: who leads, who stands by. */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"

#define SCHEDULER "/api/stint/v1/scheduler"

static const struct column scheduler_columns[] = {
    {"url",          "url", COLUMN_TEXT},
    {"role",   "role", COLUMN_STATUS},
    {"version",         "version", COLUMN_TEXT},
    {"connected", "connected_at", COLUMN_AGE},
    {0     },
};

static void say_leader(struct cli *cli, const json_t *answer)
{
    static const struct column since = {"since", "since", COLUMN_AGE};
    struct strbuf age;
    strbuf_init(&age);
    table_add_cell(&age, &since, answer);
    json_int_t epoch = json_integer_value(json_object_get(answer, "epoch"));
    if (json_is_true(json_object_get(answer, "is_led")))
        cli_say(cli, "%s has led since %s (epoch %" JSON_INTEGER_FORMAT ").",
            table_string(answer, "leader_url"), age.s, epoch);
    else
        cli_say(cli, "Nobody leads; the last leadership began %s (epoch %" JSON_INTEGER_FORMAT ").",
            age.s, epoch);
    strbuf_done(&age);
}

static enum err show(struct cli *cli, const struct call *call, const json_t *answer)
{
    const json_t *schedulers = json_object_get(answer, "schedulers");
    struct column columns[COLUMNS_MAX + 1];
    enum err e = table_pick(cli, scheduler_columns, "url,role,version,connected", columns);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, answer);
    else if (json_array_size(schedulers) > 0)
        table_print(cli, columns, schedulers);
    if (!call_wants_json(call))
        say_leader(cli, answer);
    return ERR_OK;
}

/* ---- status ---- */

static enum err run_status(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = api_call(cli, "GET", SCHEDULER, NULL, &answer);
    return e == ERR_OK ? show(cli, call, answer) : e;
}

static const struct example status_examples[] = {
    EXAMPLE("Who leads, and who would", "stint scheduler status"),
    {0},
};

const struct command scheduler_status_command = {
    .name = "status",
    .summary = "Show who leads, since when, and who stands by.",
    .traits = COMMAND_PRINTS_DATA,
    .about =
        "Those of a version that did not have this command are not listed while they stand by.",
    .examples = status_examples,
    .run = run_status,
};

/* ---- step down ---- */

static enum err run_step_down(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = api_call(cli, "POST", SCHEDULER "/step-down", NULL, &answer);
    return e == ERR_OK ? show(cli, call, answer) : e;
}

static const struct example step_down_examples[] = {
    EXAMPLE("Before maintenance of the leader's machine", "stint scheduler step-down"),
    {0},
};

const struct command scheduler_step_down_command = {
    .name = "step-down",
    .summary = "Let a standby lead instead, without a failed request.",
    .traits = COMMAND_PRINTS_DATA,
    .about = "The leader answers what is under way, then makes room for another one. A leader that "
             "is stopped by SIGTERM does the same by itself.",
    .examples = step_down_examples,
    .run = run_step_down,
};
