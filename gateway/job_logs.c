/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_logs.c - what a build's or an import's job had to say.
 */
#include <stdlib.h>

#include "gateway/build.h"
#include "gateway/json_out.h"

static void on_lines(struct request *r, const struct db_result *const *results)
{
    const struct db_result *rows = results[0];
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(rows); i++) {
        json_open(&r->out, '{');
        json_put_int(&r->out, "id", db_int(rows, i, 0));
        json_put_time(&r->out, "created_at", db_time_us(rows, i, 4));
        json_put_text(&r->out, "log_source", "provisioner");
        json_put_text(&r->out, "log_level", db_text(rows, i, 1));
        json_put_text(&r->out, "stage", db_text(rows, i, 2));
        json_put_text(&r->out, "output", db_text(rows, i, 3));
        json_close(&r->out, '}');
    }
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void job_answer_log(struct request *r, const struct uuid *job_id)
{
    const char *after = request_query(r, "after");
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_LOG_LIST);
    db_add_uuid(b, job_id);
    db_add_int8(b, after != NULL ? strtoll(after, NULL, 10) : -1);
    ask_db_bulk(r, b, on_lines);
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
