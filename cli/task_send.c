/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_send.c - `stint task send`: a message for the app, kept until it can take it.
 *
 *   queue it --> resume the task, if it is paused --> wait until it is delivered --> watch
 *
 * From the first step on the message is safe with the scheduler, whatever becomes of this command.
 * `--direct` is Coder's way: the app takes it now, or not at all.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/message.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_follow.h"
#include "cli/task_watch.h"
#include "core/base/mem.h"

/* After a delivery, for the message to show in the conversation. */
#define SHOWN_MS_MAX 15000

struct send {
    struct cli *cli;
    const struct call *call;
    json_t *task;
    json_t *message; /* NULL: --direct */
    const char *content;
    struct progress progress;
    bool is_looking;  /* there is no stream */
    bool was_pausing; /* when it was queued: then the pause is waited for, and undone */
    /* For --watch: what was there before the message's answer. */
    struct task_log seen;
    char *stale;
};

static void send_done(struct send *s)
{
    json_decref(s->task);
    json_decref(s->message);
    free(s->stale);
}

static bool has_status(const struct send *s, const char *status)
{
    return strcmp(task_status(s->task), status) == 0;
}

static bool is_followed(const struct send *s)
{
    return call_has(s->call, "watch") || call_has(s->call, "wait");
}

static void remember_stale(struct send *s)
{
    free(s->stale);
    s->stale = mem_strdup(table_string(s->task, "current_state.timestamp"));
}

/* ---- queueing ---- */

static enum err refuse_in_error(struct send *s)
{
    (void)cli_fail(
        s->cli, ERR_CONFLICT, "task %s is in error and takes no message", task_name(s->task));
    cli_hint(s->cli, "stint task resume %s", task_name(s->task));
    return s->cli->code;
}

static enum err queue(struct send *s)
{
    if (has_status(s, "error"))
        return refuse_in_error(s);
    s->was_pausing = has_status(s, "unknown");
    enum err e = message_queue(s->cli, s->task, s->content, &s->message);
    if (e == ERR_NOT_FOUND && strstr(s->cli->problem.s, "Route") != NULL)
        cli_hint(s->cli, "a gateway that keeps no messages wants --direct");
    if (e == ERR_CONFLICT)
        cli_hint(s->cli, "stint task messages %s", task_name(s->task));
    return e;
}

static void say_queued(const struct send *s)
{
    json_int_t place = message_place(s->message);
    const char *name = task_name(s->task);
    if (has_status(s, "paused"))
        cli_say(s->cli, "%s is paused; the message waits until it is resumed: stint task resume %s",
            name, name);
    else
        cli_say(s->cli, "The message is queued at place %" JSON_INTEGER_FORMAT ".", place);
}

static enum err resume(struct send *s)
{
    json_t *task = NULL;
    s->was_pausing = false;
    cli_say(s->cli, "The message is queued. Task is paused, resuming it.");
    enum err e = task_resume(s->cli, json_incref(s->task), false, &task);
    if (e != ERR_OK) {
        cli_detail(s->cli, "The message waits until the task is resumed.");
        cli_hint(s->cli, "stint task resume %s", task_name(s->task));
        return e;
    }
    json_decref(s->task);
    s->task = task;
    return ERR_OK;
}

/* ---- waiting for the delivery ---- */

static enum err still_waits(struct send *s, const char *why)
{
    (void)cli_fail(s->cli, ERR_CONFLICT, "task %s %s; the message waits", task_name(s->task), why);
    cli_hint(s->cli, "stint task resume %s, or take it back: stint task unsend %s %.8s",
        task_name(s->task), task_name(s->task), table_string(s->message, "id"));
    return s->cli->code;
}

static enum err check_state(struct send *s, bool *ret_delivered)
{
    const char *state = table_string(s->message, "state");
    const char *detail = table_string(s->message, "detail");
    *ret_delivered = strcmp(state, "delivered") == 0;
    if (strcmp(state, "refused") == 0) {
        (void)cli_fail(s->cli, ERR_FAILED, "the app of %s refused the message", task_name(s->task));
        if (detail[0] != '\0')
            cli_detail(s->cli, "%s", detail);
        return s->cli->code;
    }
    if (strcmp(state, "withdrawn") == 0)
        return cli_fail(s->cli, ERR_CANCELED, "the message was taken back");
    if (!message_waits(s->message))
        return ERR_OK;
    if (has_status(s, "error"))
        return still_waits(s, "is in error");
    if (!has_status(s, "paused"))
        return ERR_OK;
    return s->was_pausing ? resume(s) : still_waits(s, "was paused meanwhile");
}

static void keep_message(struct send *s, json_t *take_message)
{
    json_decref(s->message);
    s->message = take_message;
}

static enum err refresh_message(struct send *s, const json_t *task)
{
    json_t *message = NULL;
    enum err e = message_refresh(s->cli, task, s->message, &message);
    if (e == ERR_OK)
        keep_message(s, message);
    return e;
}

/* A stream tells what becomes of a message from its begin on; what was before that is asked for. */
static enum err on_task(void *arg, const json_t *task, bool *ret_done)
{
    struct send *s = arg;
    enum err e = s->is_looking ? ERR_OK : refresh_message(s, task);
    return e == ERR_OK ? check_state(s, ret_done) : e;
}

static enum err on_queued(void *arg, const json_t *message, bool *ret_done)
{
    struct send *s = arg;
    if (strcmp(table_string(message, "id"), table_string(s->message, "id")) != 0)
        return ERR_OK;
    keep_message(s, json_deep_copy(message));
    return check_state(s, ret_done);
}

static enum err on_look(void *arg, const json_t *task, bool *ret_done)
{
    struct send *s = arg;
    bool is_first = !s->is_looking; /* what it is now has just been told */
    (void)ret_done;
    s->is_looking = true;
    return is_first ? ERR_OK : refresh_message(s, task);
}

static bool on_tick(void *arg)
{
    struct send *s = arg;
    struct strbuf line;
    strbuf_init(&line);
    task_add_line(&line, s->task);
    progress_step(&s->progress, "The message waits at place %" JSON_INTEGER_FORMAT "; %s: %s",
        message_place(s->message), task_name(s->task), line.s);
    strbuf_done(&line);
    return true;
}

static enum err wait_delivered(struct send *s)
{
    const struct task_follower follower = {
        .on_task = on_task,
        .on_queued = on_queued,
        .on_look = on_look,
        .on_tick = on_tick,
        .arg = s,
        .progress = &s->progress,
    };
    bool is_delivered = false;
    enum err e = check_state(s, &is_delivered);
    if (e != ERR_OK || is_delivered)
        return e;
    progress_begin(&s->progress, s->cli);
    e = task_follow(s->cli, &s->task, &follower);
    if (e == ERR_NOT_FOUND)
        return cli_fail(
            s->cli, e, "task %s was deleted, and the message with it", task_name(s->task));
    return e;
}

/* ---- what comes after it ---- */

/* Shown as it was sent, but for white space around it and a limit of length. */
static bool is_this(const struct send *s, const json_t *line)
{
    static const char white[] = " \t\r\n";
    const char *shown = table_string(line, "content"), *sent = s->content;
    if (strcmp(table_string(line, "type"), "input") != 0)
        return false;
    shown += strspn(shown, white), sent += strspn(sent, white);
    size_t n = strlen(shown);
    while (n > 0 && strchr(white, shown[n - 1]) != NULL)
        n--;
    return n > 0 && strncmp(shown, sent, n) == 0;
}

/* Found: only what comes after it counts as news. */
static bool find_this(struct send *s, const json_t *lines)
{
    bool found = false;
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        if (!is_this(s, line))
            continue;
        (void)task_log_is_news(&s->seen, line);
        found = true;
    }
    return found;
}

static enum err on_output(void *arg, const json_t *lines, bool *ret_done)
{
    *ret_done = find_this(arg, lines);
    return ERR_OK;
}

/* An app's reports and its conversation arrive in one order: what the task shows before the message
 * stands in the conversation is no answer to it. */
static enum err on_task_before(void *arg, const json_t *task, bool *ret_done)
{
    (void)task, (void)ret_done;
    remember_stale(arg);
    return ERR_OK;
}

static bool is_patient(void *arg)
{
    struct send *s = arg;
    return progress_elapsed_ms(&s->progress) < SHOWN_MS_MAX;
}

static enum err wait_shown(struct send *s)
{
    struct task_log log = s->seen;
    const struct task_follower follower = {
        .on_task = on_task_before,
        .on_output = on_output,
        .on_tick = is_patient,
        .arg = s,
        .log = &log,
    };
    progress_begin(&s->progress, s->cli);
    return task_follow(s->cli, &s->task, &follower);
}

/* ---- the command ---- */

static enum err send_direct(struct send *s)
{
    scoped(json_unrefp) json_t *body = json_pack("{s:s}", "input", s->content);
    remember_stale(s);
    enum err e = task_act(s->cli, "POST", s->task, "send", body, NULL);
    if (e == ERR_CONFLICT)
        cli_hint(s->cli, "without --direct the message waits until the task can take it");
    return e;
}

static enum err send_queued(struct send *s)
{
    remember_stale(s);
    enum err e = queue(s);
    if (e == ERR_OK && call_has(s->call, "no-wait")) {
        say_queued(s);
        return ERR_OK;
    }
    if (e == ERR_OK && has_status(s, "paused"))
        e = resume(s);
    if (e == ERR_OK)
        e = wait_delivered(s);
    return e == ERR_OK && is_followed(s) ? wait_shown(s) : e;
}

static enum err follow(struct send *s)
{
    scoped(json_unrefp) json_t *last = NULL;
    const struct watch_from from = {.stale = s->stale, .after = &s->seen};
    enum err e = task_watch_if_asked(s->cli, s->call, json_incref(s->task), from, &last);
    if (e == ERR_OK && call_wants_json(s->call))
        table_print_json(s->cli, last);
    return e;
}

static void print_outcome(const struct send *s)
{
    if (call_wants_json(s->call))
        table_print_json(s->cli, s->message != NULL ? s->message : s->task);
    else if (!call_has(s->call, "no-wait") || s->message == NULL)
        fprintf(s->cli->out, "The message has been sent to %s.\n", task_name(s->task));
}

static enum err run_with(struct send *s)
{
    s->seen.last_id = -1;
    if (is_followed(s))
        s->seen = task_log_seen(s->cli, s->task);
    enum err e = call_has(s->call, "direct") ? send_direct(s) : send_queued(s);
    if (e != ERR_OK)
        return e;
    if (is_followed(s))
        return follow(s);
    print_outcome(s);
    return ERR_OK;
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct send s = {.cli = cli, .call = call};
    scoped_free char *input = NULL;
    if (call_has(call, "no-wait") && is_followed(&s))
        return cli_fail(cli, ERR_USAGE, "--no-wait excludes --watch and --wait");
    enum err e = task_read_input(cli, call, 1, &input);
    if (e == ERR_OK)
        e = task_find(cli, call->args[0], &s.task);
    s.content = input;
    if (e == ERR_OK)
        e = run_with(&s);
    send_done(&s);
    return e;
}

static const struct flag flags[] = {
    FLAG(0, "file", "FILE", "Read the message from a file."),
    SWITCH(0, "stdin", "Read the message from standard input (as does the message \"-\")."),
    SWITCH(0, "no-wait", "Return as soon as the message is queued; a paused task stays paused."),
    SWITCH(0, "direct", "Do not queue: fail when the app cannot take the message now."),
    SWITCH('w', "watch", "Follow status and output until the task rests again."),
    SWITCH(0, "wait", "The same without the output."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("A message, when it can take one", "stint task send fix-login-3fa2 'now add a test'"),
    EXAMPLE("From standard input, and see the answer",
        "git diff | stint task send review-77ab - --watch"),
    EXAMPLE("Leave it and go", "stint task send fix-login-3fa2 'then tidy up' --no-wait"),
    {0},
};

const struct command task_send_command = {
    .name = "send",
    .summary = "Send a message to a task.",
    .args = "TASK [MESSAGE]",
    .args_min = 1,
    .args_max = 2,
    .traits = COMMAND_PRINTS_DATA,
    .about = "The message is queued: it is kept, in order, until the app can take it, also when "
             "this command ends before. A paused task is resumed. What waits is shown by `stint "
             "task messages` and taken back by `stint task unsend`.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
