/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_follow.c - two ways to be told of one task.
 *
 * A stream begins with all there is ("synced" says that this is over), then tells changes.  The
 * task is shown first when it is synced: of what went before only the end counts.
 */
#include "cli/task_follow.h"

#include <string.h>

#include "cli/api.h"
#include "cli/events.h"
#include "cli/interrupt.h"

struct follow {
    struct cli *cli;
    const struct task_follower *to;
    json_t **task; /* the caller's */
    bool is_synced;
};

static void keep(struct follow *f, json_t *take_task)
{
    json_decref(*f->task);
    *f->task = take_task;
}

static enum err tell(struct follow *f, follow_fn fn, const json_t *value, bool *ret_done)
{
    return fn != NULL ? fn(f->to->arg, value, ret_done) : ERR_OK;
}

static enum err tell_task(struct follow *f, bool *ret_done)
{
    return tell(f, f->to->on_task, *f->task, ret_done);
}

static enum err tell_output(struct follow *f, const json_t *lines, bool *ret_done)
{
    if (json_array_size(lines) == 0)
        return ERR_OK;
    if (f->to->progress != NULL)
        progress_clear(f->to->progress);
    return tell(f, f->to->on_output, lines, ret_done);
}

/* ---- by stream ---- */

static enum err on_task(struct follow *f, const json_t *data, bool *ret_done)
{
    if (!json_is_object(data))
        return ERR_OK;
    keep(f, json_deep_copy(data));
    return f->is_synced ? tell_task(f, ret_done) : ERR_OK;
}

/* An entry of the conversation, as the log of a task has it. */
static json_t *line_of(const json_t *entry)
{
    bool is_input = strcmp(table_string(entry, "role"), "user") == 0;
    return json_pack("{s:O*, s:O*, s:s, s:O*}", "id", json_object_get(entry, "id"), "content",
        json_object_get(entry, "content"), "type", is_input ? "input" : "output", "time",
        json_object_get(entry, "time"));
}

static enum err on_message(struct follow *f, const json_t *data, bool *ret_done)
{
    if (f->to->log == NULL)
        return ERR_OK;
    scoped(json_unrefp) json_t *lines = json_pack("[o]", line_of(data));
    bool is_news = task_log_is_news(f->to->log, json_array_get(lines, 0));
    return is_news ? tell_output(f, lines, ret_done) : ERR_OK;
}

static enum err on_log(struct follow *f, const json_t *data, bool *ret_done)
{
    return tell(f, f->to->on_log, data, ret_done);
}

static enum err on_queued(struct follow *f, const json_t *data, bool *ret_done)
{
    return tell(f, f->to->on_queued, data, ret_done);
}

static enum err on_synced(struct follow *f, const json_t *data, bool *ret_done)
{
    (void)data;
    f->is_synced = true;
    return tell_task(f, ret_done);
}

static enum err on_reset(struct follow *f, const json_t *data, bool *ret_done)
{
    (void)data, (void)ret_done;
    f->is_synced = false;
    return ERR_OK;
}

static enum err on_deleted(struct follow *f, const json_t *data, bool *ret_done)
{
    (void)data, (void)ret_done;
    return cli_fail(f->cli, ERR_NOT_FOUND, "%s was deleted", task_name(*f->task));
}

static const struct {
    const char *name;
    enum err (*run)(struct follow *f, const json_t *data, bool *ret_done);
} handlers[] = {
    {"task",           on_task   },
    {"message",        on_message},
    {"log",            on_log    },
    {"queued_message", on_queued },
    {"synced",         on_synced },
    {"reset",          on_reset  },
    {"deleted",        on_deleted},
};

static enum err on_event(void *arg, const char *name, const json_t *data, bool *ret_done)
{
    for (size_t i = 0; i < COUNT(handlers); i++)
        if (strcmp(handlers[i].name, name) == 0)
            return handlers[i].run(arg, data, ret_done);
    return ERR_OK; /* of a newer gateway */
}

static enum err on_tick(void *arg, bool *ret_done)
{
    struct follow *f = arg;
    *ret_done = f->to->on_tick != NULL && !f->to->on_tick(f->to->arg);
    return ERR_OK;
}

static void on_say(void *arg)
{
    const struct follow *f = arg;
    if (f->to->progress != NULL)
        progress_clear(f->to->progress);
}

static enum err by_stream(struct follow *f, bool *ret_exists)
{
    struct strbuf path;
    const struct events events = {
        .on_event = on_event, .on_tick = on_tick, .on_say = on_say, .arg = f};
    strbuf_init(&path);
    strbuf_addf(&path, "/api/stint/v1/tasks/%s/events", table_string(*f->task, "id"));
    enum err e = events_follow(f->cli, path.s, &events, ret_exists);
    strbuf_done(&path);
    return e;
}

/* ---- by looking ---- */

/* A task in error shows no output, and an app that is not up yet cannot be asked: no reason to
 * stop.
 */
static enum err look_for_output(struct follow *f, struct pace *pace, bool *ret_done)
{
    scoped(json_unrefp) json_t *lines = NULL;
    if (f->to->log == NULL)
        return ERR_OK;
    enum err e = task_log_fetch(f->to->log, *f->task, &lines);
    if (e == ERR_CONFLICT || (e == ERR_UNAVAILABLE && f->cli->http_status != 0)) {
        cli_forgive(f->cli);
        return ERR_OK;
    }
    if (json_array_size(lines) > 0)
        pace_changed(pace);
    return e == ERR_OK ? tell_output(f, lines, ret_done) : e;
}

/* The task is read before its output: when it says "rest", all output before that is there. */
static enum err look(struct follow *f, struct pace *pace, bool *ret_done)
{
    enum err e = look_for_output(f, pace, ret_done);
    if (e == ERR_OK && !*ret_done)
        e = tell(f, f->to->on_look, *f->task, ret_done);
    return e == ERR_OK && !*ret_done ? tell_task(f, ret_done) : e;
}

static enum err refresh(struct follow *f, struct pace *pace)
{
    json_t *next = NULL;
    pace_wait(pace, f->cli);
    if (interrupt_seen())
        return cli_fail(f->cli, ERR_CANCELED, "interrupted");
    enum err e = task_refresh(f->cli, *f->task, &next);
    if (e != ERR_OK)
        return e;
    if (!json_equal(next, *f->task))
        pace_changed(pace);
    keep(f, next);
    return ERR_OK;
}

static enum err by_looking(struct follow *f)
{
    struct pace pace = {0};
    bool is_done = false;
    interrupt_catch();
    enum err e = look(f, &pace, &is_done);
    while (e == ERR_OK && !is_done) {
        (void)on_tick(f, &is_done);
        if (!is_done)
            e = refresh(f, &pace);
        if (e == ERR_OK && !is_done)
            e = look(f, &pace, &is_done);
    }
    return e;
}

enum err task_follow(struct cli *cli, json_t **task, const struct task_follower *follower)
{
    struct follow f = {.cli = cli, .to = follower, .task = task};
    bool exists;
    enum err e = by_stream(&f, &exists);
    if (e == ERR_OK && !exists)
        e = by_looking(&f);
    if (follower->progress != NULL)
        progress_clear(follower->progress);
    return e;
}
