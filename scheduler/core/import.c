/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c - what an import has found out about a template version, and a build about the world, as
 * rows.
 *
 * The worker has checked it; here it is only kept from being too much.
 */
#include "core/base/cleanup.h"
#include "core/base/parameter.h"
#include "scheduler/core/model.h"

#define APPS_MAX      64 /* of a template version */
#define VARIABLES_MAX 256

/* ---- apps ---- */

static void take_app(struct core *c, const struct uuid *version_id, const struct row_version_app *a,
    const char *task_app)
{
    *vec_push(&c->out->version_apps) = (struct row_version_app){.version_id = *version_id,
        .slug = effects_strdup(c->out, a->slug),
        .display_name = effects_strdup(c->out, a->display_name),
        .icon = effects_strdup(c->out, a->icon),
        .url = effects_strdup(c->out, a->url),
        .has_health_check = a->has_health_check,
        .is_task_app = strcmp(a->slug, task_app) == 0};
}

/* Workers of an earlier version tell the slug of the task's app alone. */
static void take_apps(struct core *c, const struct uuid *version_id, const struct job_result *r)
{
    const char *task_app = r->app_slug != NULL ? r->app_slug : "";
    bool has_task_app = task_app[0] == '\0';
    for (size_t i = 0; i < r->n_apps && i < APPS_MAX; i++) {
        if (r->apps[i].slug[0] == '\0')
            continue;
        take_app(c, version_id, &r->apps[i], task_app);
        has_task_app = has_task_app || strcmp(r->apps[i].slug, task_app) == 0;
    }
    struct row_version_app alone = {.slug = task_app, .display_name = "", .icon = "", .url = ""};
    if (!has_task_app)
        take_app(c, version_id, &alone, task_app);
}

/* ---- parameters and presets ---- */

static const char *type_of(const struct row_version_parameter *p)
{
    static const char *const types[] = {"string", "number", "bool", "list(string)"};
    for (size_t i = 0; i < COUNT(types); i++)
        if (p->type != NULL && strcmp(p->type, types[i]) == 0)
            return types[i];
    return types[0];
}

static void take_options(
    struct core *c, const struct uuid *version_id, const struct import_parameter *p)
{
    for (size_t i = 0; i < p->n_options && i < OPTIONS_MAX; i++) {
        const struct row_version_option *o = &p->options[i];
        *vec_push(&c->out->version_options) = (struct row_version_option){.version_id = *version_id,
            .parameter = effects_strdup(c->out, p->row.name),
            .name = effects_strdup(c->out, o->name),
            .value = effects_strdup(c->out, o->value),
            .description = effects_strdup(c->out, o->description),
            .icon = effects_strdup(c->out, o->icon)};
    }
}

static void take_parameters(
    struct core *c, const struct uuid *version_id, const struct job_result *r)
{
    for (size_t i = 0; i < r->n_parameters && i < PARAMETERS_MAX; i++) {
        struct row_version_parameter row = r->parameters[i].row;
        row.version_id = *version_id;
        row.position = (int32_t)i;
        row.type = type_of(&row);
        row.name = effects_strdup(c->out, row.name);
        row.display_name = effects_strdup(c->out, row.display_name);
        row.description = effects_strdup(c->out, row.description);
        row.icon = effects_strdup(c->out, row.icon);
        row.default_value = effects_strdup(c->out, row.default_value);
        row.regex = effects_strdup(c->out, row.regex);
        row.error = effects_strdup(c->out, row.error);
        *vec_push(&c->out->version_parameters) = row;
        take_options(c, version_id, &r->parameters[i]);
    }
}

static void take_presets(struct core *c, const struct uuid *version_id, const struct job_result *r)
{
    for (size_t i = 0; i < r->n_presets && i < PRESETS_MAX; i++) {
        const struct import_preset *p = &r->presets[i];
        struct row_version_preset row = p->row;
        row.version_id = *version_id;
        row.id = core_uuid(c);
        row.position = (int32_t)i;
        row.name = effects_strdup(c->out, row.name);
        row.description = effects_strdup(c->out, row.description);
        row.icon = effects_strdup(c->out, row.icon);
        row.parameters = effects_texts(c->out, p->parameters, p->n_parameters);
        *vec_push(&c->out->version_presets) = row;
    }
}

/* ---- variables ---- */

static void take_variables(
    struct core *c, const struct uuid *version_id, const struct job_result *r)
{
    for (size_t i = 0; i < r->n_variables && i < VARIABLES_MAX; i++) {
        struct row_version_variable row = r->variables[i];
        row.version_id = *version_id;
        row.position = (int32_t)i;
        row.name = effects_strdup(c->out, row.name);
        row.description = effects_strdup(c->out, row.description);
        row.type = effects_strdup(c->out, row.type);
        row.default_value = effects_strdup(c->out, row.default_value);
        *vec_push(&c->out->version_variables) = row;
    }
}

/* ---- the whole ---- */

static const char *json_or_null(struct core *c, const char *json)
{
    return json != NULL && json[0] != '\0' ? effects_strdup(c->out, json) : NULL;
}

void import_take_build(struct core *c, struct job *j, const struct job_result *r)
{
    if (r->resources == NULL || r->resources[0] == '\0')
        return;
    *vec_push(&c->out->builds_found) = (struct row_build_found){.build_id = j->task->build_id,
        .resources = effects_strdup(c->out, r->resources),
        .agent = json_or_null(c, r->agent)};
    const struct agent *a = j->kind == JOB_START ? j->task->agent : NULL;
    for (size_t i = 0; a != NULL && i < r->n_apps && i < APPS_MAX; i++)
        *vec_push(&c->out->agent_apps) = (struct row_agent_app){.agent_id = a->id,
            .slug = effects_strdup(c->out, r->apps[i].slug),
            .display_name = effects_strdup(c->out, r->apps[i].display_name),
            .icon = effects_strdup(c->out, r->apps[i].icon),
            .url = effects_strdup(c->out, r->apps[i].url),
            .has_health_check = r->apps[i].has_health_check};
}

void import_take(struct core *c, struct job *j, const struct job_result *r)
{
    const struct import *i = container_of(j, struct import, job);
    take_apps(c, &i->version_id, r);
    take_parameters(c, &i->version_id, r);
    take_presets(c, &i->version_id, r);
    take_variables(c, &i->version_id, r);
    *vec_push(&c->out->versions) = (struct row_version_done){.id = i->version_id,
        .has_ai_task = r->has_ai_task,
        .app_slug = effects_strdup(c->out, r->app_slug),
        .resources = json_or_null(c, r->resources),
        .external_auth = json_or_null(c, r->external_auth)};
}
