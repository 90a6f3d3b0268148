/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - `stint job`: what is being done, what nobody tries any more, and another series of tries.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "core/base/cleanup.h"
#include "core/base/text.h"

#define JOBS "/api/stint/v1/jobs"

static const struct column columns_all[] = {
    {"id",         "id", COLUMN_TEXT},
    {"kind", "kind", COLUMN_TEXT},
    {"status",       "shown", COLUMN_TEXT},
    {"of", "of", COLUMN_TEXT},
    {"owner",     "owner.name", COLUMN_TEXT},
    {"cause", "cause", COLUMN_TEXT},
    {"attempts",         "attempts", COLUMN_TEXT},
    {"retries", "retries", COLUMN_TEXT},
    {"worker",      "worker.name", COLUMN_TEXT},
    {"created", "created_at", COLUMN_AGE},
    {"died",      "died_at", COLUMN_AGE},
    {"error", "error", COLUMN_TEXT},
    {0  },
};

/* What it is about: a task and the number of its build, or a template's version. */
static void put_words(json_t *job)
{
    bool is_dead = json_is_true(json_object_get(job, "dead"));
    const char *task = table_string(job, "task.name"),
               *template = table_string(job, "template_name");
    scoped(strbuf_done) struct strbuf of;
    strbuf_init(&of);
    if (*task != '\0')
        strbuf_addf(&of, "%s #%" JSON_INTEGER_FORMAT, task,
            json_integer_value(json_object_get(json_object_get(job, "build"), "number")));
    else
        strbuf_addf(&of, "%s%s%s", template, *template != '\0' ? " " : "",
            table_string(job, "template_version.name"));
    json_object_set_new(job, "of", json_string(of.s));
    json_object_set_new(job, "shown", json_string(is_dead ? "dead" : table_string(job, "status")));
}

/* ---- list ---- */

static enum err fetch_list(struct cli *cli, const struct call *call, json_t **ret_answer)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, JOBS "?dead=%s", call_has(call, "dead") ? "true" : "false");
    if (call_has(call, "cursor")) {
        strbuf_addstr(&path, "&cursor=");
        api_add_escaped(&path, call_text(call, "cursor"));
    }
    return api_call(cli, "GET", path.s, NULL, ret_answer);
}

static enum err run_list(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column"), *cursor;
    const char *usual = call_has(call, "dead") ? "id,kind,of,cause,attempts,worker,died,error"
                                               : "id,kind,status,of,attempts,worker,created";
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = table_pick(cli, columns_all, names != NULL ? names : usual, columns);
    if (e == ERR_OK)
        e = fetch_list(cli, call, &answer);
    if (e != ERR_OK)
        return e;
    json_t *jobs = json_object_get(answer, "jobs"), *job;
    size_t i;
    if (call_wants_json(call)) {
        table_print_json(cli, jobs);
        return ERR_OK;
    }
    json_array_foreach(jobs, i, job) put_words(job);
    if (json_array_size(jobs) > 0)
        table_print(cli, columns, jobs);
    else
        cli_say(cli, call_has(call, "dead") ? "No job is dead." : "There are no jobs.");
    cursor = table_string(answer, "next_cursor");
    if (*cursor != '\0')
        cli_say(cli, "There are more: --cursor %s", cursor);
    return ERR_OK;
}

static const struct flag list_flags[] = {
    SWITCH(0, "dead", "Only those that nobody tries any more, with the cause."),
    FLAG(0, "cursor", "TEXT", "Go on behind an earlier page."),
    {0},
};

static const struct example list_examples[] = {
    EXAMPLE("What needs a person", "stint job list --dead"),
    EXAMPLE("Try all of it again",
        "stint job list --dead --json | jq -r '.[].id' | xargs -n1 stint job retry"),
    {0},
};

const struct command job_list_command = {
    .name = "list",
    .alias = "ls",
    .summary = "Show jobs, newest first.",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "A job carries out a build of a workspace, or the import of a template. It is dead "
             "when it\n"
             "has failed for good, or its tries are used up.",
    .flags = list_flags,
    .examples = list_examples,
    .run = run_list,
};

/* ---- show, retry ---- */

static enum err ask(struct cli *cli, const struct call *call, const char *method, const char *what,
    json_t **ret_job)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, JOBS "/");
    api_add_escaped(&path, call->args[0]);
    strbuf_addstr(&path, what);
    return api_call(cli, method, path.s, NULL, ret_job);
}

/* What a server says, fit for a terminal. */
static void say(struct cli *cli, const char *name, const char *value)
{
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, value);
    if (clean.len > 0)
        fprintf(cli->out, "%-10s %s\n", name, clean.s);
}

static void say_job(struct cli *cli, json_t *job)
{
    static const struct {
        const char *name, *path;
    } rows[] = {
        {"job",       "id"          },
        {"kind",      "kind"        },
        {"of",        "of"          },
        {"owner",     "owner.name"  },
        {"status",    "shown"       },
        {"cause",     "cause"       },
        {"error",     "error"       },
        {"worker",    "worker.name" },
        {"created",   "created_at"  },
        {"started",   "started_at"  },
        {"completed", "completed_at"},
        {"died",      "died_at"     },
        {"retried",   "retried_at"  },
    };
    put_words(job);
    for (size_t i = 0; i < COUNT(rows); i++)
        say(cli, rows[i].name, table_string(job, rows[i].path));
    fprintf(cli->out,
        "%-10s %" JSON_INTEGER_FORMAT " in this series, %" JSON_INTEGER_FORMAT " in all\n",
        "attempts", json_integer_value(json_object_get(job, "attempts")),
        json_integer_value(json_object_get(job, "leases")));
    if (json_is_true(json_object_get(job, "can_retry")))
        cli_say(cli, "Try it again: stint job retry %s", table_string(job, "id"));
    else if (json_is_true(json_object_get(job, "dead")))
        cli_say(cli, "Its workspace has a newer build: it cannot be retried.");
}

static enum err run_show(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *job = NULL;
    enum err e = ask(cli, call, "GET", "", &job);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, job);
    else
        say_job(cli, job);
    return ERR_OK;
}

static const struct example show_examples[] = {
    EXAMPLE("Why it is dead", "stint job show 3f2c…"),
    {0},
};

const struct command job_show_command = {
    .name = "show",
    .summary = "Show one job: how it stands, what the trouble was, who had it.",
    .args = "JOB",
    .traits = COMMAND_PRINTS_DATA,
    .args_min = 1,
    .args_max = 1,
    .examples = show_examples,
    .run = run_show,
};

static enum err run_retry(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *job = NULL;
    enum err e = ask(cli, call, "POST", "/retry", &job);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, job);
    else
        cli_say(cli, "The job is tried again: stint job show %s", table_string(job, "id"));
    return ERR_OK;
}

static const struct example retry_examples[] = {
    EXAMPLE("After the cause is mended", "stint job retry 3f2c…"),
    {0},
};

const struct command job_retry_command = {
    .name = "retry",
    .summary = "Give a dead job another series of tries.",
    .args = "JOB",
    .traits = COMMAND_PRINTS_DATA,
    .about =
        "A build's job can be retried as long as its build is the workspace's newest; else resume\n"
        "the task.",
    .args_min = 1,
    .args_max = 1,
    .examples = retry_examples,
    .run = run_retry,
};
