/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - resources, apps, the task's app. */
#include "worker/provisioner/terraform/plan.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "worker/provisioner/terraform/json.h"
#include "worker/provisioner/terraform/plan_part.h"
#include "worker/provisioner/terraform/reference.h"

/* ---- walking ---- */

static void walk_module(const json_t *module, plan_each_fn each, void *arg)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(module, "resources"), i, v) each(arg, v);
    json_array_foreach(json_object_get(module, "child_modules"), i, v) walk_module(v, each, arg);
}

void plan_each_planned(const json_t *plan, plan_each_fn each, void *arg)
{
    walk_module(json_object_get(json_object_get(plan, "planned_values"), "root_module"), each, arg);
}

/* Data sources that could be read while planning are in the prior state. */
void plan_each_data(const json_t *plan, plan_each_fn each, void *arg)
{
    const json_t *values = json_object_get(json_object_get(plan, "prior_state"), "values");
    walk_module(json_object_get(values, "root_module"), each, arg);
    plan_each_planned(plan, each, arg);
}

bool plan_is_of(const json_t *resource, const char *mode, const char *type)
{
    return strcmp(tf_text(resource, "mode"), mode) == 0 &&
           strcmp(tf_text(resource, "type"), type) == 0;
}

struct counting {
    const char *type;
    unsigned n;
};

static void count(void *arg, const json_t *resource)
{
    struct counting *c = arg;
    c->n += plan_is_of(resource, "managed", c->type);
}

static unsigned count_of(const json_t *plan, const char *type)
{
    struct counting c = {.type = type};
    plan_each_planned(plan, count, &c);
    return c.n;
}

unsigned plan_ai_tasks(const json_t *plan)
{
    return count_of(plan, "coder_ai_task");
}

unsigned plan_agents(const json_t *plan)
{
    return count_of(plan, "coder_agent");
}

static bool module_mentions(const json_t *module, const char *type)
{
    size_t i;
    json_t *v;
    const char *name;
    json_array_foreach(
        json_object_get(module, "resources"), i, v) if (plan_is_of(v, "managed", type)) return true;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(module, "module_calls"), name,
        v) if (module_mentions(json_object_get(v, "module"), type)) return true;
    return false;
}

bool plan_mentions_ai_task(const json_t *plan)
{
    return module_mentions(
        json_object_get(json_object_get(plan, "configuration"), "root_module"), "coder_ai_task");
}

/* ---- apps ---- */

struct apps {
    struct import_found *found;
    VEC(char *) addresses; /* plain, of found->app, in step */
};

static void take_app(void *arg, const json_t *resource)
{
    struct apps *v = arg;
    if (!plan_is_of(resource, "managed", "coder_app"))
        return;
    const json_t *values = json_object_get(resource, "values");
    struct import_found *f = v->found;
    f->app = mem_realloc(f->app, (f->n_app + 1) * sizeof(*f->app));
    f->app[f->n_app++] = (struct import_app){.slug = tf_copy(values, "slug"),
        .display_name = tf_copy(values, "display_name"),
        .icon = tf_copy(values, "icon"),
        .url = tf_copy(values, "url"),
        .has_health_check = tf_block(values, "healthcheck") != NULL};
    *vec_push(&v->addresses) = tf_plain_address(tf_text(resource, "address"));
}

static const char *slug_at(const struct apps *v, const char *address)
{
    for (size_t i = 0; address != NULL && i < v->addresses.n; i++)
        if (strcmp(v->addresses.v[i], address) == 0)
            return v->found->app[i].slug;
    return NULL;
}

static void take_ai_task(void *arg, const json_t *resource)
{
    if (plan_is_of(resource, "managed", "coder_ai_task"))
        *(const json_t **)arg = resource;
}

/* An id that is written out, as no app can have it before it is made. */
static const char *literal_app_id(const json_t *ai_task)
{
    const json_t *values = json_object_get(ai_task, "values");
    const char *id = tf_text(values, "app_id");
    return id[0] != '\0' ? id : tf_text(tf_block(values, "sidebar_app"), "id");
}

static enum err find_task_app(
    const json_t *plan, const struct apps *apps, const char **ret_slug, struct errctx *ctx)
{
    const json_t *ai_task = NULL;
    plan_each_planned(plan, take_ai_task, &ai_task);
    scoped_free char *address = tf_plain_address(tf_text(ai_task, "address"));
    scoped_free char *app = reference_of_ai_task(plan, address);
    *ret_slug = slug_at(apps, app);
    if (*ret_slug != NULL)
        return ERR_OK;
    const char *id = literal_app_id(ai_task);
    if (id[0] != '\0')
        return err_set(ctx, ERR_INVALID,
            "%s: no coder_app has the id %.60s: say app_id = coder_app.NAME.id",
            tf_text(ai_task, "address"), id);
    if (app != NULL)
        return err_set(ctx, ERR_INVALID,
            "%s: its app is %s, which is not made when a workspace starts: is its count 0?",
            tf_text(ai_task, "address"), app);
    if (apps->addresses.n == 1) { /* it can be no other */
        *ret_slug = apps->found->app[0].slug;
        return ERR_OK;
    }
    return err_set(ctx, ERR_INVALID,
        "%s: cannot tell which of the template's %zu apps its app_id is: refer to a coder_app or "
        "to "
        "a module's output, not by way of a local value",
        tf_text(ai_task, "address"), apps->addresses.n);
}

static enum err read_apps(const json_t *plan, struct import_found *f, struct errctx *ctx)
{
    struct apps apps = {.found = f};
    const char *slug = NULL;
    enum err e = ERR_OK;
    plan_each_planned(plan, take_app, &apps);
    f->has_ai_task = plan_ai_tasks(plan) > 0;
    if (f->has_ai_task)
        e = find_task_app(plan, &apps, &slug, ctx);
    f->app_slug = mem_strdup(slug != NULL ? slug : "");
    for (size_t i = 0; i < apps.addresses.n; i++)
        free(apps.addresses.v[i]);
    vec_done(&apps.addresses);
    return e;
}

/* ---- resources ---- */

struct resource_list {
    json_t *list;
    const json_t *stop;
    const json_t *plan;
};

struct search {
    const char *address;
    bool found;
};

static void match(void *arg, const json_t *resource)
{
    struct search *s = arg;
    s->found = s->found || strcmp(tf_text(resource, "address"), s->address) == 0;
}

static void take_resource(void *arg, const json_t *resource)
{
    struct resource_list *l = arg;
    const char *type = tf_text(resource, "type");
    if (strcmp(tf_text(resource, "mode"), "managed") != 0 || strncmp(type, "coder_", 6) == 0)
        return;
    struct search s = {.address = tf_text(resource, "address")};
    plan_each_planned(l->stop, match, &s);
    json_array_append_new(
        l->list, json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:b, s:[]}", "address", s.address,
                     "type", type, "name", tf_text(resource, "name"), "icon", "", "hide", 0,
                     "daily_cost", 0, "ephemeral", !s.found, "metadata"));
}

/* coder_metadata of a resource: found by what its resource_id refers to. */
static void take_metadata(void *arg, const json_t *resource)
{
    struct resource_list *l = arg;
    if (!plan_is_of(resource, "managed", "coder_metadata"))
        return;
    const json_t *values = json_object_get(resource, "values");
    scoped_free char *address = tf_plain_address(tf_text(resource, "address"));
    size_t i;
    json_t *r;
    json_array_foreach(l->list, i, r)
    {
        scoped_free char *plain = tf_plain_address(tf_text(r, "address"));
        if (reference_metadata_is_of(l->plan, address, plain))
            plan_put_metadata(r, values);
    }
}

void plan_put_metadata(json_t *resource, const json_t *values)
{
    static const char *const keys[] = {"icon", "hide", "daily_cost", NULL};
    static const char *const item_keys[] = {"key", "value", "sensitive", NULL};
    size_t i;
    json_t *item, *list = json_array();
    tf_take(resource, values, keys);
    json_array_foreach(json_object_get(values, "item"), i, item)
    {
        json_t *o = json_pack("{s:s, s:s, s:b}", "key", "", "value", "", "sensitive", 0);
        tf_take(o, item, item_keys);
        json_array_append_new(list, o);
    }
    json_object_set_new(resource, "metadata", list);
}

static void read_resources(const json_t *start, const json_t *stop, struct import_found *f)
{
    struct resource_list l = {json_array(), stop, start};
    plan_each_planned(start, take_resource, &l);
    plan_each_planned(start, take_metadata, &l);
    f->resources = json_dumps(l.list, JSON_COMPACT);
    json_decref(l.list);
}

/* ---- the whole ---- */

static enum err check(const json_t *task, const struct import_found *f, struct errctx *ctx)
{
    unsigned n = plan_ai_tasks(task);
    if (n > 1)
        return err_set(ctx, ERR_INVALID,
            "only one 'coder_ai_task' resource can be provisioned per template, found %u", n);
    if (plan_agents(task) == 0 && (f->has_ai_task || f->n_app > 0))
        return err_set(ctx, ERR_INVALID,
            "the template makes no coder_agent: nothing in the workspace would speak to Stint; add "
            "a resource \"coder_agent\" and give its init_script and token to the workspace");
    return ERR_OK;
}

enum err plan_read(const json_t *start, const json_t *task, const json_t *stop, plan_warn_fn warn,
    void *arg, struct import_found *ret, struct errctx *ctx)
{
    enum err e = check(task, ret, ctx);
    if (e == ERR_OK)
        e = read_apps(task, ret, ctx);
    if (e == ERR_OK)
        e = check(task, ret, ctx);
    if (e != ERR_OK)
        return e;
    read_resources(task, stop, ret);
    plan_read_data(start, warn, arg, ret);
    plan_read_variables(start, ret);
    if (plan_agents(task) > 1)
        warn(arg,
            "The template makes several agents. Only the one with the task's app is connected.");
    return ERR_OK;
}
