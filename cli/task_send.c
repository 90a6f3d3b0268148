/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_send.c - `stint task send`: a message for the app, when it can take one.
 *
 * A paused task is resumed first; one at work is waited for.  Messages are not queued anywhere: the
 * command ends well only when the app has taken it.
 */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_watch.h"

#include <string.h>

#include "core/base/mem.h"

static enum err takes_message(struct cli *cli, const json_t *task, bool *ret_done)
{
    enum task_rest rest = task_resting(task);
    *ret_done = rest == TASK_COMPLETE || rest == TASK_IDLE || rest == TASK_FAILED;
    if (strcmp(task_status(task), "paused") == 0)
        return cli_fail(cli, ERR_CONFLICT, "task %s was paused meanwhile", task_name(task));
    if (rest != TASK_ERROR)
        return ERR_OK;
    (void)cli_fail(cli, ERR_CONFLICT, "task %s is in error and takes no message", task_name(task));
    cli_hint(cli, "stint task resume %s", task_name(task));
    return cli->code;
}

static bool is_paused(const json_t *task)
{
    return strcmp(task_status(task), "paused") == 0;
}

/* Until the app can take a message. */
static enum err make_ready(
    struct cli *cli, const struct call *call, json_t *take_task, json_t **ret_task)
{
    json_t *task = take_task;
    bool ready = false;
    if (is_paused(task)) {
        cli_say(cli, "Task is paused. Resuming it first.");
        enum err e = task_resume(cli, task, true, &task);
        if (e != ERR_OK)
            return e;
    }
    if (!call_has(call, "no-wait"))
        return task_wait(cli, task, takes_message, ret_task);
    enum err e = takes_message(cli, task, &ready);
    if (e == ERR_OK && !ready)
        e = cli_fail(
            cli, ERR_CONFLICT, "task %s is at work and takes no message now", task_name(task));
    if (e == ERR_OK)
        *ret_task = task;
    else
        json_decref(task);
    return e;
}

/* The app may have begun something else between the look and the message: then wait again. */
static enum err deliver(struct cli *cli, const struct call *call, const json_t *body, json_t **task)
{
    for (;;) {
        json_t *ready = NULL;
        enum err e = make_ready(cli, call, steal(*task), &ready);
        if (e != ERR_OK)
            return e;
        *task = ready;
        e = task_act(cli, "POST", ready, "send", body, NULL);
        if (e != ERR_CONFLICT || call_has(call, "no-wait"))
            return e;
        cli_forgive(cli);
        cli->wait_ms(cli, 500);
        if ((e = task_refresh(cli, ready, task)) != ERR_OK)
            return e;
        json_decref(ready);
    }
}

static enum err run(struct cli *cli, const struct call *call)
{
    scoped_free char *input = NULL;
    scoped(json_unrefp) json_t *task = NULL;
    enum err e = task_read_input(cli, call, 1, &input);
    if (e == ERR_OK)
        e = task_find(cli, call->args[0], &task);
    if (e != ERR_OK)
        return e;
    scoped(json_unrefp) json_t *body = json_pack("{s:s}", "input", input);
    struct task_log seen = {.last_id = -1};
    if (call_has(call, "watch"))
        seen = task_log_seen(cli, task);
    e = deliver(cli, call, body, &task);
    if (e != ERR_OK)
        return e;
    scoped_free char *before = mem_strdup(table_string(task, "current_state.timestamp"));
    const struct watch_from from = {.stale = before, .after = &seen};
    if (!call_wants_json(call) && !call_has(call, "watch"))
        fprintf(cli->out, "The message has been sent to %s.\n", task_name(task));
    scoped(json_unrefp) json_t *last = NULL;
    e = task_watch_if_asked(cli, call, steal(task), from, &last);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, last);
    return e;
}

static const struct flag flags[] = {
    FLAG(0, "file", "FILE", "Read the message from a file."),
    SWITCH(0, "stdin", "Read the message from standard input (as does the message \"-\")."),
    SWITCH(0, "no-wait",
        "Fail when the task is at work, instead of waiting until it can take a message."),
    SWITCH('w', "watch", "Follow status and output until the task rests again."),
    SWITCH(0, "wait", "The same without the output."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("A message, when it can take one", "stint task send fix-login-3fa2 'now add a test'"),
    EXAMPLE("From standard input, and see the answer",
        "git diff | stint task send review-77ab - --watch"),
    {0},
};

const struct command task_send_command = {
    .name = "send",
    .summary = "Send a message to a task.",
    .args = "TASK [MESSAGE]",
    .args_min = 1,
    .args_max = 2,
    .traits = COMMAND_PRINTS_DATA,
    .about = "A paused task is resumed first, one at work is waited for.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
