/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.c - rows of sql/query/load.sql into a new core, in the order of what hangs on what.
 */
#include "scheduler/loader.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/rng.h"

struct core_conf loader_core_conf(const struct scheduler_conf *c)
{
    return (struct core_conf){.cap = c->cap,
        .queue_max = c->queue_max,
        .lease_ms = c->lease_ms,
        .heartbeat_ms = c->heartbeat_ms,
        .attempts_max = c->attempts_max,
        .retry_ms = c->retry_ms,
        .make_room = c->make_room != 0,
        .make_room_grace_ms = c->make_room_grace_ms,
        .cap_policy = strcmp(c->cap_policy, "reject") == 0 ? CAP_REJECT : CAP_QUEUE,
        .random = rng_bytes};
}

static enum job_kind kind_of(const char *name)
{
    for (int k = JOB_START; k <= JOB_IMPORT; k++)
        if (strcmp(job_kind_name((enum job_kind)k), name) == 0)
            return (enum job_kind)k;
    return JOB_STOP;
}

static void load_workers(struct core *c, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct uuid id = db_uuid(r, i, 0);
        core_load_worker(
            c, &id, db_text(r, i, 1), db_text(r, i, 2), db_text(r, i, 3), db_int(r, i, 4));
    }
}

static const char *text_or_null(const struct db_result *r, size_t row, int col)
{
    return db_is_null(r, row, col) ? NULL : db_text(r, row, col);
}

static void load_tasks(struct core *c, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_task t = {.id = db_uuid(r, i, 0),
            .organization_id = db_uuid(r, i, 1),
            .owner_id = db_uuid(r, i, 2),
            .template_id = db_uuid(r, i, 3),
            .version_id = db_uuid(r, i, 4),
            .workspace_id = db_uuid(r, i, 5),
            .file_id = db_uuid(r, i, 6),
            .build_id = db_uuid(r, i, 7),
            .job_id = db_uuid(r, i, 8),
            .worker_id = db_uuid(r, i, 9),
            .agent_id = db_uuid(r, i, 10),
            .agent_token = db_uuid(r, i, 11),
            .command_id = db_uuid(r, i, 41),
            .update_id = db_uuid(r, i, 42),
            .build_before = db_uuid(r, i, 43),
            .series = (int32_t)db_int(r, i, 44),
            .name = db_text(r, i, 12),
            .provisioner = db_text(r, i, 13),
            .app_slug = db_text(r, i, 14),
            .owner_name = db_text(r, i, 15),
            .template_name = db_text(r, i, 16),
            .host = text_or_null(r, i, 17),
            .app_state = text_or_null(r, i, 18),
            .lifecycle = text_or_null(r, i, 19),
            .error = db_text(r, i, 20),
            .build_number = (int32_t)db_int(r, i, 21),
            .priority = (int32_t)db_int(r, i, 22),
            .attempt = (int32_t)db_int(r, i, 23),
            .token = db_int(r, i, 24),
            .kind = kind_of(db_text(r, i, 25)),
            .deleted = db_bool(r, i, 27),
            .holds_compute = db_bool(r, i, 28),
            .cancel_requested = db_bool(r, i, 29),
            .status_seq = db_int(r, i, 30),
            .app_health = text_or_null(r, i, 31),
            .ttl_ms = db_int(r, i, 32),
            .activity_bump_ms = db_int(r, i, 33),
            .has_deadline = !db_is_null(r, i, 34),
            .deadline_left_ms = db_int(r, i, 34),
            .message_seq = db_int(r, i, 35),
            .revision = db_int(r, i, 40),
            .start_after_us = db_is_null(r, i, 36) ? 0 : db_time_us(r, i, 36),
            .time_limit_ms = db_int(r, i, 37),
            .ran_ms = db_int(r, i, 38),
            .has_parameters = db_bool(r, i, 39)};
        if (job_state_parse(db_text(r, i, 26), &t.state))
            core_load_task(c, &t);
    }
}

static void load_messages(struct core *c, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_message m = {.id = db_uuid(r, i, 0),
            .task_id = db_uuid(r, i, 1),
            .seq = db_int(r, i, 2),
            .bytes = (size_t)db_int(r, i, 3)};
        core_load_message(c, &m);
    }
}

static void load_imports(struct core *c, const struct db_result *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        struct load_import m = {.job_id = db_uuid(r, i, 0),
            .version_id = db_uuid(r, i, 1),
            .organization_id = db_uuid(r, i, 2),
            .file_id = db_uuid(r, i, 3),
            .worker_id = db_uuid(r, i, 4),
            .provisioner = db_text(r, i, 5),
            .token = db_int(r, i, 7),
            .attempt = (int32_t)db_int(r, i, 8),
            .command_id = db_uuid(r, i, 9)};
        if (job_state_parse(db_text(r, i, 6), &m.state))
            core_load_import(c, &m);
    }
}

void loader_ask(struct db_batch *b, uint64_t epoch)
{
    db_batch_add(b, SQL_LEADER_ASSERT_EPOCH);
    db_add_int8(b, (int64_t)epoch);
    db_batch_add(b, SQL_LOAD_PLAN_FOR_ALL);
    db_batch_add(b, SQL_LOAD_DROP_STRAYS);
    db_batch_add(b, SQL_LOAD_WORKERS);
    db_batch_add(b, SQL_LOAD_TASKS);
    db_batch_add(b, SQL_LOAD_MESSAGES);
    db_batch_add(b, SQL_LOAD_IMPORTS);
}

struct core *loader_read(const struct scheduler_conf *conf, const struct db_result *const *results)
{
    struct core_conf core_conf = loader_core_conf(conf);
    struct core *c = core_new(&core_conf);
    core_set_now(c, clock_mono_ms());
    load_workers(c, results[3]);
    load_tasks(c, results[4]);
    load_messages(c, results[5]);
    load_imports(c, results[6]);
    core_load_done(c);
    return c;
}
