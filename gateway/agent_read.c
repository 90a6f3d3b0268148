/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_read.c - GET /workspaceagents/{agent} and its logs in Coder's shape, and the agent of a
 * task in ours.
 */
#include <string.h>

#include "core/base/clock.h"
#include "gateway/agent.h"
#include "gateway/json_out.h"
#include "gateway/log_query.h"
#include "gateway/stream.h"

/* Of the agent of a task. */
#define TAIL_LINES 20
/* After the end of an agent, for what it said last. */
#define LAST_LINES_MS 1000

/* The columns of agent_read, in order. */
enum column {
    ID,
    TASK_ID,
    WORKSPACE_ID,
    OWNER_ID,
    NAME,
    LIFECYCLE,
    CREATED_AT,
    CONNECTED_AT,
    DISCONNECTED_AT,
    BUILD_NUMBER,
    JOB_ID,
    IS_STARTED,
    STARTED_S_AGO,
    IS_OVER,
    DEADLINE,
    BUILD_ID,
};

/* The columns of agent_log_list and agent_log_tail. */
enum log_column { LOG_ID, LOG_SOURCE, LOG_LEVEL, LOG_OUTPUT, LOG_CREATED_AT, LOG_SOURCE_ID };

static struct agent_row row_of(const struct db_result *a)
{
    return (struct agent_row){
        .id = db_uuid(a, 0, ID),
        .resource_id = db_uuid(a, 0, BUILD_ID),
        .name = db_text(a, 0, NAME),
        .created_at = db_time_us(a, 0, CREATED_AT),
        .connected_at = db_time_us(a, 0, CONNECTED_AT),
        .disconnected_at = db_time_us(a, 0, DISCONNECTED_AT),
        .seen = {.lifecycle = db_text(a, 0, LIFECYCLE),
                 .has_connected = !db_is_null(a, 0, CONNECTED_AT),
                 .is_lost = !db_is_null(a, 0, DISCONNECTED_AT),
                 .is_started = db_bool(a, 0, IS_STARTED),
                 .is_over = db_bool(a, 0, IS_OVER),
                 .started_s_ago = db_int(a, 0, STARTED_S_AGO)},
    };
}

static void add_for_agent(struct db_batch *b, enum sql_id id, const struct uuid *agent_id)
{
    db_batch_add(b, id);
    db_add_uuid(b, agent_id);
}

/* ---- GET /workspaceagents/{agent} ---- */

static void on_agent(struct request *r, const struct db_result *const *results)
{
    const struct db_result *a = results[0];
    struct uuid owner = {0};
    if (db_rows(a) == 1)
        owner = db_uuid(a, 0, OWNER_ID);
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner)) {
        answer_not_found(r);
        return;
    }
    const struct agent_row row = row_of(a);
    const struct agent_parts parts = {
        .apps = results[1], .metadata = results[2], .sources = results[3]};
    agent_write(&row, &parts, &r->out);
    answer_json(r, 200);
}

void agent_get(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct db_batch *b = db_batch_new();
    add_for_agent(b, SQL_AGENT_READ, &id);
    db_add_null(b);
    add_for_agent(b, SQL_APP_LIST, &id);
    add_for_agent(b, SQL_AGENT_METADATA_LIST, &id);
    add_for_agent(b, SQL_AGENT_LOG_SOURCES, &id);
    ask_db(r, b, on_agent);
}

/* ---- GET /workspaceagents/{agent}/logs ---- */

static void write_line(const struct db_result *rows, size_t i, struct strbuf *out)
{
    struct uuid source_id = db_uuid(rows, i, LOG_SOURCE_ID);
    json_open(out, '{');
    json_put_int(out, "id", db_int(rows, i, LOG_ID));
    json_put_time(out, "created_at", db_time_us(rows, i, LOG_CREATED_AT));
    json_put_text(out, "output", db_text(rows, i, LOG_OUTPUT));
    json_put_text(out, "level", db_text(rows, i, LOG_LEVEL));
    json_put_uuid(out, "source_id", &source_id);
    json_put_text(out, "source", db_text(rows, i, LOG_SOURCE));
    json_close(out, '}');
}

static void answer_lines(struct request *r, const struct db_result *rows)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(rows); i++)
        write_line(rows, i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void answer_text_lines(struct request *r, const char *agent, const struct db_result *rows)
{
    char who[80];
    snprintf(who, sizeof(who), "agent.%s", agent);
    for (size_t i = 0; i < db_rows(rows); i++)
        log_query_add_text(&r->out, db_time_us(rows, i, LOG_CREATED_AT),
            db_text(rows, i, LOG_LEVEL), who, db_text(rows, i, LOG_SOURCE),
            db_text(rows, i, LOG_OUTPUT));
    log_query_answer_text(r);
}

/* ---- followed ---- */

struct agent_follow {
    struct uuid agent_id;
    int64_t cursor;
    bool has_begun;
    int64_t over_since_mono_ms; /* 0: it is not */
};

/* Of a WebSocket a frame is an array of lines, and the first one comes even when it is empty. */
static void put_lines(struct request *r, const struct db_result *rows, size_t n)
{
    struct agent_follow *f = r->state;
    strbuf_clear(&r->out);
    json_open(&r->out, '[');
    for (size_t i = 0; i < n; i++)
        write_line(rows, i, &r->out);
    json_close(&r->out, ']');
    if (n > 0 || !f->has_begun)
        stream_put(r, NULL, NULL, r->out.s, r->out.len);
    f->has_begun = true;
}

static void put_events(struct request *r, const struct db_result *rows, size_t n)
{
    char id[24];
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%lld", (long long)db_int(rows, i, LOG_ID));
        strbuf_clear(&r->out);
        write_line(rows, i, &r->out);
        stream_put(r, "log", id, r->out.s, r->out.len);
    }
}

/* A build that ends the agent and the agent's last lines arrive by different ways: a moment of
 * silence after it. */
static bool is_over(struct agent_follow *f, const struct db_result *agent)
{
    if (db_rows(agent) == 0)
        return true;
    if (!db_bool(agent, 0, 0))
        return false;
    int64_t now = clock_mono_ms();
    if (f->over_since_mono_ms == 0)
        f->over_since_mono_ms = now;
    return now - f->over_since_mono_ms >= LAST_LINES_MS;
}

static void on_page(struct request *r, const struct db_result *const *results)
{
    struct agent_follow *f = r->state;
    const struct db_result *rows = results[1];
    size_t n = db_rows(rows);
    if (n > 0)
        f->cursor = db_int(rows, n - 1, LOG_ID);
    if (stream_is_websocket(r))
        put_lines(r, rows, n);
    else
        put_events(r, rows, n);
    if (n == 0 && is_over(f, results[0]))
        log_follow_end(r);
    else
        stream_wait(r);
}

static void pull(struct request *r)
{
    const struct agent_follow *f = r->state;
    struct db_batch *b = db_batch_new();
    add_for_agent(b, SQL_AGENT_IS_OVER, &f->agent_id);
    add_for_agent(b, SQL_AGENT_LOG_PAGE, &f->agent_id);
    db_add_int8(b, f->cursor);
    db_add_int8(b, LOG_PAGE_LINES);
    ask_db_bulk(r, b, on_page);
}

static void follow(struct request *r, const struct uuid *task_id)
{
    const struct log_query q = *(const struct log_query *)r->state;
    struct agent_follow *f = request_state(r, sizeof(*f), NULL);
    (void)uuid_parse(request_param(r, 0), &f->agent_id);
    f->cursor = q.after;
    stream_open(r, pull, LOG_FOLLOW_MS);
    stream_watch(r, task_id);
}

static void on_follow(struct request *r, const struct db_result *const *results)
{
    const struct db_result *a = results[0];
    struct uuid owner = {0}, task_id = {0};
    if (db_rows(a) == 1) {
        owner = db_uuid(a, 0, 0);
        task_id = db_uuid(a, 0, 2);
    }
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else
        follow(r, &task_id);
}

/* ---- at once ---- */

static void on_lines(struct request *r, const struct db_result *const *results)
{
    const struct log_query *q = r->state;
    const struct db_result *a = results[0];
    struct uuid owner = {0};
    if (db_rows(a) == 1)
        owner = db_uuid(a, 0, 0);
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else if (q->text)
        answer_text_lines(r, db_text(a, 0, 1), results[1]);
    else
        answer_lines(r, results[1]);
}

void agent_logs(struct request *r)
{
    struct uuid id;
    struct log_query *q = request_state(r, sizeof(*q), NULL);
    if (!request_param_uuid(r, 0, &id) || !log_query_read(r, q))
        return;
    struct db_batch *b = db_batch_new();
    add_for_agent(b, SQL_AGENT_OWNER, &id);
    if (q->follow) {
        ask_db(r, b, on_follow);
        return;
    }
    add_for_agent(b, SQL_AGENT_LOG_LIST, &id);
    db_add_int8(b, q->after);
    db_add_int8(b, q->before);
    ask_db_bulk(r, b, on_lines);
}

/* ---- GET /api/stint/v1/tasks/{task}/agent ---- */

/* The row of the agent is gone by the time its parts have come; so it is written first. */
static void on_parts(struct request *r, const struct db_result *const *results)
{
    struct strbuf *out = &r->out;
    agent_write_apps(NULL, results[0], NULL, out);
    agent_write_metadata(results[1], out);
    json_key(out, "logs");
    json_open(out, '[');
    for (size_t i = db_rows(results[2]); i-- > 0;)
        write_line(results[2], i, out);
    json_close(out, ']');
    json_close(out, '}');
    answer_json(r, 200);
}

static void ask_parts(struct request *r, const struct uuid *agent_id)
{
    struct db_batch *b = db_batch_new();
    add_for_agent(b, SQL_APP_LIST, agent_id);
    add_for_agent(b, SQL_AGENT_METADATA_LIST, agent_id);
    add_for_agent(b, SQL_AGENT_LOG_TAIL, agent_id);
    db_add_int8(b, TAIL_LINES);
    ask_db(r, b, on_parts);
}

/* A template without an agent, or a task whose first start has not been made. */
static void answer_none(struct request *r)
{
    static const char *const nulls[] = {
        "id", "name", "build_number", "lifecycle", "connection", "health", "deadline"};
    static const char *const lists[] = {"apps", "metadata", "logs"};
    json_open(&r->out, '{');
    for (size_t i = 0; i < COUNT(nulls); i++)
        json_put_null(&r->out, nulls[i]);
    for (size_t i = 0; i < COUNT(lists); i++)
        json_key(&r->out, lists[i]), json_open(&r->out, '['), json_close(&r->out, ']');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void on_task_agent(struct request *r, const struct db_result *const *results)
{
    const struct db_result *a = results[1];
    if (!find_may_see(r, results[0]))
        return;
    if (db_rows(a) == 0) {
        answer_none(r);
        return;
    }
    const struct agent_row row = row_of(a);
    const char *connection = agent_connection(&row.seen);
    struct strbuf *out = &r->out;
    json_open(out, '{');
    json_put_uuid(out, "id", &row.id);
    json_put_text(out, "name", row.name);
    json_put_int(out, "build_number", db_int(a, 0, BUILD_NUMBER));
    json_put_text(out, "lifecycle", row.seen.lifecycle);
    json_put_text(out, "connection", connection);
    json_put_time_or_null(out, "first_connected_at", row.connected_at);
    agent_write_health(connection, row.seen.lifecycle, out);
    json_put_time_or_null(out, "deadline", db_time_us(a, 0, DEADLINE));
    ask_parts(r, &row.id);
}

void task_agent(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct db_batch *b = db_batch_new();
    find_add_task(b, &id);
    db_batch_add(b, SQL_AGENT_READ);
    db_add_null(b);
    db_add_uuid(b, &id);
    ask_db(r, b, on_task_agent);
}
