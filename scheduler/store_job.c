/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_job.c - rows of jobs; dead letters and their return.
 *
 * A job that dies and returns within one batch does so in that order: deaths are written first.
 */
#include "scheduler/store_job.h"

#include "core/base/cleanup.h"
#include "scheduler/store_row.h"

void store_add_jobs_new(struct db_batch *b, const struct effects *e)
{
    if (e->jobs_new.n == 0)
        return;
    db_batch_add(b, SQL_STORE_INSERT_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->organization_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->initiator_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->build_id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_new, &row->version_id);
    COLUMN(b, DB_TEXT, text, &e->jobs_new, job_kind_name(row->kind));
    COLUMN(b, DB_TEXT, text, &e->jobs_new, ((void)row, "pending"));
    COLUMN(b, DB_TEXT, text, &e->jobs_new, row->provisioner);
    COLUMN(b, DB_INT4, int4, &e->jobs_new, ((void)row, 0));
    COLUMN(b, DB_BOOL, bool, &e->jobs_new, ((void)row, false));
}

int store_add_jobs(struct db_batch *b, const struct effects *e)
{
    if (e->jobs.n == 0)
        return -1;
    int at_jobs = (int)db_batch_count(b);
    db_batch_add(b, SQL_STORE_UPDATE_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs, &row->worker_id);
    COLUMN(b, DB_TEXT, text, &e->jobs, job_state_name(row->state));
    COLUMN(b, DB_INT8, int8, &e->jobs, row->token);
    COLUMN(b, DB_INT8, int8, &e->jobs, row->token_was);
    COLUMN(b, DB_INT4, int4, &e->jobs, row->attempt);
    COLUMN(b, DB_BOOL, bool, &e->jobs, row->holds_compute);
    COLUMN(b, DB_BOOL, bool, &e->jobs, row->cancel_requested);
    COLUMN(b, DB_TEXT, text, &e->jobs, row->error);
    COLUMN(b, DB_UUID, uuid, &e->jobs, &row->command_id);
    return at_jobs;
}

/* ---- the dead ---- */

static void add_deaths(struct db_batch *b, const struct effects *e)
{
    if (e->jobs_dead.n == 0)
        return;
    db_batch_add(b, SQL_STORE_BURY_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs_dead, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_dead, &row->worker_id);
    COLUMN(b, DB_TEXT, text, &e->jobs_dead, job_death_name(row->cause));
    COLUMN(b, DB_INT4, int4, &e->jobs_dead, row->attempts);
}

static void add_returns(struct db_batch *b, const struct effects *e)
{
    if (e->jobs_revived.n == 0)
        return;
    db_batch_add(b, SQL_STORE_REVIVE_JOBS);
    COLUMN(b, DB_UUID, uuid, &e->jobs_revived, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->jobs_revived, &row->actor_id);
}

int store_add_retries(struct db_batch *b, const struct effects *e)
{
    add_deaths(b, e);
    add_returns(b, e);
    if (e->import_retries.n == 0)
        return -1;
    db_batch_add(b, SQL_STORE_RETRY_IMPORTS);
    COLUMN(b, DB_UUID, uuid, &e->import_retries, &row->id);
    COLUMN(b, DB_UUID, uuid, &e->import_retries, &row->actor_id);
    COLUMN(b, DB_UUID, uuid, &e->import_retries, &row->command_id);
    COLUMN(b, DB_TEXT, text, &e->import_retries, row->audit.ip);
    COLUMN(b, DB_TEXT, text, &e->import_retries, row->audit.user_agent);
    COLUMN(b, DB_TEXT, text, &e->import_retries, row->audit.request_id);
    return (int)db_batch_count(b) - 1;
}

void store_learn_imports(struct core *c, const struct db_result *rows)
{
    for (size_t i = 0; rows != NULL && i < db_rows(rows); i++) {
        struct load_import l = {.job_id = db_uuid(rows, i, 0),
            .version_id = db_uuid(rows, i, 1),
            .organization_id = db_uuid(rows, i, 2),
            .file_id = db_uuid(rows, i, 3),
            .provisioner = db_text(rows, i, 4),
            .state = JOB_PENDING,
            .token = db_int(rows, i, 5),
            .command_id = db_uuid(rows, i, 6)};
        core_import_revived(c, &l);
    }
}

/* ---- commands that were sent before ---- */

int store_add_commands(struct db_batch *b, const struct effects *e)
{
    struct db_array *jobs = NULL, *commands = NULL;
    for (size_t i = 0; i < e->replies.n; i++) {
        const struct reply *r = &e->replies.v[i];
        if (uuid_is_nil(&r->job_id))
            continue;
        if (jobs == NULL) {
            jobs = db_array_new(DB_UUID);
            commands = db_array_new(DB_UUID);
        }
        db_array_uuid(jobs, &r->job_id);
        db_array_uuid(commands, &r->command_id);
    }
    if (jobs == NULL)
        return -1;
    db_batch_add(b, SQL_STORE_READ_COMMANDS);
    db_add_array(b, jobs);
    db_add_array(b, commands);
    return (int)db_batch_count(b) - 1;
}

bool store_command_is_done(const struct db_result *rows, const struct reply *r)
{
    for (size_t i = 0; rows != NULL && i < db_rows(rows); i++) {
        struct uuid job = db_uuid(rows, i, 0), command = db_uuid(rows, i, 1);
        if (uuid_eq(&job, &r->job_id) && uuid_eq(&command, &r->command_id))
            return true;
    }
    return false;
}
