/* SPDX-License-Identifier: Apache-2.0 */
/* parameters.c - one parameter after the other, by the rules as they were read. */
#include "gateway/parameters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

/* Places of the statements. */
enum { RULES, OPTIONS, PRESET, PREVIOUS };

/* Columns of the rules. */
enum { NAME, TYPE, MUTABLE, REQUIRED, DEFAULT, REGEX, ERROR, MIN, MAX };

void parameters_done(struct parameters *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->list[i]->name);
        free(p->list[i]->value);
        free(p->list[i]);
    }
    free(p->list);
    *p = (struct parameters){0};
}

void parameters_read(const struct parameters_want *w, struct db_batch *b)
{
    db_batch_add(b, SQL_PARAMETER_RULES);
    db_add_uuid(b, &w->version_id);
    db_batch_add(b, SQL_PARAMETER_OPTIONS);
    db_add_uuid(b, &w->version_id);
    db_batch_add(b, SQL_PARAMETER_PRESET);
    db_add_uuid(b, &w->preset_id);
    db_add_uuid(b, &w->version_id);
    db_batch_add(b, SQL_PARAMETER_PREVIOUS);
    db_add_uuid(b, &w->task_id);
}

/* ---- where a value comes from ---- */

static const char *value_given(const struct parameters_want *w, const char *name)
{
    for (size_t i = 0; i < w->n_given; i++)
        if (strcmp(w->given[i].name, name) == 0)
            return w->given[i].value;
    return NULL;
}

/* In rows (name, value). */
static const char *value_in(const struct db_result *rows, const char *name)
{
    for (size_t i = 0; i < db_rows(rows); i++)
        if (strcmp(db_text(rows, i, 0), name) == 0)
            return db_text(rows, i, 1);
    return NULL;
}

/* ---- what may be wrong ---- */

static bool refuse(struct parameters_wrong *wrong, const char *name, const char *detail)
{
    snprintf(
        wrong->message, sizeof(wrong->message), "Unable to validate parameter \"%.64s\"", name);
    snprintf(wrong->detail, sizeof(wrong->detail), "%s", detail);
    return false;
}

static bool refuse_all(struct parameters_wrong *wrong, const char *message, const char *detail)
{
    snprintf(wrong->message, sizeof(wrong->message), "%s", message);
    snprintf(wrong->detail, sizeof(wrong->detail), "%s", detail);
    return false;
}

/* The rule of row `i`; `ret_options` has room for all options there are. */
static struct parameter_rule rule_of(
    const struct db_result *const *results, size_t i, const char **ret_options)
{
    const struct db_result *rules = results[RULES], *options = results[OPTIONS];
    struct parameter_rule rule = {.type = db_text(rules, i, TYPE),
        .regex = db_text(rules, i, REGEX),
        .error = db_text(rules, i, ERROR),
        .options = ret_options,
        .has_min = !db_is_null(rules, i, MIN),
        .has_max = !db_is_null(rules, i, MAX),
        .min = db_int(rules, i, MIN),
        .max = db_int(rules, i, MAX)};
    for (size_t k = 0; k < db_rows(options); k++)
        if (strcmp(db_text(options, k, 0), db_text(rules, i, NAME)) == 0)
            ret_options[rule.n_options++] = db_text(options, k, 1);
    return rule;
}

static bool check(const struct db_result *const *results, size_t i, const char *value,
    struct parameters_wrong *wrong)
{
    scoped_free const char **options = mem_calloc(db_rows(results[OPTIONS]) + 1, sizeof(*options));
    struct parameter_rule rule = rule_of(results, i, options);
    struct parameter_why why;
    const char *name = db_text(results[RULES], i, NAME);
    const char *refusal = parameter_refuses(&rule, value, &why);
    char detail[640];
    if (refusal == NULL)
        return true;
    snprintf(detail, sizeof(detail), "can't validate build parameter \"%s\": %s", name, refusal);
    return refuse(wrong, name, detail);
}

/* The value of rule `i`; NULL: it cannot be had, and `wrong` says why. */
static const char *settle(const struct parameters_want *w, const struct db_result *const *results,
    size_t i, struct parameters_wrong *wrong)
{
    const struct db_result *rules = results[RULES];
    const char *name = db_text(rules, i, NAME);
    const char *given = value_given(w, name), *before = value_in(results[PREVIOUS], name);
    const char *value = given != NULL ? given : value_in(results[PRESET], name);
    char detail[640];
    if (value == NULL && before != NULL)
        return before; /* it was good when the task got it */
    if (before != NULL && strcmp(before, value) != 0 && !db_bool(rules, i, MUTABLE)) {
        snprintf(detail, sizeof(detail),
            "Parameter \"%s\" is not mutable, so it can't be updated after creating a workspace.",
            name);
        refuse(wrong, name, detail);
        return NULL;
    }
    if (db_bool(rules, i, REQUIRED) && (value == NULL || value[0] == '\0')) {
        snprintf(detail, sizeof(detail),
            "can't validate build parameter \"%s\": parameter value is required", name);
        refuse(wrong, name, detail);
        return NULL;
    }
    if (value == NULL)
        return db_text(rules, i, DEFAULT); /* the import has checked it */
    return check(results, i, value, wrong) ? value : NULL;
}

/* Every one that is given is known, and given once. */
static bool check_given(
    const struct parameters_want *w, const struct db_result *rules, struct parameters_wrong *wrong)
{
    for (size_t i = 0; i < w->n_given; i++) {
        const char *name = w->given[i].name;
        bool is_known = false;
        for (size_t k = 0; k < db_rows(rules); k++)
            is_known = is_known || strcmp(db_text(rules, k, NAME), name) == 0;
        if (!is_known)
            return refuse(wrong, name, "The template version has no such parameter.");
        for (size_t k = 0; k < i; k++)
            if (strcmp(w->given[k].name, name) == 0)
                return refuse(wrong, name, "It is given more than once.");
    }
    return true;
}

static void put(struct parameters *p, const char *name, const char *value)
{
    Stint__V1__NamedText *t = mem_alloc(sizeof(*t));
    stint__v1__named_text__init(t);
    t->name = mem_strdup(name);
    t->value = mem_strdup(value);
    p->list[p->n++] = t;
}

static bool settle_all(const struct parameters_want *w, const struct db_result *const *results,
    struct parameters *p, struct parameters_wrong *wrong)
{
    const struct db_result *rules = results[RULES];
    size_t bytes = 0;
    p->list = mem_calloc(db_rows(rules) + 1, sizeof(Stint__V1__NamedText *));
    for (size_t i = 0; i < db_rows(rules); i++) {
        const char *name = db_text(rules, i, NAME), *value = settle(w, results, i, wrong);
        if (value == NULL)
            return false;
        bytes += strlen(name) + strlen(value);
        put(p, name, value);
    }
    if (bytes > PARAMETERS_BYTES_MAX)
        return refuse_all(
            wrong, "Unable to validate parameters", "Together they are larger than 64 KiB.");
    return true;
}

bool parameters_resolve(const struct parameters_want *w, const struct db_result *const *results,
    struct parameters *ret, struct parameters_wrong *wrong)
{
    struct parameters p = {0};
    *ret = p;
    if (!uuid_is_nil(&w->preset_id) && db_rows(results[PRESET]) == 0)
        return refuse_all(wrong, "Template version preset not found.",
            "The template version has no preset with this \"template_version_preset_id\".");
    if (!check_given(w, results[RULES], wrong))
        return false;
    if (!settle_all(w, results, &p, wrong)) {
        parameters_done(&p);
        return false;
    }
    *ret = p;
    return true;
}

/* ---- from JSON ---- */

/* NULL: of no kind that a parameter could have. */
static const char *text_of(json_t *value, char number[static 32])
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_boolean_value(value) ? "true" : "false";
    if (!json_is_integer(value))
        return NULL;
    snprintf(number, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return number;
}

static bool add(struct parameters_json *ret, const char *name, json_t *value)
{
    if (name == NULL || ret->n > PARAMETERS_MAX)
        return false;
    const char *text = text_of(value, ret->numbers[ret->n]);
    if (text == NULL)
        return false;
    ret->given[ret->n++] = (struct parameter_given){name, text};
    return true;
}

bool parameters_from_json(json_t *json, struct parameters_json *ret)
{
    const char *name;
    json_t *value;
    size_t i;
    ret->n = 0;
    if (json_is_object(json)) {
        json_object_foreach(json, name, value)
        {
            if (!add(ret, name, value))
                return false;
        }
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value)
        {
            if (!add(ret, json_string_value(json_object_get(value, "name")),
                    json_object_get(value, "value")))
                return false;
        }
    } else {
        return json == NULL || json_is_null(json);
    }
    return ret->n <= PARAMETERS_MAX;
}
