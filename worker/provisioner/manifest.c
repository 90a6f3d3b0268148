/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the one place where the prompt and the token leave the worker.  Secrets do not. */
#include "worker/provisioner/manifest.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "core/base/parameter.h"
#include "worker/file.h"
#include "worker/provisioner/secrets.h"

static void json_freep(json_t **j)
{
    json_decref(*j);
}

/* ---- pieces ---- */

static void set_text(json_t *map, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(map, key, json_string(text));
}

static void set_command(json_t *map, char *const *command, unsigned n)
{
    if (n == 0)
        return;
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_string(command[i]));
    json_object_set_new(map, "command", list);
}

static void set_env(json_t *map, const struct template_env *env, unsigned n)
{
    json_t *pairs = json_object();
    for (unsigned i = 0; i < n; i++)
        set_text(pairs, env[i].name, env[i].value);
    json_object_set_new(map, "env", pairs);
}

/* By the names of their variables. */
static void set_parameters(json_t *map, const struct job_spec *spec)
{
    if (spec->n_parameters == 0)
        return;
    char variable[PARAMETER_VARIABLE_MAX + 1];
    json_t *pairs = json_object();
    for (size_t i = 0; i < spec->n_parameters; i++) {
        parameter_variable(spec->parameters[i].name, variable);
        set_text(pairs, variable, spec->parameters[i].value);
    }
    json_object_set_new(map, "parameters", pairs);
}

static void set_list(json_t *map, const char *key, json_t *take_list)
{
    if (json_array_size(take_list) > 0)
        json_object_set(map, key, take_list);
    json_decref(take_list);
}

/* ---- what the agent runs ---- */

static json_t *health_of(const struct template_health *h)
{
    return json_pack("{s:s, s:I, s:I}", "url", h->url, "interval_ms", (json_int_t)h->interval_ms,
        "threshold", (json_int_t)h->threshold);
}

static json_t *app_of(const struct template_app *a)
{
    json_t *app = json_object();
    set_text(app, "slug", a->slug);
    set_text(app, "display_name", a->display_name != NULL ? a->display_name : a->slug);
    if (a->command_count > 0) {
        set_command(app, a->command, a->command_count);
        set_env(app, a->env, a->env_count);
        set_text(app, "dir", a->dir);
        set_text(app, "restart", a->restart);
    }
    if (a->health != NULL)
        json_object_set_new(app, "health", health_of(a->health));
    return app;
}

static json_t *apps_of(const struct template *t)
{
    json_t *list = json_array();
    if (t->app != NULL)
        json_array_append_new(list, app_of(t->app));
    for (unsigned i = 0; i < t->apps_count; i++)
        json_array_append_new(list, app_of(&t->apps[i]));
    return list;
}

static json_t *scripts_of(const struct template *t)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < t->scripts_count; i++) {
        const struct template_script *from = &t->scripts[i];
        json_t *script = json_object();
        set_text(script, "name", from->name);
        set_text(script, "run", from->run);
        set_text(script, "cron", from->cron);
        set_command(script, from->command, from->command_count);
        json_object_set_new(script, "blocking", json_boolean(from->blocking));
        json_object_set_new(script, "timeout_ms", json_integer(from->timeout_ms));
        json_array_append_new(list, script);
    }
    return list;
}

static json_t *metadata_of(const struct template *t)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < t->metadata_count; i++) {
        const struct template_metadata *from = &t->metadata[i];
        json_t *fact = json_object();
        set_text(fact, "key", from->key);
        set_text(fact, "display_name", from->display_name != NULL ? from->display_name : from->key);
        set_command(fact, from->command, from->command_count);
        json_object_set_new(fact, "interval_ms", json_integer(from->interval_ms));
        json_object_set_new(fact, "timeout_ms", json_integer(from->timeout_ms));
        json_array_append_new(list, fact);
    }
    return list;
}

static void set_agentapi(json_t *m, const struct template_agentapi *a)
{
    if (a != NULL)
        json_object_set_new(m, "agentapi",
            json_pack("{s:I, s:s, s:b}", "port", (json_int_t)a->port, "prompt", a->prompt,
                "enable_state_persistence", (int)a->enable_state_persistence));
}

/* ---- the whole ---- */

static json_t *identity_of(
    const struct workspace *ws, const struct job_spec *spec, const struct template *t)
{
    const struct {
        const char *key;
        const struct uuid *id;
    } ids[] = {
        {"agent_id",     &spec->agent_id},
        {"task_id",      &spec->task_id },
        {"workspace_id", &ws->id        },
        {"build_id",     &spec->build_id}
    };
    const struct {
        const char *key, *text;
    } texts[] = {
        {"agent_token",    spec->agent_token   },
        {"task_name",      spec->task_name     },
        {"workspace_name", spec->workspace_name},
        {"owner_name",     spec->owner_name    },
        {"template_name",  spec->template_name },
        {"app_slug",       spec->app_slug      },
        {"dir",            t->dir              },
        {"prompt",         spec->prompt        },
        {"workers_dir",    "/run/stint/workers"}
    };

    json_t *m = json_object();
    json_object_set_new(m, "version", json_integer(1));
    for (size_t i = 0; i < COUNT(ids); i++)
        json_object_set_new(m, ids[i].key, json_string(uuid_format(ids[i].id).s));
    for (size_t i = 0; i < COUNT(texts); i++)
        json_object_set_new(m, texts[i].key, json_string(texts[i].text));
    json_object_set_new(m, "build_number", json_integer(spec->build_number));
    return m;
}

static json_t *manifest_of(
    const struct workspace *ws, const struct job_spec *spec, const struct template *t)
{
    json_t *m = identity_of(ws, spec, t);
    set_command(m, t->command, t->command_count);
    set_agentapi(m, t->agentapi);
    set_list(m, "apps", apps_of(t));
    set_list(m, "scripts", scripts_of(t));
    set_list(m, "metadata", metadata_of(t));
    set_env(m, t->env, t->env_count);
    set_parameters(m, spec);
    if (secrets_are_named(t))
        set_text(m, "secrets_file", SECRETS_FILE);
    json_object_set_new(m, "grace_ms", json_integer(t->grace_ms));
    return m;
}

enum err manifest_write(
    struct workspace *ws, const struct job_spec *spec, const struct template *t, struct errctx *ctx)
{
    scoped_fd int agent_fd = -1;
    enum err e = file_open_dir(ws->dir_fd, "agent", &agent_fd, ctx);
    if (e == ERR_OK)
        e = file_remove_tree(agent_fd, "started", ctx);
    if (e != ERR_OK)
        return e;
    scoped(json_freep) json_t *m = manifest_of(ws, spec, t);
    scoped_free char *text = json_dumps(m, JSON_COMPACT);
    if (text == NULL)
        return err_set(ctx, ERR_INTERNAL, "the manifest cannot be written as JSON");
    return file_write(agent_fd, "manifest.json", text, strlen(text),
        &(struct file_write){.mode = 0600, .owned = ws->own_user, .uid = ws->uid, .gid = ws->gid},
        ctx);
}
