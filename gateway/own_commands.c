/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_commands.c - PATCH and DELETE of /api/stint/v1/tasks/{task}, …/pause and …/resume.
 *
 * Each first reads the task: may it be touched, and is it what If-Match names?  With If-Match the
 * scheduler is told which build and which revision have been seen, and does nothing when either is
 * another by then; so of two that change the same state of a task, one fails.
 */
#include <string.h>

#include "gateway/idempotency.h"
#include "gateway/own_options.h"
#include "gateway/own_task.h"
#include "gateway/page.h"

/* In the request until its answer; first a task_set, as r->state is one while the task is read. */
struct change {
    struct task_set set;
    struct uuid build_id; /* of the build that it makes */
    Stint__V1__TaskVerb verb;
    struct task_options options;
    const char *input; /* NULL: not to be changed */
    struct own_problem problem;
};

static void change_done(void *state)
{
    struct change *c = state;
    task_set_done(&c->set);
}

/* ---- the answer ---- */

static void show(struct request *r)
{
    const struct task_set *set = r->state;
    if (set->blobs[0] == NULL)
        answer_not_found(r); /* deleted meanwhile */
    else
        own_task_answer(r, r->method == METHOD_PATCH ? 200 : 202, set->blobs[0], 0);
}

void own_task_show(struct request *r, const struct uuid *id, request_fn then)
{
    struct uuid task_id = *id;
    struct task_set *set = request_state(r, sizeof(*set), task_set_done);
    *vec_push(&set->ids) = task_id;
    task_load(r, then);
}

static void done(struct request *r)
{
    const struct change *c = r->state;
    task_cache_drop(r->gw->cache, &c->set.ids.v[0]);
    if (c->verb == STINT__V1__TASK_VERB__TASK_VERB_DELETE)
        answer_empty(r, 204);
    else
        own_task_show(r, &c->set.ids.v[0], show);
}

static void on_reply(struct request *r, const Stint__V1__Envelope *reply)
{
    if (task_accepted(r, reply) != NULL)
        done(r);
}

/* ---- commands ---- */

/* What has been seen of the task; NULL: the client does not say. */
static Stint__V1__TaskCondition *condition_of(
    const struct request *r, const struct task_blob *b, Stint__V1__TaskCondition *c)
{
    stint__v1__task_condition__init(c);
    if (r->if_match == NULL || strcmp(r->if_match, "*") == 0)
        return NULL;
    c->build_id = wire_uuid(&b->build_id);
    c->revision = (uint64_t)b->revision;
    return c;
}

static void ask_command(struct request *r, const struct task_blob *b)
{
    const struct change *c = r->state;
    Stint__V1__TaskCondition only_if;
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.task_id = wire_uuid(&b->id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.build_id = wire_uuid(&c->build_id);
    m.verb = c->verb;
    m.only_if = condition_of(r, b, &only_if);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_reply);
}

/* ---- PATCH: an input, or an update ---- */

static void on_bulk(struct request *r, const Stint__V1__Envelope *reply)
{
    bool is_bulk = reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_BULK_REPLY;
    bool is_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    uint32_t code = is_status ? reply->status->code : (uint32_t)REFUSAL_MALFORMED;
    const char *detail = is_status ? reply->status->detail : "";
    for (size_t i = 0; is_bulk && i < reply->task_bulk_reply->n_reply; i++) {
        code = reply->task_bulk_reply->reply[i]->code;
        detail = reply->task_bulk_reply->reply[i]->detail;
        if (code != REFUSAL_NONE)
            break;
    }
    if (code != REFUSAL_NONE)
        answer_refusal(r, code, detail, "");
    else
        done(r);
}

static void fill_update(
    struct request *r, const struct task_options *o, Stint__V1__TaskUpdate *m, int *set)
{
    m->initiator_id = wire_uuid(&r->who.id);
    m->set = (Stint__V1__TaskOption *)set;
    for (int i = 1; i <= STINT__V1__TASK_OPTION__TASK_OPTION_LABELS; i++)
        if ((o->set & 1u << i) != 0)
            set[m->n_set++] = i;
    m->display_name = (char *)(uintptr_t)o->display_name;
    m->priority = o->priority;
    m->start_after_us = o->start_after_us;
    m->time_limit_ms = (uint64_t)o->time_limit_ms;
    m->ttl_ms = (uint64_t)o->ttl_ms;
}

static void ask_update(struct request *r, const struct task_blob *b)
{
    const struct change *c = r->state;
    int set[8];
    Stint__V1__TaskCondition only_if;
    Stint__V1__TaskCommand input = STINT__V1__TASK_COMMAND__INIT;
    Stint__V1__TaskUpdate update = STINT__V1__TASK_UPDATE__INIT;
    Stint__V1__TaskBulk__Item items[2] = {
        STINT__V1__TASK_BULK__ITEM__INIT, STINT__V1__TASK_BULK__ITEM__INIT};
    Stint__V1__TaskBulk__Item *list[2] = {&items[0], &items[1]};
    Stint__V1__TaskBulk bulk = STINT__V1__TASK_BULK__INIT;
    bulk.item = list;
    input.only_if = update.only_if = condition_of(r, b, &only_if);
    input.task_id = update.task_id = wire_uuid(&b->id);
    input.initiator_id = wire_uuid(&r->who.id);
    const struct uuid command_id = uuid_random(); /* for either: it is one of the two */
    input.command_id = update.command_id = wire_uuid(&command_id);
    if (c->input != NULL) {
        input.verb = STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT;
        input.input = (char *)(uintptr_t)c->input;
        items[bulk.n_item].what_case = STINT__V1__TASK_BULK__ITEM__WHAT_COMMAND;
        items[bulk.n_item++].command = &input;
    }
    fill_update(r, &c->options, &update, set);
    update.label = own_texts(c->options.labels, &update.n_label);
    if (c->options.set != 0) {
        items[bulk.n_item].what_case = STINT__V1__TASK_BULK__ITEM__WHAT_UPDATE;
        items[bulk.n_item++].update = &update;
    }
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_BULK);
    e.task_bulk = &bulk;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_bulk);
    free(update.label);
}

/* ---- the way there ---- */

static void carry_out(struct request *r)
{
    const struct change *c = r->state;
    const struct task_blob *b = c->set.blobs[0];
    if (b == NULL || !request_may_touch(r, &b->owner_id)) {
        answer_not_found(r);
        return;
    }
    if (!etag_check(r, own_task_tag(b)))
        return;
    if (r->method != METHOD_PATCH)
        ask_command(r, b);
    else if (c->input == NULL && c->options.set == 0)
        own_task_answer(r, 200, b, 0);
    else
        ask_update(r, b);
}

/* Worked on before: is the build there that it was to make? */
static void on_build(struct request *r, const struct db_result *const *results)
{
    struct change *c = r->state;
    if (db_rows(results[0]) > 0)
        own_task_show(r, &c->set.ids.v[0], show);
    else
        task_load(r, carry_out);
}

static struct change *begin(struct request *r)
{
    static const char *const none[] = {NULL};
    struct uuid id;
    if (!request_param_uuid(r, 0, &id) || !page_check_parameters(r, none))
        return NULL;
    struct change *c = request_state(r, sizeof(*c), change_done);
    *vec_push(&c->set.ids) = id;
    return c;
}

static void command(struct request *r, Stint__V1__TaskVerb verb)
{
    struct change *c = begin(r);
    if (c == NULL)
        return;
    c->verb = verb;
    c->build_id = idempotency_id(r, 0);
    if (!idempotency_is_again(r)) {
        task_load(r, carry_out);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_BUILD_JOB);
    db_add_uuid(b, &c->build_id);
    ask_db(r, b, on_build);
}

void own_task_pause(struct request *r)
{
    command(r, STINT__V1__TASK_VERB__TASK_VERB_PAUSE);
}

void own_task_resume(struct request *r)
{
    command(r, STINT__V1__TASK_VERB__TASK_VERB_RESUME);
}

void own_task_delete(struct request *r)
{
    command(r, STINT__V1__TASK_VERB__TASK_VERB_DELETE);
}

static bool read_patch(struct change *c, const json_t *json)
{
    static const char *const known[] = {"input", "display_name", "priority", "labels",
        "start_after", "time_limit_ms", "ttl_ms", NULL};
    struct own_problem *p = &c->problem;
    if (!own_check_members(json, known, p) || !own_read_text(json, "input", &c->input, p) ||
        !own_options_read(json, &c->options, p))
        return false;
    if (c->input == NULL)
        return true;
    if (strlen(c->input) > PROMPT_BYTES_MAX)
        return own_problem_set(p, 413, "input-too-large", "The input is too large.",
            "\"input\" has %zu bytes; the limit is %d.", strlen(c->input), PROMPT_BYTES_MAX);
    if (c->options.set != 0) /* they have different conditions: one might be refused */
        return own_problem_invalid(p, "input", "\"input\" is changed by itself.");
    return c->input[strspn(c->input, " \t\r\n\v\f")] != '\0' ||
           own_problem_invalid(p, "input", "\"input\" must be more than white space.");
}

void own_task_update(struct request *r)
{
    struct change *c = begin(r);
    if (c == NULL || request_json(r) == NULL)
        return;
    if (read_patch(c, r->json))
        task_load(r, carry_out);
    else
        own_problem_answer(r, &c->problem);
}
