/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_parameter.c - checks of parameters and presets.
 *
 * What a template brings itself must pass its own rules: defaults, options and the values of
 * presets are checked here, so that a task cannot fail by them later.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/parameter.h"
#include "core/base/pattern.h"
#include "worker/provisioner/template_part.h"

#define NUMBER_MAX INT64_C(1000000000000000)

/* ---- values ---- */

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

/* `options` has room for all of the parameter's. */
static struct parameter_rule rule_of(const struct template_parameter *p, const char **options)
{
    const struct template_validation *v = p->validation;
    struct parameter_rule r = {.type = p->type,
        .regex = "",
        .error = "",
        .options = options,
        .n_options = p->options_count};
    for (unsigned i = 0; i < p->options_count; i++)
        options[i] = p->options[i].value;
    if (v == NULL)
        return r;
    r.regex = or_empty(v->regex);
    r.error = or_empty(v->error);
    r.has_min = v->min_text != NULL;
    r.has_max = v->max_text != NULL;
    r.min = v->min;
    r.max = v->max;
    return r;
}

static enum err check_value(const struct template_source *s, const char *path,
    const struct template_parameter *p, const char *value)
{
    scoped_free const char **options = mem_calloc(p->options_count + 1, sizeof(*options));
    struct parameter_rule rule = rule_of(p, options);
    struct parameter_why why;
    const char *refusal = parameter_refuses(&rule, value, &why);
    return refusal == NULL ? ERR_OK : template_wrong(s, path, "%.64s: %.160s", p->name, refusal);
}

/* ---- parameters ---- */

static enum err check_name(
    const struct template_source *s, const char *path, const struct template *t, unsigned nth)
{
    const char *name = t->parameters[nth].name;
    char variable[PARAMETER_VARIABLE_MAX + 1], other[PARAMETER_VARIABLE_MAX + 1];
    if (!parameter_is_name(name))
        return template_wrong(
            s, path, "\"%.70s\" is not 1-64 of letters, digits, '_' and '-'", name);
    parameter_variable(name, variable);
    for (unsigned i = 0; i < nth; i++) {
        parameter_variable(t->parameters[i].name, other);
        if (strcmp(variable, other) == 0)
            return template_wrong(s, path, "another parameter has the variable %s already", other);
    }
    return ERR_OK;
}

static enum err check_bounds(
    const struct template_source *s, const char *path, struct template_validation *v)
{
    enum err e = template_read_number(
        s, template_path("%s.min", path).s, v->min_text, 0, -NUMBER_MAX, NUMBER_MAX, &v->min);
    if (e == ERR_OK)
        e = template_read_number(
            s, template_path("%s.max", path).s, v->max_text, 0, -NUMBER_MAX, NUMBER_MAX, &v->max);
    if (e == ERR_OK && v->min_text != NULL && v->max_text != NULL && v->min > v->max)
        return template_wrong(s, path, "its min is larger than its max");
    return e;
}

static enum err check_validation(
    const struct template_source *s, const char *path, struct template_parameter *p)
{
    struct template_validation *v = p->validation;
    struct errctx why = {0};
    bool has_bounds = v->min_text != NULL || v->max_text != NULL;
    if (v->regex != NULL && strcmp(p->type, "string") != 0)
        return template_wrong(s, path, "only a string has a regex");
    if (has_bounds && strcmp(p->type, "number") != 0)
        return template_wrong(s, path, "only a number has min and max");
    if (v->regex != NULL && pattern_check(v->regex, &why) != ERR_OK)
        return template_wrong(s, template_path("%s.regex", path).s, "%s", why.text);
    if (v->regex != NULL && v->error == NULL)
        v->error = mem_strdup("the value has another form");
    return check_bounds(s, path, v);
}

static enum err check_options(
    const struct template_source *s, const char *path, struct template_parameter *p)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < p->options_count; i++) {
        struct template_path place = template_path("%s.options[%u]", path, i);
        e = check_value(s, place.s, p, p->options[i].value);
        for (unsigned k = 0; e == ERR_OK && k < i; k++)
            if (strcmp(p->options[k].value, p->options[i].value) == 0)
                return template_wrong(s, place.s, "another option has the same value");
    }
    return e;
}

static enum err check_default(
    const struct template_source *s, const char *path, struct template_parameter *p)
{
    struct template_path place = template_path("%s.required", path);
    enum err e =
        template_read_bool(s, place.s, p->required_text, p->default_value == NULL, &p->required);
    if (e != ERR_OK || p->required) {
        bool both = e == ERR_OK && p->default_value != NULL;
        return both ? template_wrong(s, place.s, "one that is required has no default") : e;
    }
    if (p->default_value == NULL)
        p->default_value = mem_strdup("");
    return check_value(s, template_path("%s.default", path).s, p, p->default_value);
}

static enum err check_parameter(
    const struct template_source *s, const char *path, struct template_parameter *p)
{
    enum err e = template_read_word(
        s, template_path("%s.type", path).s, "string number bool list(string)", &p->type);
    if (e == ERR_OK)
        e = template_read_bool(
            s, template_path("%s.mutable", path).s, p->mutable_text, false, &p->is_mutable);
    if (e == ERR_OK && p->validation != NULL)
        e = check_validation(s, template_path("%s.validation", path).s, p);
    if (e == ERR_OK)
        e = check_options(s, path, p);
    return e == ERR_OK ? check_default(s, path, p) : e;
}

/* ---- presets ---- */

static const struct template_parameter *find(const struct template *t, const char *name)
{
    for (unsigned i = 0; i < t->parameters_count; i++)
        if (strcmp(t->parameters[i].name, name) == 0)
            return &t->parameters[i];
    return NULL;
}

static enum err check_values(const struct template_source *s, const char *path,
    const struct template *t, const struct template_preset *p)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < p->values_count; i++) {
        struct template_path place = template_path("%s.parameters[%u]", path, i);
        const struct template_value *v = &p->values[i];
        const struct template_parameter *of = find(t, v->name);
        if (of == NULL)
            return template_wrong(s, place.s, "there is no parameter \"%.64s\"", v->name);
        e = check_value(s, place.s, of, v->value);
        for (unsigned k = 0; e == ERR_OK && k < i; k++)
            if (strcmp(p->values[k].name, v->name) == 0)
                return template_wrong(s, place.s, "%.64s is there twice", v->name);
    }
    return e;
}

static enum err check_preset(const struct template_source *s, struct template *t, unsigned nth)
{
    struct template_preset *p = &t->presets[nth];
    struct template_path path = template_path("presets[%u]", nth);
    enum err e = template_read_bool(
        s, template_path("%s.default", path.s).s, p->default_text, false, &p->is_default);
    if (e == ERR_OK && (p->name[0] == '\0' || strlen(p->name) > 128))
        return template_wrong(
            s, template_path("%s.name", path.s).s, "a preset's name has 1-128 bytes");
    for (unsigned i = 0; e == ERR_OK && i < nth; i++) {
        if (strcmp(t->presets[i].name, p->name) == 0)
            return template_wrong(s, path.s, "another preset has this name already");
        if (t->presets[i].is_default && p->is_default)
            return template_wrong(s, path.s, "another preset is the default already");
    }
    return e == ERR_OK ? check_values(s, path.s, t, p) : e;
}

enum err template_check_parameters(const struct template_source *s, struct template *t)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; e == ERR_OK && i < t->parameters_count; i++) {
        struct template_path path = template_path("parameters[%u]", i);
        e = check_name(s, template_path("%s.name", path.s).s, t, i);
        if (e == ERR_OK)
            e = check_parameter(s, path.s, &t->parameters[i]);
    }
    for (unsigned i = 0; e == ERR_OK && i < t->presets_count; i++)
        e = check_preset(s, t, i);
    return e;
}
