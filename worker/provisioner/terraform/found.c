/* SPDX-License-Identifier: Apache-2.0 */
/* found.c - instances of the state, the task's agent and what belongs to it. */
#include "worker/provisioner/terraform/found.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "worker/provisioner/terraform/json.h"
#include "worker/provisioner/terraform/plan_part.h"

/* ---- walking ---- */

struct instance {
    const json_t *resource, *instance, *attributes;
    const char *type, *name;
};
typedef void (*each_fn)(void *arg, const struct instance *i);

static void each_managed(const json_t *state, each_fn each, void *arg)
{
    size_t i, k;
    json_t *resource, *instance;
    json_array_foreach(json_object_get(state, "resources"), i, resource)
    {
        if (strcmp(tf_text(resource, "mode"), "managed") != 0)
            continue;
        json_array_foreach(json_object_get(resource, "instances"), k, instance)
        {
            const struct instance one = {resource, instance,
                json_object_get(instance, "attributes"), tf_text(resource, "type"),
                tf_text(resource, "name")};
            each(arg, &one);
        }
    }
}

static bool is_of(const struct instance *i, const char *type)
{
    return strcmp(i->type, type) == 0;
}

static bool is_coders(const struct instance *i)
{
    return strncmp(i->type, "coder_", 6) == 0;
}

/* ---- the task's app and agent ---- */

struct finding {
    const json_t *state;
    const char *app_id, *agent_id; /* the task's */
    unsigned ai_tasks;
    struct instance app, agent;
    json_t *out; /* what is being made */
};

static void find_ai_task(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    if (!is_of(i, "coder_ai_task"))
        return;
    f->ai_tasks++;
    f->app_id = tf_text(i->attributes, "app_id");
    if (f->app_id[0] == '\0')
        f->app_id = tf_text(tf_block(i->attributes, "sidebar_app"), "id");
}

static void find_app(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    if (is_of(i, "coder_app") && strcmp(tf_text(i->attributes, "id"), f->app_id) == 0)
        f->app = *i;
}

/* The one with the task's app; the first, where there is none. */
static void find_agent(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    const char *wanted = tf_text(f->app.attributes, "agent_id");
    if (is_of(i, "coder_agent") &&
        (wanted[0] != '\0' ? strcmp(tf_text(i->attributes, "id"), wanted) == 0
                           : f->agent.attributes == NULL))
        f->agent = *i;
}

static enum err find_task(struct finding *f, struct errctx *ctx)
{
    f->app_id = "";
    each_managed(f->state, find_ai_task, f);
    if (f->ai_tasks > 1)
        return err_set(ctx, ERR_INVALID,
            "only one 'coder_ai_task' resource can be provisioned per template, found %u",
            f->ai_tasks);
    if (f->app_id[0] != '\0')
        each_managed(f->state, find_app, f);
    if (f->app_id[0] != '\0' && f->app.attributes == NULL)
        return err_set(ctx, ERR_INVALID,
            "coder_ai_task: no coder_app has the id %.60s: say app_id = coder_app.NAME.id",
            f->app_id);
    each_managed(f->state, find_agent, f);
    f->agent_id = tf_text(f->agent.attributes, "id");
    return ERR_OK;
}

/* ---- the agent's manifest ---- */

static bool is_the_agents(const struct finding *f, const struct instance *i, const char *type)
{
    return is_of(i, type) && strcmp(tf_text(i->attributes, "agent_id"), f->agent_id) == 0;
}

static void take_script(void *arg, const struct instance *i)
{
    static const char *const keys[] = {"id", "display_name", "icon", "script", "log_path", "cron",
        "run_on_start", "run_on_stop", "start_blocks_login", "timeout", NULL};
    struct finding *f = arg;
    if (!is_the_agents(f, i, "coder_script"))
        return;
    json_t *o = json_object();
    tf_take(o, i->attributes, keys);
    json_array_append_new(json_object_get(f->out, "scripts"), o);
}

static void take_app(void *arg, const struct instance *i)
{
    static const char *const keys[] = {"id", "slug", "display_name", "icon", "url", "command",
        "external", "share", "subdomain", "hidden", "open_in", "order", "group", NULL};
    static const char *const check_keys[] = {"url", "interval", "threshold", NULL};
    struct finding *f = arg;
    if (!is_the_agents(f, i, "coder_app"))
        return;
    json_t *o = json_object();
    const json_t *check = tf_block(i->attributes, "healthcheck");
    tf_take(o, i->attributes, keys);
    if (check != NULL) {
        json_t *h = json_object();
        tf_take(h, check, check_keys);
        json_object_set_new(o, "healthcheck", h);
    }
    json_array_append_new(json_object_get(f->out, "apps"), o);
}

/* Several of one name: the later one counts, unless it says how they are put together. */
static void take_env(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    if (!is_the_agents(f, i, "coder_env"))
        return;
    json_t *env = json_object_get(f->out, "env");
    const char *name = tf_text(i->attributes, "name"), *value = tf_text(i->attributes, "value");
    const char *how = tf_text(i->attributes, "merge_strategy");
    const char *there = json_string_value(json_object_get(env, name));
    bool append = strcmp(how, "append") == 0, prepend = strcmp(how, "prepend") == 0;
    if (there == NULL || !(append || prepend)) {
        json_object_set_new(env, name, json_string(value));
        return;
    }
    struct strbuf b;
    strbuf_init(&b);
    strbuf_addf(&b, "%s:%s", append ? there : value, append ? value : there);
    json_object_set_new(env, name, json_string(b.s));
    strbuf_done(&b);
}

static json_t *metadata_of(const json_t *attributes)
{
    static const char *const keys[] = {
        "key", "display_name", "script", "interval", "timeout", "order", NULL};
    json_t *list = json_array(), *m;
    size_t i;
    json_array_foreach(json_object_get(attributes, "metadata"), i, m)
    {
        json_t *o = json_object();
        tf_take(o, m, keys);
        json_array_append_new(list, o);
    }
    return list;
}

static char *agent_json(struct finding *f)
{
    static const char *const keys[] = {"id", "os", "arch", "dir", "startup_script",
        "startup_script_behavior", "shutdown_script", "connection_timeout", "motd_file",
        "troubleshooting_url", "order", NULL};
    const json_t *a = f->agent.attributes;
    const json_t *env = json_object_get(a, "env"), *display = tf_block(a, "display_apps");
    f->out = json_pack("{s:s, s:[], s:[], s:s}", "name", f->agent.name, "scripts", "apps",
        "task_app", tf_text(f->app.attributes, "slug"));
    tf_take(f->out, a, keys);
    json_object_set_new(
        f->out, "env", json_is_object(env) ? json_copy((json_t *)(uintptr_t)env) : json_object());
    json_object_set_new(f->out, "display_apps",
        display != NULL ? json_copy((json_t *)(uintptr_t)display) : json_object());
    json_object_set_new(f->out, "metadata", metadata_of(a));
    each_managed(f->state, take_script, f);
    each_managed(f->state, take_app, f);
    each_managed(f->state, take_env, f);
    char *text = json_dumps(f->out, JSON_COMPACT);
    json_decref(f->out);
    f->out = NULL;
    return text;
}

struct app_list {
    const struct finding *f;
    struct build_found *ret;
};

static void list_app(void *arg, const struct instance *i)
{
    struct app_list *l = arg;
    struct build_found *b = l->ret;
    if (!is_the_agents(l->f, i, "coder_app"))
        return;
    b->app = mem_realloc(b->app, (b->n_app + 1) * sizeof(*b->app));
    b->app[b->n_app++] = (struct import_app){.slug = tf_copy(i->attributes, "slug"),
        .display_name = tf_copy(i->attributes, "display_name"),
        .icon = tf_copy(i->attributes, "icon"),
        .url = tf_copy(i->attributes, "url"),
        .has_health_check = tf_block(i->attributes, "healthcheck") != NULL};
}

/* ---- resources ---- */

/* Agents that the resource was made with: what it depends on says so. */
static json_t *agents_of(const struct instance *i)
{
    json_t *list = json_array(), *d;
    size_t k;
    json_array_foreach(json_object_get(i->instance, "dependencies"), k, d)
    {
        const char *at = strstr(json_string_value(d), "coder_agent.");
        if (at != NULL)
            json_array_append_new(list, json_string(at + strlen("coder_agent.")));
    }
    return list;
}

static void take_resource(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    if (is_coders(i))
        return;
    scoped_free char *address = tf_instance_address(i->resource, i->instance);
    json_array_append_new(
        f->out, json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:[], s:o, s:s}", "address", address,
                    "type", i->type, "name", i->name, "icon", "", "hide", 0, "daily_cost", 0,
                    "metadata", "agents", agents_of(i), "id", tf_text(i->attributes, "id")));
}

static void take_metadata(void *arg, const struct instance *i)
{
    struct finding *f = arg;
    const char *id = tf_text(i->attributes, "resource_id");
    size_t k;
    json_t *r;
    if (!is_of(i, "coder_metadata") || id[0] == '\0')
        return;
    json_array_foreach(f->out, k, r) if (strcmp(tf_text(r, "id"), id) == 0)
        plan_put_metadata(r, i->attributes);
}

static char *resources_json(struct finding *f)
{
    f->out = json_array();
    each_managed(f->state, take_resource, f);
    each_managed(f->state, take_metadata, f);
    char *text = json_dumps(f->out, JSON_COMPACT);
    json_decref(f->out);
    f->out = NULL;
    return text;
}

/* ---- the whole ---- */

enum err found_read(
    const char *state, size_t n, bool with_agent, struct build_found *ret, struct errctx *ctx)
{
    json_t *o = json_loadb(state, n, 0, NULL);
    struct finding f = {.state = o};
    enum err e = with_agent ? find_task(&f, ctx) : ERR_OK;
    if (e == ERR_OK)
        ret->resources = resources_json(&f);
    if (e == ERR_OK && f.agent.attributes != NULL) {
        struct app_list l = {&f, ret};
        ret->agent = agent_json(&f);
        each_managed(f.state, list_app, &l);
    }
    json_decref(o);
    return e;
}

static void look(void *arg, const struct instance *i)
{
    *(bool *)arg = *(bool *)arg || !is_coders(i);
}

bool found_anything(const char *state, size_t n)
{
    bool any = false;
    json_t *o = json_loadb(state, n, 0, NULL);
    each_managed(o, look, &any);
    json_decref(o);
    return any;
}

/* provider["registry.terraform.io/hashicorp/null"], maybe with an alias behind it */
static void add_provider(struct strbuf *b, json_t *known, const char *provider)
{
    const char *source = strchr(provider, '"');
    size_t n = source != NULL ? strcspn(source + 1, "\"") : 0;
    char text[300], name[40];
    snprintf(text, sizeof(text), "%.*s", (int)n, source != NULL ? source + 1 : "");
    if (n == 0 || strncmp(text, "terraform.io/builtin/", 21) == 0 ||
        json_object_get(known, text) != NULL)
        return;
    snprintf(name, sizeof(name), "p%zu", json_object_size(known));
    json_object_set_new(known, text, json_true());
    const char *last = strrchr(text, '/');
    strbuf_addf(b, "    %s = { source = \"%s\" }\n", last != NULL ? last + 1 : name, text);
}

char *found_stub(const char *state, size_t n)
{
    struct strbuf b;
    size_t i;
    json_t *o = json_loadb(state, n, 0, NULL), *known = json_object(), *resource;
    strbuf_init(&b);
    strbuf_addstr(&b, "terraform {\n  required_providers {\n");
    json_array_foreach(json_object_get(o, "resources"), i, resource)
        add_provider(&b, known, tf_text(resource, "provider"));
    strbuf_addstr(&b, "  }\n}\n");
    json_decref(known);
    json_decref(o);
    return strbuf_detach(&b);
}
