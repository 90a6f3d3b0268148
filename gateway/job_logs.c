/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_logs.c - what a build's or an import's job had to say.
 */
#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/log_query.h"

/* The columns of build_log_list, in order. */
enum column { ID, LEVEL, STAGE, OUTPUT, CREATED_AT };

static void on_lines(struct request *r, const struct db_result *const *results)
{
    const struct db_result *rows = results[0];
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(rows); i++) {
        json_open(&r->out, '{');
        json_put_int(&r->out, "id", db_int(rows, i, ID));
        json_put_time(&r->out, "created_at", db_time_us(rows, i, CREATED_AT));
        json_put_text(&r->out, "log_source", "provisioner");
        json_put_text(&r->out, "log_level", db_text(rows, i, LEVEL));
        json_put_text(&r->out, "stage", db_text(rows, i, STAGE));
        json_put_text(&r->out, "output", db_text(rows, i, OUTPUT));
        json_close(&r->out, '}');
    }
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

void job_answer_log(struct request *r, const struct uuid *job_id)
{
    struct log_query q;
    if (!log_query_read(r, &q))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_LOG_LIST);
    db_add_uuid(b, job_id);
    db_add_int8(b, q.after);
    db_add_int8(b, q.before);
    ask_db_bulk(r, b, q.text ? on_text_lines : on_lines);
}

static void on_job(struct request *r, const struct db_result *const *results)
{
    struct uuid owner = {0}, job_id = {0};
    if (db_rows(results[0]) == 1) {
        owner = db_uuid(results[0], 0, 0);
        job_id = db_uuid(results[0], 0, 1);
    }
    if (uuid_is_nil(&job_id) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else
        job_answer_log(r, &job_id);
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
