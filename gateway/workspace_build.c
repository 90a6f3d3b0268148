/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace_build.c - POST /workspaces/{workspace}/builds: start, stop or delete a workspace, which
 * is to resume, pause or delete its task, with the reason that the client gives.
 *
 * A task keeps the template version it was made from, and parameters that are not mutable; asking
 * for the same ones again is no error.
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/parameters.h"
#include "gateway/rights.h"
#include "gateway/task_cache.h"

#define INVALID "Validation failed."

struct new_build {
    struct uuid build_id, task_id, version_id;
    Stint__V1__TaskVerb verb;
    const char *reason; /* borrowed from r->json; "" for a delete, whose reason is Coder's */
    bool orphan;        /* a delete leaves what was made */
    struct parameters_json asked; /* none: the task's stay as they are */
    struct parameters parameters;
};

static void new_build_done(void *state)
{
    struct new_build *n = state;
    parameters_done(&n->parameters);
}

/* ---- 4. the answer ---- */

static void on_done(struct request *r, const Stint__V1__Envelope *reply)
{
    const struct new_build *n = r->state;
    struct uuid build_id = n->build_id;
    if (task_accepted(r, reply) == NULL)
        return;
    task_cache_drop(r->gw->cache, &n->task_id);
    build_answer_made(r, &build_id, false);
}

/* ---- 3. the command ---- */

static void command(struct request *r, struct new_build *n)
{
    n->build_id = uuid_random();
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.task_id = wire_uuid(&n->task_id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.build_id = wire_uuid(&n->build_id);
    m.verb = n->verb;
    m.reason = (char *)(uintptr_t)n->reason;
    m.set_parameters = n->asked.n > 0;
    m.parameter = n->parameters.list;
    m.n_parameter = n->parameters.n;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_done);
}

/* ---- 2. the workspace, and the parameters ---- */

static struct parameters_want wanted(const struct new_build *n)
{
    return (struct parameters_want){.version_id = n->version_id,
        .task_id = n->task_id,
        .given = n->asked.given,
        .n_given = n->asked.n};
}

static void on_parameters(struct request *r, const struct db_result *const *results)
{
    struct new_build *n = r->state;
    const struct parameters_want w = wanted(n);
    struct parameters_wrong wrong;
    if (parameters_resolve(&w, results, &n->parameters, &wrong))
        command(r, n);
    else
        answer_error(r, 400, wrong.message, wrong.detail);
}

static void settle_parameters(struct request *r, struct new_build *n)
{
    if (n->asked.n == 0) {
        command(r, n);
        return;
    }
    const struct parameters_want w = wanted(n);
    struct db_batch *b = db_batch_new();
    parameters_read(&w, b);
    ask_db(r, b, on_parameters);
}

static void on_orphan(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 1)
        settle_parameters(r, r->state);
    else
        answer_invalid(
            r, 400, INVALID, "orphan", "is not possible with workspaces of this template");
}

/* Whoever may change templates may say that what one has made is left.  Said before the delete, so
 * that it counts for one that is under way, too. */
static void say_orphan(struct request *r)
{
    struct uuid id;
    if (!rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL)) {
        answer_error(r, 403, "Forbidden.", "Only template administrators may orphan a workspace.");
        return;
    }
    if (!request_param_uuid(r, 0, &id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKSPACE_ORPHAN);
    db_add_uuid(b, &id);
    db_add_uuid(b, &r->who.id);
    ask_db(r, b, on_orphan);
}

static void on_workspace(struct request *r, const struct db_result *const *results)
{
    struct new_build *n = r->state;
    const struct db_result *w = results[0];
    struct uuid owner = {0}, version = {0}, asked = n->version_id;
    if (db_rows(w) == 1) {
        owner = db_uuid(w, 0, 0);
        n->task_id = db_uuid(w, 0, 1);
        n->version_id = version = db_uuid(w, 0, 2);
    }
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else if (!uuid_is_nil(&asked) && !uuid_eq(&asked, &version))
        answer_invalid(r, 400, INVALID, "template_version_id",
            "A task keeps the template version it was created with.");
    else if (n->orphan)
        say_orphan(r);
    else
        settle_parameters(r, n);
}

/* ---- 1. the body ---- */

static const struct {
    const char *transition;
    Stint__V1__TaskVerb verb;
} transitions[] = {
    {"start",  STINT__V1__TASK_VERB__TASK_VERB_RESUME},
    {"stop",   STINT__V1__TASK_VERB__TASK_VERB_PAUSE },
    {"delete", STINT__V1__TASK_VERB__TASK_VERB_DELETE},
};

static bool read_transition(struct request *r, struct new_build *n)
{
    const char *text;
    if (!request_text(r, "transition", &text))
        return false;
    for (size_t i = 0; i < COUNT(transitions); i++)
        if (strcmp(transitions[i].transition, text) == 0) {
            n->verb = transitions[i].verb;
            return true;
        }
    answer_invalid(r, 400, INVALID, "transition", "must be \"start\", \"stop\" or \"delete\"");
    return false;
}

/* What a client may say of itself; the others are Stint's own to give. */
static bool read_reason(struct request *r, struct new_build *n)
{
    static const char *const reasons[] = {"initiator", "dashboard", "cli", "ssh_connection",
        "vscode_connection", "jetbrains_connection", "task_manual_pause", "task_resume"};
    const char *text;
    if (!request_text(r, "reason", &text))
        return false;
    n->reason = text[0] != '\0' ? text : "initiator";
    for (size_t i = 0; i < COUNT(reasons); i++)
        if (strcmp(reasons[i], n->reason) == 0)
            return true;
    answer_invalid(r, 400, INVALID, "reason", "is none that a client may give");
    return false;
}

/* A dry run is accepted while it asks for nothing. */
static bool read_flags(struct request *r, struct new_build *n)
{
    n->orphan = json_is_true(json_object_get(r->json, "orphan"));
    if (n->orphan && n->verb != STINT__V1__TASK_VERB__TASK_VERB_DELETE)
        answer_invalid(r, 400, INVALID, "orphan", "Only a delete can leave what there is.");
    else if (json_is_true(json_object_get(r->json, "dry_run")))
        answer_invalid(r, 400, INVALID, "dry_run", "is not possible with workspaces of tasks");
    return !r->is_over;
}

static bool read_parameters(struct request *r, struct new_build *n)
{
    json_t *values = json_object_get(r->json, "rich_parameter_values");
    if (!parameters_from_json(values, &n->asked))
        answer_invalid(r, 400, INVALID, "rich_parameter_values",
            "must be up to 64 objects with a \"name\" and a \"value\"");
    else if (n->asked.n > 0 && n->verb != STINT__V1__TASK_VERB__TASK_VERB_RESUME)
        answer_invalid(r, 400, INVALID, "rich_parameter_values", "only a start has parameters");
    return !r->is_over;
}

void build_create(struct request *r)
{
    struct uuid id;
    struct new_build *n = request_state(r, sizeof(*n), new_build_done);
    if (!request_param_uuid(r, 0, &id) || request_json(r) == NULL || !read_transition(r, n) ||
        !read_reason(r, n) || !request_uuid(r, "template_version_id", &n->version_id) ||
        !read_flags(r, n) || !read_parameters(r, n))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKSPACE_OWNER);
    db_add_uuid(b, &id);
    ask_db(r, b, on_workspace);
}
