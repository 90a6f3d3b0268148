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
#include "cli/task_follow.h"
#include "core/base/mem.h"

struct watch {
    struct cli *cli;
    struct watch_from from;
    struct task_log log;
    struct progress progress;
    enum task_rest rest;
    char *last_line;
};

static void say_status(struct watch *w, const json_t *task, const char *line)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    progress_clear(&w->progress);
    if (w->cli->out_is_terminal)
        task_log_end(&w->log);
    cli_say(w->cli, "%s  %s  %s", clock, task_name(task), line);
}

/* The report was there before what is waited for: its news are old. */
static bool is_stale(const struct watch *w, const json_t *task)
{
    return w->from.stale != NULL &&
           strcmp(w->from.stale, table_string(task, "current_state.timestamp")) == 0 &&
           strcmp(task_status(task), "active") == 0;
}

/* Said once for each change; between changes the progress line shows that somebody is looking. */
static void show_status(struct watch *w, const json_t *task)
{
    struct strbuf line;
    strbuf_init(&line);
    task_add_line(&line, task);
    if (w->last_line == NULL || strcmp(line.s, w->last_line) != 0) {
        say_status(w, task, line.s);
        free(w->last_line);
        w->last_line = strbuf_detach(&line);
    }
    strbuf_done(&line);
}

static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    struct watch *w = arg;
    w->rest = task_resting(task);
    bool by_report = w->rest == TASK_COMPLETE || w->rest == TASK_IDLE || w->rest == TASK_FAILED;
    if (is_stale(w, task)) {
        w->rest = by_report ? TASK_BUSY : w->rest;
    } else {
        show_status(w, task);
    }
    *ret_done = w->rest != TASK_BUSY;
    return ERR_OK;
}

static enum err on_output(void *arg, const json_t *lines, bool *ret_done)
{
    struct watch *w = arg;
    (void)ret_done;
    task_log_print(&w->log, lines);
    return ERR_OK;
}

static bool on_tick(void *arg)
{
    struct watch *w = arg;
    if (w->cli->err_is_terminal && !w->log.in_line && w->last_line != NULL)
        progress_step(&w->progress, "%s", w->last_line);
    return true;
}

static void begin(struct watch *w)
{
    task_log_begin(&w->log, w->cli);
    w->log.no_input = w->from.no_input;
    if (w->from.after != NULL) {
        w->log.last_id = w->from.after->last_id;
        w->log.last_hash = w->from.after->last_hash;
    }
    progress_begin(&w->progress, w->cli);
}

/* How it ended, in words and as an exit status. */
static enum err end(struct watch *w, enum err e, const json_t *task)
{
    task_log_end(&w->log);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(w->cli);
        cli_say(w->cli, "%s was deleted.", task_name(task));
        w->rest = TASK_DELETED;
        e = ERR_OK;
    }
    if (e == ERR_OK && w->rest == TASK_ERROR)
        task_say_why(w->cli, task);
    free(w->last_line);
    w->cli->exit_status = task_rest_exit_status(w->rest);
    return e;
}

enum err task_watch_until_rest(
    struct cli *cli, json_t *take_task, const struct watch_from *from, json_t **ret_task)
{
    scoped(json_unrefp) json_t *task = take_task;
    struct watch w = {.cli = cli, .from = *from};
    const struct task_follower follower = {
        .on_task = on_task,
        .on_output = on_output,
        .on_tick = on_tick,
        .arg = &w,
        .log = from->no_output ? NULL : &w.log,
        .progress = &w.progress,
    };
    begin(&w);
    enum err e = end(&w, task_follow(cli, &task, &follower), task);
    if (e == ERR_OK && w.rest != TASK_DELETED)
        *ret_task = steal(task);
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
