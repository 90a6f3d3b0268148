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

struct import_found import_found_in(const struct template *t)
{
    struct import_found f = {
        .has_ai_task = t->app != NULL,
        .app_slug = copy_or_empty(t->app != NULL ? t->app->slug : NULL),
        .display_name = copy_or_empty(t->display_name != NULL ? t->display_name : t->name),
        .description = copy_or_empty(t->description),
        .icon = copy_or_empty(t->icon),
        .app = mem_calloc(t->apps_count + 1, sizeof(*f.app)),
    };
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
