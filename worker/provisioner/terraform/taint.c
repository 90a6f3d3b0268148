/* SPDX-License-Identifier: Apache-2.0 */
/* taint.c - instances by address. */
#include "worker/provisioner/terraform/taint.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "worker/provisioner/terraform/json.h"

void done_set_init(struct done_set *s)
{
    s->addresses = json_object();
}

void done_set_free(struct done_set *s)
{
    json_decref(s->addresses);
    s->addresses = NULL;
}

static bool is_tainted(const json_t *instance)
{
    return strcmp(tf_text(instance, "status"), "tainted") == 0;
}

typedef void (*each_fn)(void *arg, json_t *instance, const char *address);

static void each_instance(json_t *state, each_fn each, void *arg)
{
    size_t i, k;
    json_t *resource, *instance;
    json_array_foreach(json_object_get(state, "resources"), i, resource)
    {
        if (strcmp(tf_text(resource, "mode"), "managed") != 0)
            continue;
        json_array_foreach(json_object_get(resource, "instances"), k, instance)
        {
            scoped_free char *address = tf_instance_address(resource, instance);
            each(arg, instance, address);
        }
    }
}

static void put_done(void *arg, json_t *instance, const char *address)
{
    struct done_set *s = arg;
    if (!is_tainted(instance))
        json_object_set_new(s->addresses, address, json_true());
}

void done_set_add_state(struct done_set *s, const struct strbuf *state)
{
    json_t *o = json_loadb(state->s, state->len, 0, NULL);
    each_instance(o, put_done, s);
    json_decref(o);
}

void done_set_add_lines(struct done_set *s, const char *lines)
{
    scoped_free char *copy = mem_strdup(lines);
    char *rest = copy, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0')
            json_object_set_new(s->addresses, line, json_true());
}

bool done_set_hear(struct done_set *s, const char *type, const char *address, const char *action)
{
    if (strcmp(type, "apply_start") == 0 && strcmp(action, "create") == 0)
        json_object_del(s->addresses, address);
    if (strcmp(type, "apply_complete") != 0 || strcmp(action, "delete") == 0 ||
        json_object_get(s->addresses, address) != NULL)
        return false;
    json_object_set_new(s->addresses, address, json_true());
    return true;
}

static void taint(void *arg, json_t *instance, const char *address)
{
    const struct done_set *s = arg;
    if (json_object_get(s->addresses, address) == NULL)
        json_object_set_new(instance, "status", json_string("tainted"));
}

void taint_others(const struct done_set *s, const struct strbuf *state, struct strbuf *ret)
{
    json_t *o = json_loadb(state->s, state->len, 0, NULL);
    each_instance(o, taint, (void *)(uintptr_t)s);
    scoped_free char *text = json_dumps(o, JSON_INDENT(2));
    strbuf_clear(ret);
    strbuf_addstr(ret, text != NULL ? text : "");
    json_decref(o);
}
