/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - from a template to what the scheduler is told of it. */
#include "worker/provisioner/import.h"

#include <stdio.h>

#include "core/base/mem.h"

static char *copy_or_empty(const char *s)
{
    return mem_strdup(s != NULL ? s : "");
}

static struct import_app app_of(const struct template *t, const struct template_app *a)
{
    return (struct import_app){
        .slug = mem_strdup(a->slug),
        .display_name = copy_or_empty(a->display_name),
        .icon = copy_or_empty(a->icon),
        .url = copy_or_empty(a->url),
        /* The agent watches AgentAPI's status when the app names nothing else. */
        .has_health_check = a->health != NULL || (a == t->app && t->agentapi != NULL),
    };
}

static struct import_parameter parameter_of(const struct template_parameter *p)
{
    const struct template_validation *v = p->validation;
    struct import_parameter to = {.name = mem_strdup(p->name),
        .display_name = copy_or_empty(p->display_name),
        .description = copy_or_empty(p->description),
        .icon = copy_or_empty(p->icon),
        .type = mem_strdup(p->type),
        .default_value = copy_or_empty(p->default_value),
        .regex = copy_or_empty(v != NULL ? v->regex : NULL),
        .error = copy_or_empty(v != NULL ? v->error : NULL),
        .is_mutable = p->is_mutable,
        .required = p->required,
        .option = mem_calloc(p->options_count + 1, sizeof(*to.option)),
        .n_option = p->options_count};
    if (v != NULL) {
        to.has_min = v->min_text != NULL;
        to.has_max = v->max_text != NULL;
        to.min = v->min;
        to.max = v->max;
    }
    for (unsigned i = 0; i < p->options_count; i++)
        to.option[i] = (struct import_option){.name = mem_strdup(p->options[i].name),
            .value = mem_strdup(p->options[i].value),
            .description = copy_or_empty(p->options[i].description),
            .icon = copy_or_empty(p->options[i].icon)};
    return to;
}

static struct import_preset preset_of(const struct template_preset *p)
{
    struct import_preset to = {.name = mem_strdup(p->name),
        .description = copy_or_empty(p->description),
        .icon = copy_or_empty(p->icon),
        .is_default = p->is_default,
        .value = mem_calloc(p->values_count + 1, sizeof(*to.value)),
        .n_value = p->values_count};
    for (unsigned i = 0; i < p->values_count; i++)
        to.value[i] =
            (struct job_text){mem_strdup(p->values[i].name), mem_strdup(p->values[i].value)};
    return to;
}

struct import_found import_found_in(const struct template *t)
{
    struct import_found f = {
        .has_ai_task = t->app != NULL,
        .app_slug = copy_or_empty(t->app != NULL ? t->app->slug : NULL),
        .display_name = copy_or_empty(t->display_name != NULL ? t->display_name : t->name),
        .description = copy_or_empty(t->description),
        .icon = copy_or_empty(t->icon),
        .app = mem_calloc(t->apps_count + 1, sizeof(*f.app)),
        .parameter = mem_calloc(t->parameters_count + 1, sizeof(*f.parameter)),
        .preset = mem_calloc(t->presets_count + 1, sizeof(*f.preset)),
    };
    for (unsigned i = 0; i < t->parameters_count; i++)
        f.parameter[f.n_parameter++] = parameter_of(&t->parameters[i]);
    for (unsigned i = 0; i < t->presets_count; i++)
        f.preset[f.n_preset++] = preset_of(&t->presets[i]);
    if (t->app != NULL)
        f.app[f.n_app++] = app_of(t, t->app);
    for (unsigned i = 0; i < t->apps_count; i++)
        f.app[f.n_app++] = app_of(t, &t->apps[i]);
    return f;
}

const char *import_what_runs(const struct template *t)
{
    if (t->command_count > 0)
        return t->command[0];
    return t->app->command_count > 0 ? t->app->command[0] : "what its scripts start";
}

void import_look(const struct template *t, template_warn_fn warn, void *arg)
{
    char sentence[160];
    if (!t->network || t->agentapi == NULL || t->agentapi->port == 0)
        return;
    snprintf(sentence, sizeof(sentence),
        "agentapi.port: with network: true only one workspace of a host can listen on %lld; 0 lets "
        "each agent pick a port",
        (long long)t->agentapi->port);
    warn(arg, sentence);
}
