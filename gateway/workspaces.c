/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspaces.c - the routes of workspaces; each belongs to one task.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/task_cache.h"

static void on_workspace(struct request *r, const struct db_result *const *results)
{
    workspace_write(r->gw, results, 0, &r->out);
    answer_json(r, 200);
}

void workspace_get(struct request *r)
{
    struct build_meant m = {0};
    if (request_param_uuid(r, 0, &m.workspace_id))
        build_ask(r, &m, on_workspace);
}

static void ask_named(struct request *r, const struct uuid *owner_id, const char *username)
{
    (void)username;
    const struct build_meant m = {.owner_id = *owner_id, .workspace_name = request_param(r, 1)};
    build_ask(r, &m, on_workspace);
}

void workspace_get_by_name(struct request *r)
{
    find_user(r, ask_named);
}

/* ---- one build of it, by number ---- */

static void on_numbered(struct request *r, const struct db_result *const *results)
{
    build_write(r->gw, results, 0, &r->out);
    answer_json(r, 200);
}

static void ask_numbered(struct request *r, const struct uuid *owner_id, const char *username)
{
    (void)username;
    char *end;
    errno = 0;
    long number = strtol(request_param(r, 2), &end, 10);
    if (*end != '\0' || errno != 0 || number < 1 || number > INT32_MAX) {
        answer_errorf(r, 400, "It must be a whole number from 1.",
            "Failed to parse build number as integer: \"%.32s\"", request_param(r, 2));
        return;
    }
    const struct build_meant m = {
        .owner_id = *owner_id, .workspace_name = request_param(r, 1), .number = (int32_t)number};
    build_ask(r, &m, on_numbered);
}

void build_get_by_number(struct request *r)
{
    find_user(r, ask_numbered);
}

/* ---- PUT /workspaces/{workspace}/ttl ---- */

#define BAD_TTL    "Invalid workspace time to shutdown value."
#define TTL_MS_MIN 60000
#define TTL_MS_MAX (30 * INT64_C(86400000))

struct new_ttl {
    struct uuid task_id;
    int64_t ms; /* 0: never */
};

static void on_ttl_set(struct request *r, const Stint__V1__Envelope *reply)
{
    const struct new_ttl *t = r->state;
    if (task_accepted(r, reply) == NULL)
        return;
    task_cache_drop(r->gw->cache, &t->task_id);
    answer_empty(r, 204);
}

static void set_ttl(struct request *r, const struct db_result *const *results)
{
    Stint__V1__TaskOption option = STINT__V1__TASK_OPTION__TASK_OPTION_TTL;
    struct new_ttl *t = r->state;
    struct uuid owner = {0};
    if (db_rows(results[0]) == 1) {
        owner = db_uuid(results[0], 0, 0);
        t->task_id = db_uuid(results[0], 0, 1);
    }
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner)) {
        answer_not_found(r);
        return;
    }
    Stint__V1__TaskUpdate m = STINT__V1__TASK_UPDATE__INIT;
    m.task_id = wire_uuid(&t->task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.set = &option;
    m.n_set = 1;
    m.ttl_ms = (uint64_t)t->ms;
    const struct uuid command_id = uuid_random();
    m.command_id = wire_uuid(&command_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_UPDATE);
    e.task_update = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_ttl_set);
}

void workspace_set_ttl(struct request *r)
{
    struct uuid id;
    struct new_ttl *t = request_state(r, sizeof(*t), NULL);
    if (!request_param_uuid(r, 0, &id) || request_json(r) == NULL ||
        !request_int(r, "ttl_ms", 0, &t->ms))
        return;
    if (t->ms != 0 && (t->ms < TTL_MS_MIN || t->ms > TTL_MS_MAX)) {
        answer_invalid(r, 400, BAD_TTL, "ttl_ms",
            t->ms < TTL_MS_MIN ? "time until shutdown must be at least one minute"
                               : "time until shutdown must be less than 30 days");
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKSPACE_OWNER);
    db_add_uuid(b, &id);
    ask_db(r, b, set_ttl);
}
