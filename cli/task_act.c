/* SPDX-License-Identifier: Apache-2.0 */
/* task_act.c - `stint task pause`, `resume`, `delete`: what changes a task's compute. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_watch.h"

#include <string.h>

#include "core/base/mem.h"

static bool has_status(const json_t *task, const char *status)
{
    return strcmp(task_status(task), status) == 0;
}

static void print_outcome(
    struct cli *cli, const struct call *call, const json_t *task, const char *done)
{
    if (call_wants_json(call))
        table_print_json(cli, task);
    else
        fprintf(cli->out, "The task %s has been %s.\n", task_name(task), done);
}

static enum err went_wrong(struct cli *cli, const json_t *task, const char *what)
{
    task_say_why(cli, task);
    (void)cli_fail(
        cli, ERR_FAILED, "%s could not be %s: it is in error now", task_name(task), what);
    cli_hint(cli, "stint task status %s -c status,'workspace status',message", task_name(task));
    return cli->code;
}

/* ---- pause ---- */

static enum err is_paused(struct cli *cli, const json_t *task, bool *ret_done)
{
    *ret_done = has_status(task, "paused");
    return has_status(task, "error") ? went_wrong(cli, task, "paused") : ERR_OK;
}

static enum err pause_one(struct cli *cli, const struct call *call, const char *word)
{
    json_t *task = NULL;
    scoped(json_unrefp) json_t *last = NULL;
    enum err e = task_find(cli, word, &task);
    if (e != ERR_OK)
        return e;
    if (has_status(task, "paused")) {
        (void)cli_fail(cli, ERR_CONFLICT, "task %s is paused already", task_name(task));
        cli_hint(cli, "stint task resume %s", task_name(task));
        json_decref(task);
        return cli->code;
    }
    /* An error from before is not one of this pause. */
    e = task_act(cli, "POST", task, "pause", NULL, NULL);
    if (e == ERR_OK && !call_has(call, "no-wait")) {
        json_t *fresh = NULL;
        e = task_refresh(cli, task, &fresh);
        json_decref(task);
        if (e == ERR_OK)
            e = task_wait(cli, fresh, is_paused, &last);
    } else if (e == ERR_OK) {
        last = task;
    } else {
        json_decref(task);
    }
    if (e == ERR_OK)
        print_outcome(cli, call, last, call_has(call, "no-wait") ? "asked to pause" : "paused");
    return e;
}

/* Each of the tasks is tried; the first failure is the command's, the others are said in passing.
 */
static enum err for_each(struct cli *cli, const struct call *call,
    enum err (*one)(struct cli *, const struct call *, const char *))
{
    enum err first = ERR_OK;
    for (size_t i = 0; i < call->n_args; i++) {
        enum err e = one(cli, call, call->args[i]);
        if (e != ERR_OK && call->n_args > 1) {
            cli_complain(cli);
            cli_forgive(cli);
        }
        first = first == ERR_OK ? e : first;
    }
    if (first != ERR_OK && call->n_args > 1)
        (void)cli_fail(cli, first, "not every task could be served, see above");
    return first;
}

static enum err run_pause(struct cli *cli, const struct call *call)
{
    return for_each(cli, call, pause_one);
}

static const struct flag pause_flags[] = {
    SWITCH(0, "no-wait", "Return as soon as the pause is on its way."),
    SWITCH('y', "yes", "Accepted for scripts; pausing does not ask."),
    {0},
};

static const struct example pause_examples[] = {
    EXAMPLE("Free its compute, keep its files", "stint task pause fix-login-3fa2"),
    EXAMPLE(
        "All of yours that are active", "stint task pause $(stint task list -q --status active)"),
    {0},
};

const struct command task_pause_command = {
    .name = "pause",
    .summary = "Free a task's compute; its files are kept.",
    .args = "TASK...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .traits = COMMAND_PRINTS_DATA,
    .flags = pause_flags,
    .examples = pause_examples,
    .run = run_pause,
};

/* ---- resume ---- */

static enum err is_resumed(struct cli *cli, const json_t *task, bool *ret_done)
{
    *ret_done = has_status(task, "active");
    return has_status(task, "error") ? went_wrong(cli, task, "resumed") : ERR_OK;
}

static enum err set_prompt(struct cli *cli, const struct call *call, const json_t *task)
{
    const char *prompt = call_text(call, "prompt");
    if (prompt == NULL)
        return ERR_OK;
    scoped(json_unrefp) json_t *body = json_pack("{s:s}", "input", prompt);
    if (body == NULL)
        return cli_fail(cli, ERR_INVALID, "the prompt is not UTF-8 text");
    return task_act(cli, "PATCH", task, "input", body, NULL);
}

enum err task_resume(struct cli *cli, json_t *take_task, bool wait, json_t **ret_task)
{
    scoped(json_unrefp) json_t *task = take_task;
    json_t *fresh = NULL;
    enum err e = task_act(cli, "POST", task, "resume", NULL, NULL);
    if (e == ERR_OK)
        e = task_refresh(cli, task, &fresh);
    if (e == ERR_OK && wait)
        return task_wait(cli, fresh, is_resumed, ret_task);
    *ret_task = fresh;
    return e;
}

static enum err find_paused(struct cli *cli, const char *word, json_t **ret_task)
{
    json_t *task = NULL;
    enum err e = task_find(cli, word, &task);
    if (e != ERR_OK)
        return e;
    /* A task in error is started anew the same way. */
    if (has_status(task, "paused") || has_status(task, "error")) {
        *ret_task = task;
        return ERR_OK;
    }
    (void)cli_fail(
        cli, ERR_CONFLICT, "task %s is %s, not paused", task_name(task), task_status(task));
    cli_hint(cli, "stint task watch %s", task_name(task));
    json_decref(task);
    return cli->code;
}

static enum err run_resume(struct cli *cli, const struct call *call)
{
    json_t *task = NULL, *resumed = NULL;
    scoped(json_unrefp) json_t *last = NULL;
    bool follows = call_has(call, "watch"), wait = !call_has(call, "no-wait") && !follows;
    enum err e = find_paused(cli, call->args[0], &task);
    if (e == ERR_OK && (e = set_prompt(cli, call, task)) != ERR_OK)
        json_decref(task);
    if (e != ERR_OK)
        return e;
    scoped_free char *before = mem_strdup(table_string(task, "current_state.timestamp"));
    struct task_log seen = {.last_id = -1};
    if (follows)
        seen = task_log_seen(cli, task);
    const struct watch_from from = {
        .stale = before, .after = &seen, .no_output = call_wants_json(call)};
    e = task_resume(cli, task, wait, &resumed);
    if (e == ERR_OK && follows)
        e = task_watch_until_rest(cli, resumed, &from, &last);
    else if (e == ERR_OK)
        last = resumed;
    if (e == ERR_OK && (!follows || call_wants_json(call)))
        print_outcome(cli, call, last, wait ? "resumed" : "asked to resume");
    return e;
}

static const struct flag resume_flags[] = {
    FLAG('p', "prompt", "TEXT", "Replace the prompt first; only a changed one is delivered anew."),
    SWITCH(0, "no-wait", "Return as soon as the resume is on its way."),
    SWITCH('w', "watch", "Follow status and output until the task rests, see `stint task watch`."),
    SWITCH('y', "yes", "Accepted for scripts; resuming does not ask."),
    {0},
};

static const struct example resume_examples[] = {
    EXAMPLE("Give it compute again; it waits for a message", "stint task resume fix-login-3fa2"),
    EXAMPLE("With new work", "stint task resume fix-login-3fa2 --prompt 'make test' --watch"),
    {0},
};

const struct command task_resume_command = {
    .name = "resume",
    .summary = "Give a paused task compute again.",
    .args = "TASK",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .flags = resume_flags,
    .examples = resume_examples,
    .run = run_resume,
};

/* ---- delete ---- */

static enum err find_all(struct cli *cli, const struct call *call, json_t *tasks)
{
    for (size_t i = 0; i < call->n_args; i++) {
        json_t *task = NULL;
        enum err e = task_find(cli, call->args[i], &task);
        if (e != ERR_OK)
            return e;
        json_array_append_new(tasks, task);
    }
    return ERR_OK;
}

static enum err confirm_delete(struct cli *cli, const struct call *call, const json_t *tasks)
{
    if (call_has(call, "yes"))
        return ERR_OK;
    struct strbuf question;
    strbuf_init(&question);
    strbuf_addstr(&question, "Delete with all files:");
    size_t i;
    json_t *task;
    json_array_foreach(tasks, i, task) strbuf_addf(&question, " %s", task_name(task));
    strbuf_addstr(&question, "? [y/N]");
    enum err e = cli_confirm(cli, question.s);
    strbuf_done(&question);
    return e;
}

/* All are found before the first is deleted, so that a slip in the last name deletes nothing. */
static enum err run_delete(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *tasks = json_array();
    enum err e = find_all(cli, call, tasks);
    if (e == ERR_OK)
        e = confirm_delete(cli, call, tasks);
    size_t i;
    json_t *task;
    json_array_foreach(tasks, i, task)
    {
        if (e != ERR_OK)
            break;
        e = task_act(cli, "DELETE", task, "", NULL, NULL);
        if (e == ERR_OK && !call_wants_json(call))
            fprintf(cli->out, "The task %s has been deleted.\n", task_name(task));
    }
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, tasks);
    return e;
}

static const struct flag delete_flags[] = {
    SWITCH('y', "yes", "Do not ask."),
    {0},
};

static const struct example delete_examples[] = {
    EXAMPLE("Asks first", "stint task delete fix-login-3fa2"),
    EXAMPLE("Several, without being asked", "stint task delete -y nightly-1 nightly-2"),
    {0},
};

const struct command task_delete_command = {
    .name = "delete",
    .alias = "rm",
    .summary = "Delete tasks with their workspaces and files.",
    .args = "TASK...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .traits = COMMAND_PRINTS_DATA,
    .flags = delete_flags,
    .examples = delete_examples,
    .run = run_delete,
};
