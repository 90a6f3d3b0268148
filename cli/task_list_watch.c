/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_list_watch.c - `stint task list --watch`: the list as it changes.
 *
 * One table of tasks by id is kept, from the stream of all that may be seen, or from lists read
 * again and again where there is no such stream.  A terminal shows it as a table, drawn anew a few
 * times a second at most; elsewhere each change is a line.
 */
#include "cli/task_list.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/api.h"
#include "cli/events.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/task.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define DRAW_MS_MIN 200
/* Ages change too. */
#define DRAW_MS_MAX 1000

struct watch {
    struct cli *cli;
    const struct list_wanted *wanted;
    const struct column *columns;
    bool as_json, as_ids;
    char *owner_id; /* of whom; NULL: of all */
    json_t *tasks;  /* id -> task */
    json_t *fresh;  /* ids since the stream began anew; else NULL */
    bool is_synced, has_changed;
    int64_t drawn_mono_ms;
    size_t lines_drawn;
};

/* ---- a table on a terminal ---- */

struct row {
    int64_t created_at;
    json_t *task;
};

static int by_age(const void *a, const void *b)
{
    int64_t x = ((const struct row *)a)->created_at, y = ((const struct row *)b)->created_at;
    return x > y ? -1 : x < y;
}

/* The newest ones that fit. */
static json_t *rows_of(const struct watch *w, size_t most)
{
    size_t n = json_object_size(w->tasks), i = 0;
    struct row *rows = mem_calloc(n + 1, sizeof(*rows));
    json_t *list = json_array(), *task;
    const char *id;
    json_object_foreach(w->tasks, id, task)
    {
        rows[i].task = task;
        (void)table_parse_time(table_string(task, "created_at"), &rows[i++].created_at);
    }
    qsort(rows, n, sizeof(*rows), by_age);
    for (i = 0; i < n && i < most; i++)
        json_array_append(list, rows[i].task);
    free(rows);
    return list;
}

/* Without wrapping, a row is a line, and going back over them is counting. */
static void draw(struct watch *w)
{
    struct cli *cli = w->cli;
    cli_measure(cli);
    size_t n = json_object_size(w->tasks), room = (size_t)(cli->height > 5 ? cli->height - 3 : 2);
    scoped(json_unrefp) json_t *rows = rows_of(w, room);
    fputs("\033[?7l", cli->out);
    if (w->lines_drawn > 0)
        fprintf(cli->out, "\033[%zuA\r", w->lines_drawn);
    fputs("\033[J", cli->out);
    table_print(cli, w->columns, rows);
    w->lines_drawn = 1 + json_array_size(rows);
    if (n > room) {
        fprintf(cli->out, "and %zu older ones\n", n - room);
        w->lines_drawn++;
    }
    fputs("\033[?7h", cli->out);
    fflush(cli->out);
    w->has_changed = false;
    w->drawn_mono_ms = clock_mono_ms();
}

static void draw_if_due(struct watch *w)
{
    int64_t since = clock_mono_ms() - w->drawn_mono_ms;
    bool draws = w->cli->out_is_terminal && !w->as_json && !w->as_ids;
    if (draws && w->is_synced && since >= (w->has_changed ? DRAW_MS_MIN : DRAW_MS_MAX))
        draw(w);
}

/* ---- a line for each change ---- */

static void print_line(struct watch *w, const json_t *task, const char *instead)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    struct strbuf line;
    (void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &tm));
    strbuf_init(&line);
    if (instead == NULL)
        task_add_line(&line, task);
    fprintf(
        w->cli->out, "%s  %s  %s\n", clock, task_name(task), instead != NULL ? instead : line.s);
    strbuf_done(&line);
}

static void say_change(struct watch *w, const json_t *task, bool is_deleted)
{
    w->has_changed = true;
    if (w->as_ids) {
        if (!is_deleted)
            fprintf(w->cli->out, "%s\n", table_string(task, "id"));
    } else if (w->as_json && is_deleted) {
        scoped(json_unrefp) json_t *gone =
            json_pack("{s:O*, s:b}", "id", json_object_get(task, "id"), "deleted", 1);
        table_print_json_line(w->cli, gone);
    } else if (w->as_json) {
        table_print_json_line(w->cli, task);
    } else if (!w->cli->out_is_terminal) {
        print_line(w, task, is_deleted ? "deleted" : NULL);
    }
    if (!w->cli->out_is_terminal || w->as_json)
        fflush(w->cli->out);
}

/* ---- the tasks ---- */

static bool is_wanted(const struct watch *w, const json_t *task)
{
    const char *status = w->wanted->status;
    return status == NULL || strcmp(status, task_status(task)) == 0;
}

static bool is_of_owner(const struct watch *w, const json_t *task)
{
    return w->owner_id == NULL || strcmp(w->owner_id, table_string(task, "owner_id")) == 0;
}

/* As it is now.  One that does not change anything is not said again. */
static void put(struct watch *w, const json_t *task)
{
    const char *id = table_string(task, "id");
    if (w->fresh != NULL)
        json_object_set_new(w->fresh, id, json_true());
    const json_t *old = json_object_get(w->tasks, id);
    if (id[0] == '\0' || !is_of_owner(w, task) || (old == NULL && !is_wanted(w, task)) ||
        (old != NULL && json_equal(old, task)))
        return;
    if (!w->as_ids || old == NULL)
        say_change(w, task, false);
    if (is_wanted(w, task))
        json_object_set_new(w->tasks, id, json_deep_copy(task));
    else
        json_object_del(w->tasks, id);
}

static void drop(struct watch *w, const char *id)
{
    scoped(json_unrefp) json_t *task = json_incref(json_object_get(w->tasks, id));
    if (task == NULL)
        return;
    json_object_del(w->tasks, id);
    say_change(w, task, true);
}

/* What is not in `list` any more is gone. */
static void drop_others(struct watch *w, const json_t *ids)
{
    const char *id;
    json_t *task;
    void *next;
    json_object_foreach_safe(w->tasks, next, id, task)
    {
        if (json_object_get(ids, id) == NULL)
            drop(w, id);
    }
}

/* ---- by stream ---- */

static void begin_anew(struct watch *w)
{
    json_decref(w->fresh);
    w->fresh = json_object();
}

/* What went while the stream was away is gone. */
static void end_sync(struct watch *w)
{
    if (w->fresh != NULL)
        drop_others(w, w->fresh);
    json_decref(w->fresh);
    w->fresh = NULL;
    w->is_synced = w->has_changed = true;
}

static enum err on_event(void *arg, const char *name, const json_t *data, bool *ret_done)
{
    struct watch *w = arg;
    (void)ret_done;
    if (strcmp(name, "task") == 0)
        put(w, data);
    else if (strcmp(name, "deleted") == 0)
        drop(w, table_string(data, "id"));
    else if (strcmp(name, "reset") == 0)
        begin_anew(w);
    else if (strcmp(name, "synced") == 0)
        end_sync(w);
    draw_if_due(w);
    return ERR_OK;
}

static enum err on_tick(void *arg, bool *ret_done)
{
    (void)ret_done;
    draw_if_due(arg);
    return ERR_OK;
}

/* What is said then stands below the table, and the next table below that. */
static void on_say(void *arg)
{
    struct watch *w = arg;
    w->lines_drawn = 0;
}

/* ---- by looking ---- */

static enum err look(struct watch *w)
{
    scoped(json_unrefp) json_t *list = NULL;
    scoped(json_unrefp) json_t *ids = json_object();
    const struct list_wanted any_status = {.user = w->wanted->user};
    enum err e = task_list_fetch(w->cli, &any_status, &list);
    if (e != ERR_OK)
        return e;
    const json_t *tasks = json_object_get(list, "tasks");
    for (size_t i = json_array_size(tasks); i-- > 0;) {
        const json_t *task = json_array_get(tasks, i);
        json_object_set_new(ids, table_string(task, "id"), json_true());
        put(w, task);
    }
    drop_others(w, ids);
    w->is_synced = true;
    draw_if_due(w);
    return ERR_OK;
}

static enum err by_looking(struct watch *w)
{
    struct pace pace = {0};
    enum err e = look(w);
    while (e == ERR_OK && !interrupt_seen()) {
        pace_wait(&pace, w->cli);
        if (!interrupt_seen())
            e = look(w);
    }
    return e == ERR_OK ? cli_fail(w->cli, ERR_CANCELED, "interrupted") : e;
}

/* ---- the command ---- */

/* A stream tells of all that may be seen; whose those are is told by id. */
static enum err find_owner(struct watch *w)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *user = NULL;
    if (w->wanted->user == NULL)
        return ERR_OK;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/users/");
    api_add_escaped(&path, w->wanted->user);
    enum err e = api_call(w->cli, "GET", path.s, NULL, &user);
    strbuf_done(&path);
    if (e == ERR_OK)
        w->owner_id = mem_strdup(table_string(user, "id"));
    return e;
}

enum err task_list_watch(struct cli *cli, const struct call *call, const struct list_wanted *wanted,
    const struct column *columns)
{
    struct watch w = {
        .cli = cli,
        .wanted = wanted,
        .columns = columns,
        .as_json = call_wants_json(call),
        .as_ids = call_has(call, "quiet"),
        .tasks = json_object(),
    };
    const struct events events = {
        .on_event = on_event, .on_tick = on_tick, .on_say = on_say, .arg = &w};
    bool exists = true;
    enum err e = find_owner(&w);
    if (e == ERR_OK)
        e = events_follow(cli, "/api/stint/v1/events", &events, &exists);
    if (e == ERR_OK && !exists)
        e = by_looking(&w);
    json_decref(w.tasks);
    json_decref(w.fresh);
    free(w.owner_id);
    return e;
}
