/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_logs.c - GET /tasks/{user}/{task}/logs: the conversation with the task's app.
 *
 * While a task is active this is live.  While it is paused, or not up yet, it is a snapshot: what
 * the agent uploaded, or what is recorded of the conversation, whichever is newer.  Beyond Coder,
 * `?after=<id>` leaves out what the asker has.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/task_load.h"

#define MESSAGES_MAX 5000

static void write_entry(
    struct strbuf *out, int64_t id, const char *role, const char *content, int64_t at)
{
    json_open(out, '{');
    json_put_int(out, "id", id);
    json_put_text(out, "content", content);
    json_put_text(out, "type", strcmp(role, "user") == 0 ? "input" : "output");
    json_put_time(out, "time", at);
    json_close(out, '}');
}

static void open_logs(struct request *r)
{
    json_open(&r->out, '{');
    json_key(&r->out, "logs");
    json_open(&r->out, '[');
}

static void close_logs(struct request *r, bool is_snapshot, int64_t at)
{
    json_close(&r->out, ']');
    if (is_snapshot)
        json_put_bool(&r->out, "snapshot", true);
    if (is_snapshot)
        json_put_time_if(&r->out, "snapshot_at", at);
    json_close(&r->out, '}');
    answer_json(r, 200);
}

/* Rows come newest first. */
static void answer_messages(struct request *r, const struct db_result *rows, bool is_snapshot)
{
    size_t n = db_rows(rows);
    open_logs(r);
    for (size_t i = n; i-- > 0;)
        write_entry(&r->out, db_int(rows, i, 0), db_text(rows, i, 1), db_text(rows, i, 2),
            db_time_us(rows, i, 3));
    close_logs(r, is_snapshot, n > 0 ? db_time_us(rows, 0, 3) : INT64_MIN);
}

/* {"format":"agentapi","data":{"messages":[{id,content,role,time}]}} */
static void answer_snapshot(struct request *r, const char *text, int64_t at)
{
    json_t *snapshot = json_loads(text, 0, NULL);
    const json_t *messages = json_object_get(json_object_get(snapshot, "data"), "messages");
    size_t i;
    json_t *m;
    open_logs(r);
    json_array_foreach(messages, i, m)
    {
        const char *content = json_string_value(json_object_get(m, "content"));
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *time = json_string_value(json_object_get(m, "time"));
        json_open(&r->out, '{');
        json_put_int(&r->out, "id", json_integer_value(json_object_get(m, "id")));
        json_put_text(&r->out, "content", content != NULL ? content : "");
        json_put_text(
            &r->out, "type", role != NULL && strcmp(role, "user") == 0 ? "input" : "output");
        json_put_text(&r->out, "time", time != NULL ? time : "0001-01-01T00:00:00Z");
        json_close(&r->out, '}');
    }
    close_logs(r, true, at);
    json_decref(snapshot);
}

static void on_messages(struct request *r, const struct db_result *const *results)
{
    answer_messages(r, results[0], false);
}

static void on_snapshot(struct request *r, const struct db_result *const *results)
{
    const struct db_result *messages = results[0], *snapshot = results[1];
    int64_t said_at = db_rows(messages) > 0 ? db_time_us(messages, 0, 3) : INT64_MIN;
    if (db_rows(snapshot) > 0 && db_time_us(snapshot, 0, 1) >= said_at)
        answer_snapshot(r, db_text(snapshot, 0, 0), db_time_us(snapshot, 0, 1));
    else
        answer_messages(r, messages, true);
}

static void ask_logs(struct request *r, const struct uuid *task_id, bool is_live)
{
    const char *after = request_query(r, "after");
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_MESSAGE_LIST);
    db_add_uuid(b, task_id);
    db_add_int8(b, after != NULL ? strtoll(after, NULL, 10) : -1);
    db_add_int8(b, MESSAGES_MAX);
    if (!is_live) {
        db_batch_add(b, SQL_LOG_SNAPSHOT_GET);
        db_add_uuid(b, task_id);
    }
    ask_db_bulk(r, b, is_live ? on_messages : on_snapshot);
}

static void by_status(struct request *r)
{
    const struct task_set *set = r->state;
    const struct task_blob *b = set->blobs[0];
    if (b == NULL || !request_may_touch(r, &b->owner_id)) {
        answer_not_found(r);
    } else if (strcmp(b->status, "error") == 0 || strcmp(b->status, "unknown") == 0) {
        char detail[64];
        snprintf(detail, sizeof(detail), "Task status is \"%s\".", b->status);
        answer_error(r, 409, "Cannot fetch logs for task in current state.", detail);
    } else {
        ask_logs(r, &set->ids.v[0], strcmp(b->status, "active") == 0);
    }
}

static void load(struct request *r, const struct uuid *task_id)
{
    struct task_set *set = request_state(r, sizeof(*set), task_set_done);
    *vec_push(&set->ids) = *task_id;
    task_load(r, by_status);
}

void task_logs(struct request *r)
{
    find_task(r, load);
}
