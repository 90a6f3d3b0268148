/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_logs.c - what a build's or an import's job had to say, once or as it is said.
 *
 * Followed, it goes by a cursor: the id of the last line that was put.  Whether the job is over is
 * read before the lines; its last ones are committed with its outcome.  So when it is over and no
 * line is left, all has been said.
 */
#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/log_query.h"
#include "gateway/stream.h"

/* The columns of build_log_list, in order. */
enum column { ID, LEVEL, STAGE, OUTPUT, CREATED_AT };

static void write_line(const struct db_result *rows, size_t i, struct strbuf *out)
{
    json_open(out, '{');
    json_put_int(out, "id", db_int(rows, i, ID));
    json_put_time(out, "created_at", db_time_us(rows, i, CREATED_AT));
    json_put_text(out, "log_source", "provisioner");
    json_put_text(out, "log_level", db_text(rows, i, LEVEL));
    json_put_text(out, "stage", db_text(rows, i, STAGE));
    json_put_text(out, "output", db_text(rows, i, OUTPUT));
    json_close(out, '}');
}

static void on_lines(struct request *r, const struct db_result *const *results)
{
    const struct db_result *rows = results[0];
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(rows); i++)
        write_line(rows, i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void on_text_lines(struct request *r, const struct db_result *const *results)
{
    const struct db_result *rows = results[0];
    for (size_t i = 0; i < db_rows(rows); i++)
        log_query_add_text(&r->out, db_time_us(rows, i, CREATED_AT), db_text(rows, i, LEVEL),
            "provisioner", db_text(rows, i, STAGE), db_text(rows, i, OUTPUT));
    log_query_answer_text(r);
}

/* ---- followed ---- */

struct job_follow {
    struct uuid job_id;
    int64_t cursor;
};

static void put_line(struct request *r, const struct db_result *rows, size_t i)
{
    struct job_follow *f = r->state;
    char id[24];
    f->cursor = db_int(rows, i, ID);
    snprintf(id, sizeof(id), "%lld", (long long)f->cursor);
    strbuf_clear(&r->out);
    write_line(rows, i, &r->out);
    stream_put(r, "log", id, r->out.s, r->out.len);
}

static void on_page(struct request *r, const struct db_result *const *results)
{
    const struct db_result *rows = results[1];
    size_t n = db_rows(rows), i = 0;
    bool is_over = db_rows(results[0]) == 0 || db_bool(results[0], 0, 0);
    while (i < n && stream_has_room(r))
        put_line(r, rows, i++);
    if (!is_over || i < n || n == LOG_PAGE_LINES) {
        stream_wait(r);
        return;
    }
    log_follow_end(r);
}

static void pull(struct request *r)
{
    const struct job_follow *f = r->state;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_JOB_IS_OVER);
    db_add_uuid(b, &f->job_id);
    db_batch_add(b, SQL_BUILD_LOG_PAGE);
    db_add_uuid(b, &f->job_id);
    db_add_int8(b, f->cursor);
    db_add_int8(b, LOG_PAGE_LINES);
    ask_db_bulk(r, b, on_page);
}

static void follow(
    struct request *r, const struct uuid *job_id, const struct uuid *task_id, int64_t after)
{
    struct job_follow *f = request_state(r, sizeof(*f), NULL);
    *f = (struct job_follow){.job_id = *job_id, .cursor = after};
    stream_open(r, pull, LOG_FOLLOW_MS);
    stream_watch(r, job_id);
    stream_watch(r, task_id);
}

void job_answer_log(struct request *r, const struct uuid *job_id, const struct uuid *task_id)
{
    struct log_query q;
    if (!log_query_read(r, &q))
        return;
    if (q.follow) {
        follow(r, job_id, task_id, q.after);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_LOG_LIST);
    db_add_uuid(b, job_id);
    db_add_int8(b, q.after);
    db_add_int8(b, q.before);
    ask_db_bulk(r, b, q.text ? on_text_lines : on_lines);
}

static void on_job(struct request *r, const struct db_result *const *results)
{
    struct uuid owner = {0}, job_id = {0}, task_id = {0};
    if (db_rows(results[0]) == 1) {
        owner = db_uuid(results[0], 0, 0);
        job_id = db_uuid(results[0], 0, 1);
        task_id = db_uuid(results[0], 0, 2);
    }
    if (uuid_is_nil(&job_id) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else
        job_answer_log(r, &job_id, &task_id);
}

void build_logs(struct request *r)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_JOB);
    db_add_uuid(b, &id);
    ask_db(r, b, on_job);
}
