/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builds.c - reading builds for whoever may see them, and the routes of one build.
 */
#include "gateway/build.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/vec.h"
#include "gateway/json_out.h"
#include "gateway/queue.h"

/* ---- asking ---- */

struct build_ask {
    struct build_meant meant;
    struct uuid *ids; /* of meant */
    ask_db_fn found;
    bool knows_places;
};

static void ask_done(void *state)
{
    free(((struct build_ask *)state)->ids);
}

static void add_meant(struct db_batch *b, enum sql_id id, const struct build_meant *m)
{
    struct db_array *ids = db_array_new(DB_UUID);
    for (size_t i = 0; i < m->n_ids; i++)
        db_array_uuid(ids, &m->ids[i]);
    db_batch_add(b, id);
    db_add_array(b, ids);
    db_add_uuid(b, &m->workspace_id);
    db_add_uuid(b, &m->owner_id);
    db_add_text(b, m->workspace_name);
    if (m->number > 0)
        db_add_int4(b, m->number);
    else
        db_add_null(b);
}

void build_add_read(struct db_batch *b, const struct build_meant *meant)
{
    add_meant(b, SQL_BUILD_READ, meant);
    add_meant(b, SQL_APP_LIST_OF_BUILDS, meant);
}

static void read_builds(struct request *r);

static void on_places(void *arg)
{
    read_builds(arg);
}

/* The rows are gone by the time the queue has answered, so they are read again. */
static bool asks_queue(struct request *r, const struct db_result *rows)
{
    struct build_ask *a = r->state;
    VEC(struct uuid) waiting = {0};
    for (size_t i = 0; i < db_rows(rows) && !a->knows_places; i++) {
        struct build_head h = build_head(rows, i);
        if (build_waits(&h))
            *vec_push(&waiting) = h.task_id;
    }
    bool asks = waiting.n > 0;
    if (asks) {
        a->knows_places = true;
        queue_ask(r->gw->queue, waiting.v, waiting.n, on_places, r);
    }
    vec_done(&waiting);
    return asks;
}

static bool may_see_all(const struct request *r, const struct db_result *rows)
{
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct build_head h = build_head(rows, i);
        if (!request_may_touch(r, &h.owner_id))
            return false;
    }
    return db_rows(rows) > 0;
}

static void on_builds(struct request *r, const struct db_result *const *results)
{
    const struct build_ask *a = r->state;
    if (!may_see_all(r, results[0]))
        answer_not_found(r);
    else if (!asks_queue(r, results[0]))
        a->found(r, results);
}

static void read_builds(struct request *r)
{
    const struct build_ask *a = r->state;
    struct db_batch *b = db_batch_new();
    build_add_read(b, &a->meant);
    if (a->meant.n_ids > 1)
        ask_db_bulk(r, b, on_builds);
    else
        ask_db(r, b, on_builds);
}

void build_ask(struct request *r, const struct build_meant *meant, ask_db_fn found)
{
    struct build_meant m = *meant;
    struct uuid *ids = mem_calloc(m.n_ids + 1, sizeof(*ids));
    if (m.n_ids > 0)
        memcpy(ids, m.ids, m.n_ids * sizeof(*ids));
    struct build_ask *a = request_state(r, sizeof(*a), ask_done);
    m.ids = ids;
    *a = (struct build_ask){.meant = m, .ids = ids, .found = found};
    read_builds(r);
}

/* The {build} of the path. */
static void ask_build(struct request *r, ask_db_fn found)
{
    struct uuid id;
    if (request_param_uuid(r, 0, &id))
        build_ask(r, &(struct build_meant){.ids = &id, .n_ids = 1}, found);
}

/* ---- showing ---- */

static void on_build(struct request *r, const struct db_result *const *results)
{
    build_write(r->gw, results, 0, &r->out);
    answer_json(r, 200);
}

void build_get(struct request *r)
{
    ask_build(r, on_build);
}

static void on_resources(struct request *r, const struct db_result *const *results)
{
    build_write_resources(results, 0, &r->out);
    answer_json(r, 200);
}

void build_resources(struct request *r)
{
    ask_build(r, on_resources);
}

static void on_values(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++) {
        json_open(&r->out, '{');
        json_put_text(&r->out, "name", db_text(results[0], i, 0));
        json_put_text(&r->out, "value", db_text(results[0], i, 1));
        json_close(&r->out, '}');
    }
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void on_parameters(struct request *r, const struct db_result *const *results)
{
    const struct build_head h = build_head(results[0], 0);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_PARAMETERS);
    db_add_uuid(b, &h.id);
    ask_db(r, b, on_values);
}

void build_parameters(struct request *r)
{
    ask_build(r, on_parameters);
}

/* What a provisioner keeps is its own: it holds secrets, and no client of tasks reads it. */
static void on_state(struct request *r, const struct db_result *const *results)
{
    (void)results;
    answer_forbidden(r);
}

void build_state(struct request *r)
{
    ask_build(r, on_state);
}

static void on_made(struct request *r, const struct db_result *const *results)
{
    build_write(r->gw, results, 0, &r->out);
    answer_json(r, 201);
}

static void on_made_wrapped(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '{');
    json_key(&r->out, "workspace_build");
    build_write(r->gw, results, 0, &r->out);
    json_close(&r->out, '}');
    answer_json(r, 202);
}

void build_answer_made(struct request *r, const struct uuid *build_id, bool is_wrapped)
{
    build_ask(r, &(struct build_meant){.ids = build_id, .n_ids = 1},
        is_wrapped ? on_made_wrapped : on_made);
}

/* ---- cancel ---- */

static void on_canceled(struct request *r, const Stint__V1__Envelope *reply)
{
    if (task_accepted(r, reply) != NULL)
        answer_error(r, 200, "Job has been marked as canceled...", NULL);
}

/* `?expect_status=pending|running`: only if the job is still as the asker saw it. */
static bool is_as_expected(struct request *r, const struct build_head *h)
{
    const char *expected = request_query(r, "expect_status");
    if (expected == NULL || expected[0] == '\0')
        return true;
    if (strcmp(expected, "pending") != 0 && strcmp(expected, "running") != 0)
        answer_invalid(r, 400, "Invalid expect_status.", "expect_status",
            "must be \"pending\" or \"running\"");
    else if (strcmp(expected, h->job_state) != 0)
        answer_error(r, 412, "Job is not in the expected state.", NULL);
    return !r->is_over;
}

static void cancel(struct request *r, const struct db_result *const *results)
{
    const struct build_head h = build_head(results[0], 0);
    if (!is_as_expected(r, &h))
        return;
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.task_id = wire_uuid(&h.task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.build_id = wire_uuid(&h.id);
    m.verb = STINT__V1__TASK_VERB__TASK_VERB_CANCEL;
    const struct uuid command_id = uuid_random();
    m.command_id = wire_uuid(&command_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_canceled);
}

void build_cancel(struct request *r)
{
    ask_build(r, cancel);
}
