/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_logs.c - what a task has said and done: …/conversation, …/logs and …/builds of
 * /api/stint/v1/tasks/{task}, page by page.
 *
 * The lines of builds and of agents are two lists, each with its own numbers; a page merges them by
 * time, and its cursor holds how far each has got.  Because more may come, "cursor" is there also
 * at the end: asking again with it gives what is new.
 */
#include <limits.h>
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/page.h"

struct listing {
    struct uuid task_id;
    int64_t limit;
    int64_t at[PAGE_NUMBERS_MAX]; /* where the page begins, then where it ends */
};

static const char *const known[] = {"limit", "cursor", NULL};

/* NULL: answered. */
static struct listing *begin(struct request *r, char kind, const int64_t *at, size_t n)
{
    struct listing *l = request_state(r, sizeof(*l), NULL);
    memcpy(l->at, at, n * sizeof(*at));
    if (!request_param_uuid(r, 0, &l->task_id) || !page_check_parameters(r, known) ||
        !page_read_limit(r, &l->limit) || !page_read_cursor(r, kind, l->at, n))
        return NULL;
    return l;
}

static void open_list(struct request *r, const char *name)
{
    json_open(&r->out, '{');
    json_key(&r->out, name);
    json_open(&r->out, '[');
}

/* "cursor": where this page ends.  "next_cursor": the same if there is more already. */
static void close_list(struct request *r, char kind, size_t n_numbers, bool has_more)
{
    const struct listing *l = r->state;
    char cursor[PAGE_CURSOR_SIZE];
    page_cursor_format(kind, l->at, n_numbers, cursor);
    json_close(&r->out, ']');
    json_put_text(&r->out, "cursor", cursor);
    page_put_next(r, has_more ? cursor : NULL);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

/* ---- the conversation ---- */

static void on_conversation(struct request *r, const struct db_result *const *results)
{
    struct listing *l = r->state;
    const struct db_result *rows = results[1];
    size_t n = db_rows(rows) < (size_t)l->limit ? db_rows(rows) : (size_t)l->limit;
    if (!find_may_see(r, results[0]))
        return;
    open_list(r, "messages");
    for (size_t i = 0; i < n; i++) {
        l->at[0] = db_int(rows, i, 0);
        json_open(&r->out, '{');
        json_put_int(&r->out, "id", l->at[0]);
        json_put_text(&r->out, "role", db_text(rows, i, 1));
        json_put_text(&r->out, "content", db_text(rows, i, 2));
        json_put_time(&r->out, "time", db_time_us(rows, i, 3));
        json_close(&r->out, '}');
    }
    close_list(r, 'c', 1, db_rows(rows) > n);
}

void own_conversation(struct request *r)
{
    static const int64_t first[] = {-1};
    const struct listing *l = begin(r, 'c', first, 1);
    if (l == NULL)
        return;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &l->task_id);
    db_batch_add(b, SQL_OWN_CONVERSATION);
    db_add_uuid(b, &l->task_id);
    db_add_int8(b, l->at[0]);
    db_add_int8(b, l->limit + 1);
    ask_db_bulk(r, b, on_conversation);
}

/* ---- logs ---- */

enum { LINE_BUILD, LINE_ID, LINE_LEVEL, LINE_SOURCE, LINE_OUTPUT, LINE_AT };

static void write_line(struct request *r, const struct db_result *rows, size_t i, bool is_agent)
{
    json_open(&r->out, '{');
    json_put_text(&r->out, "source", is_agent ? "agent" : "build");
    json_put_int(&r->out, "build_number", db_int(rows, i, LINE_BUILD));
    json_put_int(&r->out, "id", db_int(rows, i, LINE_ID));
    json_put_text(&r->out, "level", db_text(rows, i, LINE_LEVEL));
    json_put_text(&r->out, is_agent ? "source_name" : "stage", db_text(rows, i, LINE_SOURCE));
    json_put_text(&r->out, "output", db_text(rows, i, LINE_OUTPUT));
    json_put_time(&r->out, "created_at", db_time_us(rows, i, LINE_AT));
    json_close(&r->out, '}');
}

static void on_lines(struct request *r, const struct db_result *const *results)
{
    struct listing *l = r->state;
    const struct db_result *lines[] = {results[1], results[2]};
    size_t at[2] = {0, 0};
    if (!find_may_see(r, results[0]))
        return;
    open_list(r, "logs");
    for (int64_t n = 0; n < l->limit; n++) {
        bool has_build = at[0] < db_rows(lines[0]), has_agent = at[1] < db_rows(lines[1]);
        if (!has_build && !has_agent)
            break;
        bool is_agent = !has_build || (has_agent && db_time_us(lines[1], at[1], LINE_AT) <
                                                        db_time_us(lines[0], at[0], LINE_AT));
        write_line(r, lines[is_agent], at[is_agent], is_agent);
        l->at[2 * is_agent] = db_int(lines[is_agent], at[is_agent], LINE_BUILD);
        l->at[2 * is_agent + 1] = db_int(lines[is_agent], at[is_agent], LINE_ID);
        at[is_agent]++;
    }
    close_list(r, 'l', 4, at[0] < db_rows(lines[0]) || at[1] < db_rows(lines[1]));
}

static void add_lines(struct db_batch *b, const struct listing *l, enum sql_id id, size_t i)
{
    db_batch_add(b, id);
    db_add_uuid(b, &l->task_id);
    db_add_int4(b, (int32_t)l->at[2 * i]);
    db_add_int8(b, l->at[2 * i + 1]);
    db_add_int8(b, l->limit + 1);
}

void own_task_logs(struct request *r)
{
    static const int64_t first[] = {0, -1, 0, -1};
    const struct listing *l = begin(r, 'l', first, 4);
    if (l == NULL)
        return;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &l->task_id);
    add_lines(b, l, SQL_OWN_BUILD_LINES, 0);
    add_lines(b, l, SQL_OWN_AGENT_LINES, 1);
    ask_db_bulk(r, b, on_lines);
}

/* ---- builds ---- */

enum {
    OF_ID,
    OF_NUMBER,
    OF_TRANSITION,
    OF_REASON,
    OF_STATE,
    OF_ERROR,
    OF_INITIATOR,
    OF_INITIATOR_NAME,
    OF_VERSION,
    OF_VERSION_NAME,
    OF_CREATED,
    OF_STARTED,
    OF_COMPLETED,
    OF_DEADLINE,
};

static void put_text_or_null(struct strbuf *out, const char *key, const char *s)
{
    if (s[0] == '\0')
        json_put_null(out, key);
    else
        json_put_text(out, key, s);
}

static void write_build(struct strbuf *out, const struct db_result *b, size_t i)
{
    struct uuid id = db_uuid(b, i, OF_ID), initiator = db_uuid(b, i, OF_INITIATOR);
    struct uuid version = db_uuid(b, i, OF_VERSION);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_int(out, "build_number", db_int(b, i, OF_NUMBER));
    json_put_text(out, "transition", db_text(b, i, OF_TRANSITION));
    json_put_text(out, "reason", db_text(b, i, OF_REASON));
    json_put_text(out, "state", db_text(b, i, OF_STATE));
    put_text_or_null(out, "error", db_text(b, i, OF_ERROR));
    json_put_uuid(out, "initiator_id", &initiator);
    put_text_or_null(out, "initiator_name", db_text(b, i, OF_INITIATOR_NAME));
    json_put_uuid(out, "template_version_id", &version);
    json_put_text(out, "template_version_name", db_text(b, i, OF_VERSION_NAME));
    json_put_time(out, "created_at", db_time_us(b, i, OF_CREATED));
    json_put_time_or_null(out, "started_at", db_time_us(b, i, OF_STARTED));
    json_put_time_or_null(out, "completed_at", db_time_us(b, i, OF_COMPLETED));
    json_put_time_or_null(out, "deadline", db_time_us(b, i, OF_DEADLINE));
    json_close(out, '}');
}

static void on_builds(struct request *r, const struct db_result *const *results)
{
    struct listing *l = r->state;
    const struct db_result *rows = results[1];
    size_t n = db_rows(rows) < (size_t)l->limit ? db_rows(rows) : (size_t)l->limit;
    if (!find_may_see(r, results[0]))
        return;
    open_list(r, "builds");
    for (size_t i = 0; i < n; i++) {
        l->at[0] = db_int(rows, i, OF_NUMBER);
        write_build(&r->out, rows, i);
    }
    close_list(r, 'b', 1, db_rows(rows) > n);
}

void own_task_builds(struct request *r)
{
    static const int64_t newest[] = {INT_MAX};
    const struct listing *l = begin(r, 'b', newest, 1);
    if (l == NULL)
        return;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &l->task_id);
    db_batch_add(b, SQL_OWN_BUILD_LIST);
    db_add_uuid(b, &l->task_id);
    db_add_int4(b, (int32_t)l->at[0]);
    db_add_int8(b, l->limit + 1);
    ask_db_bulk(r, b, on_builds);
}
