/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_bulk.c - the steps of own_bulk.h, and the two routes.
 */
#include "gateway/own_bulk.h"

#include <string.h>

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "gateway/idempotency.h"
#include "gateway/json_out.h"
#include "gateway/own_task.h"
#include "gateway/page.h"

/* Of one message on the bus, with room to spare (BUS_MESSAGE_BYTES_MAX). */
#define MESSAGE_BYTES   (4 * 1024 * 1024)
#define ITEM_BYTES      512
#define BULK_TIMEOUT_MS 20000

void ops_done(void *arg)
{
    struct ops *ops = arg;
    for (size_t i = 0; i < ops->list.n; i++) {
        free(ops->list.v[i].given);
        parameters_done(&ops->list.v[i].values);
    }
    vec_done(&ops->list);
    vec_done(&ops->templates);
    vec_done(&ops->owners);
}

/* Neither done nor refused. */
static bool is_open(const struct op *op)
{
    return !op->is_done && op->problem.status == 0;
}

/* ---- reading ---- */

static bool read_command(struct op *op, const json_t *json)
{
    static const char *const known[] = {"op", "task", NULL};
    const char *task;
    if (!own_check_members(json, known, &op->problem) ||
        !own_read_text(json, "task", &task, &op->problem))
        return false;
    return (task != NULL && uuid_parse(task, &op->task_id)) ||
           own_problem_invalid(&op->problem, "task", "\"task\" must be the id of a task.");
}

void ops_read(struct request *r, struct ops *ops, const json_t *json)
{
    static const char *const verbs[] = {[OP_CREATE] = "create",
        [OP_PAUSE] = "pause",
        [OP_RESUME] = "resume",
        [OP_DELETE] = "delete"};
    const char *word = json_string_value(json_object_get(json, "op"));
    size_t verb = OP_PAUSE;
    while (word != NULL && verb < COUNT(verbs) && strcmp(word, verbs[verb]) != 0)
        verb++;
    if (word != NULL && strcmp(word, "create") == 0) {
        ops_read_create(r, ops, json);
        return;
    }
    struct op *op = vec_push(&ops->list);
    op->build_id = idempotency_id(r, (uint32_t)ops->list.n);
    if (word == NULL || verb == COUNT(verbs)) {
        own_problem_invalid(
            &op->problem, "op", "\"op\" must be one of create, pause, resume, delete.");
        return;
    }
    op->verb = (enum op_verb)verb;
    read_command(op, json);
}

/* ---- 4. the scheduler ---- */

/* One message's worth of operations. */
struct message {
    Stint__V1__TaskBulk__Item **list;
    Stint__V1__TaskBulk__Item *items;
    Stint__V1__TaskCreate *creates;
    Stint__V1__TaskCommand *commands;
};

static void send_open(struct request *r);

static void take_reply(struct op *op, uint32_t code, const char *detail)
{
    if (code == REFUSAL_NAME_TAKEN && op->names_left > 0)
        return; /* stays open, for another name */
    if (code == REFUSAL_NONE)
        op->is_done = true;
    else
        own_problem_refusal(&op->problem, code, detail, op->name);
}

static void on_replies(struct request *r, const Stint__V1__Envelope *reply)
{
    struct ops *ops = r->state;
    const Stint__V1__TaskBulkReply *m =
        reply->body_case == STINT__V1__ENVELOPE__BODY_TASK_BULK_REPLY ? reply->task_bulk_reply
                                                                      : NULL;
    bool is_status = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS;
    if (m == NULL) {
        answer_refusal(r, is_status ? reply->status->code : (uint32_t)REFUSAL_MALFORMED,
            is_status ? reply->status->detail : "", "");
        return;
    }
    for (size_t i = 0, k = 0; i < ops->list.n && k < m->n_reply; i++) {
        if (!ops->list.v[i].is_asked)
            continue;
        ops->list.v[i].is_asked = false;
        task_cache_drop(r->gw->cache, &ops->list.v[i].task_id);
        take_reply(&ops->list.v[i], m->reply[k]->code, m->reply[k]->detail);
        k++;
    }
    send_open(r);
}

static void make_name(struct op *op)
{
    uint32_t random;
    if (op->names_left > 0) {
        op->names_left--;
        rng_bytes(&random, sizeof(random));
        text_name_from_prompt(op->input, random, op->name);
    }
    if (op->options.display_name[0] == '\0')
        text_display_from_name(op->name, op->options.display_name);
}

static void fill_command(struct request *r, const struct op *op, Stint__V1__TaskCommand *m)
{
    static const Stint__V1__TaskVerb verbs[] = {[OP_PAUSE] = STINT__V1__TASK_VERB__TASK_VERB_PAUSE,
        [OP_RESUME] = STINT__V1__TASK_VERB__TASK_VERB_RESUME,
        [OP_DELETE] = STINT__V1__TASK_VERB__TASK_VERB_DELETE};
    stint__v1__task_command__init(m);
    m->task_id = wire_uuid(&op->task_id);
    m->initiator_id = wire_uuid(&r->who.id);
    m->build_id = wire_uuid(&op->build_id);
    m->verb = verbs[op->verb];
}

static size_t size_of(const struct op *op)
{
    size_t n = ITEM_BYTES + (op->input != NULL ? strlen(op->input) : 0);
    for (size_t i = 0; i < op->values.n; i++)
        n += strlen(op->values.list[i]->name) + strlen(op->values.list[i]->value) + 16;
    return n + json_object_size(op->options.labels) * (LABEL_NAME_MAX + LABEL_VALUE_MAX + 16);
}

static void add_item(struct request *r, struct ops *ops, struct op *op, struct message *m, size_t i)
{
    m->list[i] = &m->items[i];
    stint__v1__task_bulk__item__init(m->list[i]);
    op->is_asked = true;
    if (op->verb == OP_CREATE) {
        make_name(op);
        op_fill_create(r, ops, op, &m->creates[i]);
        m->items[i].what_case = STINT__V1__TASK_BULK__ITEM__WHAT_CREATE;
        m->items[i].create = &m->creates[i];
    } else {
        fill_command(r, op, &m->commands[i]);
        m->items[i].what_case = STINT__V1__TASK_BULK__ITEM__WHAT_COMMAND;
        m->items[i].command = &m->commands[i];
    }
}

static void message_init(struct message *m, size_t n)
{
    *m = (struct message){.list = mem_calloc(n, sizeof(Stint__V1__TaskBulk__Item *)),
        .items = mem_calloc(n, sizeof(Stint__V1__TaskBulk__Item)),
        .creates = mem_calloc(n, sizeof(Stint__V1__TaskCreate)),
        .commands = mem_calloc(n, sizeof(Stint__V1__TaskCommand))};
}

static void message_done(struct message *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(m->creates[i].label);
    free(m->list), free(m->items), free(m->creates), free(m->commands);
}

/* As many as fit into a message; the others go when it is answered. */
static void send_open(struct request *r)
{
    struct ops *ops = r->state;
    struct message m;
    size_t n = 0, bytes = 0;
    message_init(&m, ops->list.n + 1);
    for (size_t i = 0; i < ops->list.n; i++) {
        struct op *op = &ops->list.v[i];
        if (!is_open(op))
            continue;
        bytes += size_of(op);
        if (n > 0 && bytes > MESSAGE_BYTES)
            break;
        add_item(r, ops, op, &m, n++);
    }
    if (n > 0) {
        Stint__V1__TaskBulk bulk = STINT__V1__TASK_BULK__INIT;
        bulk.n_item = n;
        bulk.item = m.list;
        Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_BULK);
        e.task_bulk = &bulk;
        ask_bus(r, &e, BULK_TIMEOUT_MS, on_replies);
    }
    message_done(&m, n);
    if (n == 0)
        ops->then(r);
}

/* ---- 3. parameters ---- */

static void resolve(struct ops *ops, struct op *op, const struct db_result *const *results)
{
    const struct op_template *t = &ops->templates.v[op->template];
    struct parameters_wrong wrong;
    struct parameters_want w = {.version_id = t->version_id, .preset_id = t->preset_id};
    if (op->given != NULL) {
        w.given = op->given->given;
        w.n_given = op->given->n;
    }
    if (!parameters_resolve(
            &w, results + op->template * PARAMETERS_STATEMENTS, &op->values, &wrong)) {
        own_problem_invalid(&op->problem, "parameters", "%s", wrong.detail);
        snprintf(op->problem.title, sizeof(op->problem.title), "%s", wrong.message);
    }
}

static void on_parameters(struct request *r, const struct db_result *const *results)
{
    struct ops *ops = r->state;
    for (size_t i = 0; i < ops->list.n; i++)
        if (is_open(&ops->list.v[i]) && ops->list.v[i].verb == OP_CREATE)
            resolve(ops, &ops->list.v[i], results);
    send_open(r);
}

static void ask_parameters(struct request *r)
{
    const struct ops *ops = r->state;
    if (ops->templates.n == 0) {
        send_open(r);
        return;
    }
    struct db_batch *b = db_batch_new();
    for (size_t i = 0; i < ops->templates.n; i++) {
        struct parameters_want w = {.version_id = ops->templates.v[i].version_id,
            .preset_id = ops->templates.v[i].preset_id};
        parameters_read(&w, b);
    }
    ask_db(r, b, on_parameters);
}

/* ---- 2. what they refer to ---- */

static void take_problem(struct op *op, const struct own_problem *p)
{
    if (p->status != 0 && is_open(op))
        op->problem = *p;
}

static void check_task(struct request *r, struct op *op, const struct map *owners)
{
    const struct uuid *owner = map_get(owners, &op->task_id);
    if (owner == NULL || !request_may_touch(r, owner))
        own_problem_refusal(&op->problem, REFUSAL_TASK_UNKNOWN, "", "");
}

static void check_tasks(struct request *r, struct ops *ops, const struct db_result *rows)
{
    struct map owners = {0};
    struct uuid *ids = mem_calloc(db_rows(rows) + 1, sizeof(*ids));
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct uuid id = db_uuid(rows, i, 0);
        ids[i] = db_uuid(rows, i, 1);
        map_put(&owners, &id, &ids[i]);
    }
    for (size_t i = 0; i < ops->list.n; i++)
        if (is_open(&ops->list.v[i]) && ops->list.v[i].verb != OP_CREATE)
            check_task(r, &ops->list.v[i], &owners);
    map_done(&owners);
    free(ids);
}

/* Done when this request was worked on before. */
static void take_made(struct ops *ops, const struct db_result *rows)
{
    struct map made = {0};
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct uuid id = db_uuid(rows, i, 0);
        map_put(&made, &id, ops);
    }
    for (size_t i = 0; i < ops->list.n; i++) {
        struct op *op = &ops->list.v[i];
        const struct uuid *id = op->verb == OP_CREATE ? &op->task_id : &op->build_id;
        op->is_done |= op->problem.status == 0 && map_get(&made, id) != NULL;
    }
    map_done(&made);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    struct ops *ops = r->state;
    size_t at = 2;
    take_made(ops, results[1]);
    for (size_t i = 0; i < ops->templates.n; i++)
        op_template_take(&ops->templates.v[i], results[at++]);
    for (size_t i = 0; i < ops->owners.n; i++)
        if (ops->owners.v[i].word != NULL)
            op_owner_take(r, &ops->owners.v[i], results[at++]);
    for (size_t i = 0; i < ops->list.n; i++) {
        struct op *op = &ops->list.v[i];
        if (op->verb != OP_CREATE || !is_open(op))
            continue;
        take_problem(op, &ops->owners.v[op->owner].problem);
        take_problem(op, &ops->templates.v[op->template].problem);
    }
    check_tasks(r, ops, results[0]);
    ask_parameters(r);
}

/* Tasks that are named, and ids that were given away if this is not the first time. */
static void add_ids(struct request *r, const struct ops *ops, struct db_batch *b)
{
    struct db_array *tasks = db_array_new(DB_UUID), *made = db_array_new(DB_UUID);
    for (size_t i = 0; i < ops->list.n; i++) {
        const struct op *op = &ops->list.v[i];
        bool is_create = op->verb == OP_CREATE;
        if (!is_create)
            db_array_uuid(tasks, &op->task_id);
        if (idempotency_is_again(r))
            db_array_uuid(made, is_create ? &op->task_id : &op->build_id);
    }
    db_batch_add(b, SQL_OWN_TASKS_FIND);
    db_add_array(b, tasks);
    db_batch_add(b, SQL_OWN_MADE_FIND);
    db_add_array(b, made);
}

void ops_carry_out(struct request *r, request_fn then)
{
    struct ops *ops = r->state;
    struct uuid id;
    ops->then = then;
    struct db_batch *b = db_batch_new();
    add_ids(r, ops, b);
    for (size_t i = 0; i < ops->templates.n; i++) {
        db_batch_add(b, SQL_OWN_TEMPLATE_FIND);
        db_add_text(b, ops->templates.v[i].name);
        db_add_text(b, ops->templates.v[i].version);
        db_add_text(b, ops->templates.v[i].preset);
    }
    for (size_t i = 0; i < ops->owners.n; i++) {
        const char *word = ops->owners.v[i].word;
        if (word == NULL)
            continue;
        id = (struct uuid){0};
        uuid_parse(word, &id);
        db_batch_add(b, SQL_USER_GET);
        db_add_uuid(b, &id);
        db_add_text(b, word);
    }
    ask_db(r, b, on_found);
}

/* ---- POST /tasks ---- */

static void show_created(struct request *r)
{
    const struct task_set *set = r->state;
    char location[96];
    if (set->blobs[0] == NULL) {
        answer_not_found(r); /* deleted already */
        return;
    }
    snprintf(location, sizeof(location), "/api/stint/v1/tasks/%s", uuid_format(&set->ids.v[0]).s);
    answer_header(r, "location:", location);
    own_task_answer(r, 201, set->blobs[0], 0);
}

static void on_created(struct request *r)
{
    const struct ops *ops = r->state;
    if (ops->list.v[0].is_done)
        own_task_show(r, &ops->list.v[0].task_id, show_created);
    else
        own_problem_answer(r, &ops->list.v[0].problem);
}

void own_task_create(struct request *r)
{
    static const char *const none[] = {NULL};
    if (!page_check_parameters(r, none) || request_json(r) == NULL)
        return;
    struct ops *ops = request_state(r, sizeof(*ops), ops_done);
    if (json_object_get(r->json, "op") != NULL) {
        page_answer_invalid(r, "op", "There is no member \"op\" here.");
        return;
    }
    ops_read_create(r, ops, r->json);
    if (ops->list.v[0].problem.status != 0)
        own_problem_answer(r, &ops->list.v[0].problem);
    else
        ops_carry_out(r, on_created);
}

/* ---- POST /tasks/bulk ---- */

static void write_result(struct strbuf *out, const struct op *op)
{
    static const int statuses[] = {
        [OP_CREATE] = 201, [OP_PAUSE] = 202, [OP_RESUME] = 202, [OP_DELETE] = 204};
    bool has_task = op->is_done || (op->verb != OP_CREATE && !uuid_is_nil(&op->task_id));
    json_open(out, '{');
    json_put_int(out, "status", op->is_done ? statuses[op->verb] : op->problem.status);
    if (has_task)
        json_put_uuid(out, "task_id", &op->task_id);
    if (op->is_done && op->verb != OP_CREATE)
        json_put_uuid(out, "build_id", &op->build_id);
    if (!op->is_done) {
        json_key(out, "problem");
        own_problem_write(out, &op->problem);
    }
    json_close(out, '}');
}

static void on_all(struct request *r)
{
    const struct ops *ops = r->state;
    json_open(&r->out, '{');
    json_key(&r->out, "results");
    json_open(&r->out, '[');
    for (size_t i = 0; i < ops->list.n; i++)
        write_result(&r->out, &ops->list.v[i]);
    json_close(&r->out, ']');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

void own_task_bulk(struct request *r)
{
    static const char *const none[] = {NULL}, *const known[] = {"operations", NULL};
    struct own_problem p = {0};
    if (!page_check_parameters(r, none) || request_json(r) == NULL)
        return;
    const json_t *list = json_object_get(r->json, "operations");
    size_t n = json_array_size(list);
    if (!own_check_members(r->json, known, &p)) {
        own_problem_answer(r, &p);
        return;
    }
    if (n == 0 || n > OPERATIONS_MAX) {
        page_answer_invalid(
            r, "operations", "\"operations\" must be a list of 1 to 1000 operations.");
        return;
    }
    struct ops *ops = request_state(r, sizeof(*ops), ops_done);
    for (size_t i = 0; i < n; i++)
        ops_read(r, ops, json_array_get(list, i));
    ops_carry_out(r, on_all);
}
