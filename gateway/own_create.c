/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_create.c - a task to be made: what it is read from, what it refers to, what the scheduler is
 * told.
 */
#include <string.h>

#include "core/base/mem.h"
#include "gateway/idempotency.h"
#include "gateway/own_bulk.h"

#define NAME_TRIES 8

/* ---- references ---- */

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static size_t template_of(
    struct ops *ops, const char *name, const char *version, const char *preset)
{
    size_t i = 0;
    while (i < ops->templates.n &&
           !(same(ops->templates.v[i].name, name) && same(ops->templates.v[i].version, version) &&
               same(ops->templates.v[i].preset, preset)))
        i++;
    if (i == ops->templates.n)
        *vec_push(&ops->templates) =
            (struct op_template){.name = name, .version = version, .preset = preset};
    return i;
}

static size_t owner_of(struct request *r, struct ops *ops, const char *word)
{
    size_t i = 0;
    if (word != NULL && find_is_self(r, word))
        word = NULL;
    while (i < ops->owners.n && !same(ops->owners.v[i].word, word))
        i++;
    if (i == ops->owners.n) {
        struct op_owner *o = vec_push(&ops->owners);
        *o = (struct op_owner){.word = word, .id = r->who.id};
        snprintf(o->username, sizeof(o->username), "%s", r->who.username);
    }
    return i;
}

/* ---- reading ---- */

static bool check_name(const char *name, struct op *op)
{
    bool is_long = strlen(name) > TASK_NAME_MAX;
    if (is_long || !text_is_name(name))
        return own_problem_invalid(&op->problem, "name",
            "\"name\" must have 1 to %d letters, digits and single hyphens between them, and not "
            "be "
            "\"new\" or \"create\".",
            TASK_NAME_MAX);
    snprintf(op->name, sizeof(op->name), "%s", name);
    return true;
}

static bool read_parameters(const json_t *json, struct op *op)
{
    json_t *v = json_object_get(json, "parameters");
    if (v == NULL || json_is_null(v))
        return true;
    op->given = mem_alloc(sizeof(*op->given));
    return parameters_from_json(v, op->given) ||
           own_problem_invalid(&op->problem, "parameters",
               "\"parameters\" must be an object of at most %d texts, numbers and booleans.",
               PARAMETERS_MAX);
}

static bool read_input(const json_t *json, struct op *op)
{
    if (!own_read_text(json, "input", &op->input, &op->problem))
        return false;
    op->input = op->input != NULL ? op->input : "";
    size_t n = strlen(op->input);
    return n <= PROMPT_BYTES_MAX ||
           own_problem_set(&op->problem, 413, "input-too-large", "The input is too large.",
               "\"input\" has %zu bytes; the limit is %d.", n, PROMPT_BYTES_MAX);
}

static bool read_create(struct request *r, struct ops *ops, struct op *op, const json_t *json)
{
    static const char *const known[] = {"op", "template", "version", "preset", "owner", "input",
        "name", "display_name", "parameters", "priority", "labels", "start_after", "time_limit_ms",
        "ttl_ms", NULL};
    struct own_problem *p = &op->problem;
    const char *template, *version, *preset, *owner, *name;
    if (!own_check_members(json, known, p) || !own_read_text(json, "template", &template, p) ||
        !own_read_text(json, "version", &version, p) ||
        !own_read_text(json, "preset", &preset, p) || !own_read_text(json, "owner", &owner, p) ||
        !own_read_text(json, "name", &name, p) || !read_input(json, op) ||
        !own_options_read(json, &op->options, p) || !read_parameters(json, op))
        return false;
    if (template == NULL || template[0] == '\0')
        return own_problem_invalid(p, "template", "\"template\" must name one, or be its id.");
    if (name != NULL && !check_name(name, op))
        return false;
    op->names_left = name == NULL ? NAME_TRIES : 0;
    op->template = template_of(ops, template, version, preset);
    op->owner = owner_of(r, ops, owner);
    return true;
}

void ops_read_create(struct request *r, struct ops *ops, const json_t *json)
{
    struct op *op = vec_push(&ops->list);
    op->task_id = idempotency_id(r, (uint32_t)ops->list.n);
    if (json_is_object(json))
        read_create(r, ops, op, json);
    else
        own_problem_invalid(&op->problem, "operations", "An operation is an object.");
}

/* ---- what they refer to ---- */

static bool check_import(struct op_template *t, const struct db_result *v)
{
    const char *import = db_text(v, 0, 10);
    if (strcmp(import, "pending") == 0 || strcmp(import, "running") == 0)
        return own_problem_set(&t->problem, 409, "version-not-imported",
            "The template version is still being imported.", "Its import is %s.", import);
    if (strcmp(import, "succeeded") != 0)
        return own_problem_set(&t->problem, 409, "version-failed",
            "The template version could not be imported.", "%s", db_text(v, 0, 11));
    if (!db_bool(v, 0, 9))
        return own_problem_set(&t->problem, 409, "version-has-no-task",
            "The template version has no app for tasks.", "It cannot be used for one.");
    if (db_bool(v, 0, 8))
        return own_problem_set(&t->problem, 409, "version-archived",
            "The template version is archived.", "It cannot be used for a task.");
    return true;
}

static bool check_template(struct op_template *t, const struct db_result *v)
{
    if (db_rows(v) == 0)
        return own_problem_invalid(
            &t->problem, "template", "There is no template \"%.64s\".", t->name);
    if (db_is_null(v, 0, 14))
        return own_problem_invalid(&t->problem, "version",
            "The template \"%.64s\" has no version \"%.64s\".", t->name,
            t->version != NULL ? t->version : "");
    if (db_text(v, 0, 3)[0] != '\0')
        return own_problem_set(&t->problem, 409, "template-deprecated",
            "The template is deprecated.", "%s", db_text(v, 0, 3));
    if (t->preset != NULL && db_is_null(v, 0, 15))
        return own_problem_invalid(
            &t->problem, "preset", "The template version has no preset \"%.64s\".", t->preset);
    return check_import(t, v);
}

void op_template_take(struct op_template *t, const struct db_result *row)
{
    if (!check_template(t, row))
        return;
    task_template_read(&t->of, row);
    t->version_id = db_uuid(row, 0, 14);
    t->preset_id = db_uuid(row, 0, 15);
}

void op_owner_take(struct request *r, struct op_owner *o, const struct db_result *row)
{
    if (db_rows(row) == 1) {
        o->id = db_uuid(row, 0, 0);
        snprintf(o->username, sizeof(o->username), "%s", db_text(row, 0, 1));
    }
    if (db_rows(row) != 1 || !rights_may(&r->who, OBJECT_TASK, ACTION_UPDATE, &o->id))
        own_problem_invalid(&o->problem, "owner",
            "There is no user \"%.64s\", or you may not make tasks for them.", o->word);
}

/* ---- the message ---- */

void op_fill_create(
    struct request *r, const struct ops *ops, const struct op *op, Stint__V1__TaskCreate *m)
{
    const struct op_template *t = &ops->templates.v[op->template];
    const struct op_owner *o = &ops->owners.v[op->owner];
    bool has_ttl = own_options_has(&op->options, STINT__V1__TASK_OPTION__TASK_OPTION_TTL);
    stint__v1__task_create__init(m);
    task_template_fill(&t->of, m);
    m->task_id = wire_uuid(&op->task_id);
    m->owner_id = wire_uuid(&o->id);
    m->owner_name = (char *)(uintptr_t)o->username;
    m->initiator_id = wire_uuid(&r->who.id);
    m->template_version_id = wire_uuid(&t->version_id);
    if (!uuid_is_nil(&t->preset_id))
        m->template_version_preset_id = wire_uuid(&t->preset_id);
    m->name = (char *)(uintptr_t)op->name;
    m->display_name = (char *)(uintptr_t)op->options.display_name;
    m->prompt = (char *)(uintptr_t)op->input;
    m->priority = op->options.priority;
    if (has_ttl)
        m->ttl_ms = (uint64_t)op->options.ttl_ms;
    m->start_after_us = op->options.start_after_us;
    m->time_limit_ms = (uint64_t)op->options.time_limit_ms;
    m->parameter = op->values.list;
    m->n_parameter = op->values.n;
    m->label = own_texts(op->options.labels, &m->n_label);
}
