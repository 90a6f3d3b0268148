/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_watch.c - `stint task watch`: status and output, live, until the task rests.
 *
 * Status goes to stderr, output to stdout, so that `stint task watch T >out.txt` keeps the output
 * alone.  The exit status says how it ended; faults of the watching itself are 64 and above.
 */
#include "cli/task_watch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/api.h"
#include "core/base/mem.h"

struct watch {
    struct cli *cli;
    json_t *task;
    struct watch_from from;
    struct task_log log;
    struct progress progress;
    struct pace pace;
    char *last_line;
};

static void say_status(struct watch *w, const char *line)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    progress_clear(&w->progress);
    if (w->cli->out_is_terminal)
        task_log_end(&w->log);
    cli_say(w->cli, "%s  %s  %s", clock, task_name(w->task), line);
}

/* The report was there before what is waited for: its news are old. */
static bool is_stale(const struct watch *w)
{
    return w->from.stale != NULL &&
           strcmp(w->from.stale, table_string(w->task, "current_state.timestamp")) == 0 &&
           strcmp(task_status(w->task), "active") == 0;
}

/* Said once for each change; between changes the progress line shows that somebody is looking. */
static void show_status(struct watch *w)
{
    struct strbuf line;
    if (is_stale(w))
        return;
    strbuf_init(&line);
    task_add_line(&line, w->task);
    if (w->last_line == NULL || strcmp(line.s, w->last_line) != 0) {
        say_status(w, line.s);
        free(w->last_line);
        w->last_line = strbuf_detach(&line);
        pace_changed(&w->pace);
    }
    strbuf_done(&line);
}

/* A task in error shows no output, and an app that is not up yet cannot be asked: no reason to stop
 * watching. */
static enum err show_output(struct watch *w)
{
    scoped(json_unrefp) json_t *lines = NULL;
    if (w->from.no_output)
        return ERR_OK;
    enum err e = task_log_fetch(&w->log, w->task, &lines);
    if (e == ERR_CONFLICT || (e == ERR_UNAVAILABLE && w->cli->http_status != 0)) {
        cli_forgive(w->cli);
        return ERR_OK;
    }
    if (e != ERR_OK || json_array_size(lines) == 0)
        return e;
    progress_clear(&w->progress);
    task_log_print(&w->log, lines);
    pace_changed(&w->pace);
    return ERR_OK;
}

static enum task_rest resting(const struct watch *w)
{
    enum task_rest rest = task_resting(w->task);
    bool by_report = rest == TASK_COMPLETE || rest == TASK_IDLE || rest == TASK_FAILED;
    return is_stale(w) && by_report ? TASK_BUSY : rest;
}

/* Status is read before output: when it says "rest", all output before it is there to be read. */
static enum err look(struct watch *w, enum task_rest *ret_rest)
{
    *ret_rest = resting(w);
    enum err e = show_output(w);
    show_status(w);
    return e;
}

static enum err look_again(struct watch *w)
{
    json_t *next = NULL;
    if (w->cli->err_is_terminal && !w->log.in_line && w->last_line != NULL)
        progress_step(&w->progress, "%s", w->last_line);
    pace_wait(&w->pace, w->cli);
    enum err e = task_refresh(w->cli, w->task, &next);
    if (e != ERR_OK)
        return e;
    json_decref(w->task);
    w->task = next;
    return ERR_OK;
}

enum err task_watch_until_rest(
    struct cli *cli, json_t *take_task, const struct watch_from *from, json_t **ret_task)
{
    struct watch w = {.cli = cli, .task = take_task, .from = *from};
    enum task_rest rest = TASK_BUSY;
    task_log_begin(&w.log, cli);
    w.log.no_input = from->no_input;
    if (from->after != NULL)
        w.log.last_id = from->after->last_id;
    progress_begin(&w.progress, cli);
    enum err e = look(&w, &rest);
    while (e == ERR_OK && rest == TASK_BUSY) {
        e = look_again(&w);
        if (e == ERR_OK)
            e = look(&w, &rest);
    }
    progress_clear(&w.progress);
    task_log_end(&w.log);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(cli);
        cli_say(cli, "%s was deleted.", task_name(w.task));
        json_decref(w.task);
        w.task = NULL;
        rest = TASK_DELETED;
        e = ERR_OK;
    }
    if (e == ERR_OK && rest == TASK_ERROR)
        task_say_why(cli, w.task);
    free(w.last_line);
    cli->exit_status = task_rest_exit_status(rest);
    if (e == ERR_OK)
        *ret_task = w.task;
    else
        json_decref(w.task);
    return e;
}

enum err task_watch_if_asked(struct cli *cli, const struct call *call, json_t *take_task,
    struct watch_from from, json_t **ret_task)
{
    bool watch = call_has(call, "watch"), wait = call_has(call, "wait");
    from.no_input = true;
    from.no_output = !watch || call_wants_json(call);
    if (watch || wait)
        return task_watch_until_rest(cli, take_task, &from, ret_task);
    *ret_task = take_task;
    return ERR_OK;
}

/* ---- the command ---- */

static enum err run(struct cli *cli, const struct call *call)
{
    json_t *task = NULL;
    scoped(json_unrefp) json_t *last = NULL;
    const struct watch_from from = {.no_output = call_wants_json(call)};
    enum err e = task_find(cli, call->args[0], &task);
    if (e == ERR_OK)
        e = task_watch_until_rest(cli, task, &from, &last);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, last);
    return ERR_OK;
}

static const struct example examples[] = {
    EXAMPLE("Status and output until it rests", "stint task watch fix-login-3fa2"),
    EXAMPLE("Keep the output, go on when complete",
        "stint task watch fix-login-3fa2 >out.txt && echo well"),
    EXAMPLE("Only the end of it, as JSON",
        "stint task watch fix-login-3fa2 --json | jq .current_state"),
    {0},
};

const struct command task_watch_command = {
    .name = "watch",
    .summary = "Follow a task's status and output until it rests.",
    .args = "TASK",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about =
        "Status goes to stderr, output to stdout. The exit status says how it ended: 0 complete or "
        "idle, 1 failed, 2 error, 3 paused, 4 deleted; 64 and above are faults of the command "
        "itself.",
    .examples = examples,
    .run = run,
};
