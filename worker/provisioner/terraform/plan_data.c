/* SPDX-License-Identifier: Apache-2.0 */
/* plan_data.c - parameters, presets, external auth, variables. */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/parameter.h"
#include "worker/provisioner/terraform/json.h"
#include "worker/provisioner/terraform/plan_part.h"

#define LEGACY_PROMPT "AI Prompt"

struct reading {
    struct import_found *f;
    json_t *external_auth;
    plan_warn_fn warn;
    void *arg;
    json_int_t *order; /* of f->parameter, in step; malloc'd */
};

/* ---- parameters ---- */

static void read_options(const json_t *values, struct import_parameter *p)
{
    const json_t *list = json_object_get(values, "option");
    size_t i;
    json_t *o;
    p->option = mem_calloc(json_array_size(list) + 1, sizeof(*p->option));
    json_array_foreach(list, i, o) p->option[p->n_option++] =
        (struct import_option){.name = tf_copy(o, "name"),
            .value = tf_copy(o, "value"),
            .description = tf_copy(o, "description"),
            .icon = tf_copy(o, "icon")};
}

static void read_bound(const json_t *validation, const char *key, bool *ret_has, int64_t *ret)
{
    char disabled[32];
    const json_t *v = json_object_get(validation, key);
    snprintf(disabled, sizeof(disabled), "%s_disabled", key);
    *ret_has = json_is_integer(v) && !tf_true(validation, disabled);
    *ret = *ret_has ? (int64_t)json_integer_value(v) : 0;
}

static bool knows_parameter(const struct import_found *f, const char *name)
{
    for (size_t i = 0; i < f->n_parameter; i++)
        if (strcmp(f->parameter[i].name, name) == 0)
            return true;
    return false;
}

/* In the template's order, those without one behind each other as they come. */
static void insert_parameter(struct reading *r, struct import_parameter p, json_int_t order)
{
    struct import_found *f = r->f;
    f->parameter = mem_realloc(f->parameter, (f->n_parameter + 1) * sizeof(*f->parameter));
    r->order = mem_realloc(r->order, (f->n_parameter + 1) * sizeof(*r->order));
    size_t at = f->n_parameter++;
    for (; at > 0 && r->order[at - 1] > order; at--) {
        f->parameter[at] = f->parameter[at - 1];
        r->order[at] = r->order[at - 1];
    }
    f->parameter[at] = p;
    r->order[at] = order;
}

/* Before Coder 2.28 the prompt came as a parameter. */
static void warn_of_legacy(struct reading *r, struct import_parameter *p)
{
    if (strcmp(p->name, LEGACY_PROMPT) != 0)
        return;
    p->required = false;
    r->warn(r->arg,
        "The parameter \"AI Prompt\" is from before Coder 2.28. It is given the task's prompt, so "
        "the "
        "template works; to migrate, add `data \"coder_task\" \"me\" {}`, say "
        "data.coder_task.me.prompt where the parameter's value is used, and remove the parameter.");
}

static void read_parameter(struct reading *r, const json_t *values)
{
    const json_t *v = tf_block(values, "validation");
    struct import_parameter p = {.name = tf_copy(values, "name"),
        .display_name = tf_copy(values, "display_name"),
        .description = tf_copy(values, "description"),
        .icon = tf_copy(values, "icon"),
        .type = tf_copy(values, "type"),
        .default_value = tf_copy(values, "default"),
        .regex = tf_copy(v, "regex"),
        .error = tf_copy(v, "error"),
        .is_mutable = tf_true(values, "mutable"),
        .required = !tf_true(values, "optional")};
    read_options(values, &p);
    read_bound(v, "min", &p.has_min, &p.min);
    read_bound(v, "max", &p.has_max, &p.max);
    warn_of_legacy(r, &p);
    insert_parameter(r, p, json_integer_value(json_object_get(values, "order")));
}

/* ---- presets, external auth ---- */

static void read_preset(struct reading *r, const json_t *values)
{
    struct import_found *f = r->f;
    const char *name;
    json_t *value, *map = json_object_get(values, "parameters");
    f->preset = mem_realloc(f->preset, (f->n_preset + 1) * sizeof(*f->preset));
    struct import_preset *p = &f->preset[f->n_preset++];
    *p = (struct import_preset){.name = tf_copy(values, "name"),
        .description = tf_copy(values, "description"),
        .icon = tf_copy(values, "icon"),
        .is_default = tf_true(values, "default"),
        .value = mem_calloc(json_object_size(map) + 1, sizeof(*p->value))};
    json_object_foreach(map, name, value) p->value[p->n_value++] =
        (struct job_text){mem_strdup(name), mem_strdup(tf_text(map, name))};
}

static bool knows_preset(const struct import_found *f, const char *name)
{
    for (size_t i = 0; i < f->n_preset; i++)
        if (strcmp(f->preset[i].name, name) == 0)
            return true;
    return false;
}

static void read_one(void *arg, const json_t *resource)
{
    struct reading *r = arg;
    const json_t *values = json_object_get(resource, "values");
    const char *name = tf_text(values, "name");
    if (plan_is_of(resource, "data", "coder_parameter") && !knows_parameter(r->f, name) &&
        r->f->n_parameter < PARAMETERS_MAX)
        read_parameter(r, values);
    else if (plan_is_of(resource, "data", "coder_workspace_preset") && !knows_preset(r->f, name) &&
             r->f->n_preset < PRESETS_MAX)
        read_preset(r, values);
    else if (plan_is_of(resource, "data", "coder_external_auth"))
        json_array_append_new(r->external_auth, json_pack("{s:s, s:b}", "id", tf_text(values, "id"),
                                                    "optional", tf_true(values, "optional")));
}

void plan_read_data(const json_t *plan, plan_warn_fn warn, void *arg, struct import_found *f)
{
    struct reading r = {.f = f, .external_auth = json_array(), .warn = warn, .arg = arg};
    plan_each_data(plan, read_one, &r);
    f->external_auth = json_dumps(r.external_auth, JSON_COMPACT);
    json_decref(r.external_auth);
    free(r.order);
}

/* ---- variables ---- */

/* The type is not in the plan; a default tells. */
static const char *type_of(const json_t *value)
{
    if (json_is_boolean(value))
        return "bool";
    return json_is_number(value) ? "number" : "string";
}

static char *default_of(const json_t *v)
{
    const json_t *d = json_object_get(v, "default");
    if (d == NULL || json_is_null(d))
        return mem_strdup("");
    if (json_is_string(d))
        return mem_strdup(json_string_value(d));
    return json_dumps(d, JSON_COMPACT | JSON_ENCODE_ANY);
}

void plan_read_variables(const json_t *plan, struct import_found *f)
{
    json_t *all = json_object_get(
        json_object_get(json_object_get(plan, "configuration"), "root_module"), "variables");
    const char *name;
    json_t *v;
    f->variable = mem_calloc(json_object_size(all) + 1, sizeof(*f->variable));
    json_object_foreach(all, name, v) f->variable[f->n_variable++] =
        (struct import_variable){.name = mem_strdup(name),
            .description = tf_copy(v, "description"),
            .type = mem_strdup(type_of(json_object_get(v, "default"))),
            .default_value = default_of(v),
            .required = json_object_get(v, "default") == NULL,
            .sensitive = tf_true(v, "sensitive")};
}
