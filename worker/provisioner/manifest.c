/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the one place where the prompt and the token leave the worker. */
#include "worker/provisioner/manifest.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "worker/file.h"

static void json_freep(json_t **j)
{
    json_decref(*j);
}

static json_t *command_of(const struct template *t)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < t->command_count; i++)
        json_array_append_new(list, json_string(t->command[i]));
    return list;
}

static json_t *env_of(const struct template *t)
{
    json_t *map = json_object();
    for (unsigned i = 0; i < t->env_count; i++)
        json_object_set_new(map, t->env[i].name, json_string(t->env[i].value));
    return map;
}

static json_t *manifest_of(
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
    json_object_set_new(m, "command", command_of(t));
    json_object_set_new(m, "env", env_of(t));
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
