/* SPDX-License-Identifier: Apache-2.0 */
/* reference.c - modules as a chain from the root; expressions as lists of what they mention. */
#include "worker/provisioner/terraform/reference.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "worker/provisioner/terraform/json.h"

#define DEPTH_MAX 24
#define STEPS_MAX 64

/* A module, and who called it. */
struct scope {
    const struct scope *parent;
    const json_t *module; /* of the configuration */
    const json_t *call;   /* NULL: the root */
    const char *name;
    size_t n;
};

static char *path_in(const struct scope *s, const char *rest)
{
    struct strbuf b;
    const struct scope *chain[DEPTH_MAX];
    size_t n = 0;
    for (; s->parent != NULL && n < DEPTH_MAX; s = s->parent)
        chain[n++] = s;
    strbuf_init(&b);
    while (n > 0)
        strbuf_addf(&b, "module.%.*s.", (int)chain[n - 1]->n, chain[n - 1]->name), n--;
    strbuf_addstr(&b, rest);
    return strbuf_detach(&b);
}

/* The first two words of "a.b.c". */
static char *two_words(const char *plain)
{
    size_t n = strcspn(plain, ".");
    if (plain[n] == '.')
        n += 1 + strcspn(plain + n + 1, ".");
    return mem_strndup(plain, n);
}

static char *follow_all(
    const struct scope *s, const json_t *expression, const char *type, int steps);

static const json_t *output_of(const json_t *module, const char *name)
{
    return json_object_get(json_object_get(json_object_get(module, "outputs"), name), "expression");
}

/* "module.NAME" alone: an index that is not a literal hides which output is meant.  That of Coder's
 * modules, else any that leads to what is looked for. */
static char *follow_any_output(const struct scope *child, const char *type, int steps)
{
    char *found = follow_all(child, output_of(child->module, "task_app_id"), type, steps);
    const char *name;
    json_t *output;
    json_object_foreach(json_object_get(child->module, "outputs"), name, output) if (found == NULL)
        found = follow_all(child, json_object_get(output, "expression"), type, steps);
    return found;
}

/* "module.NAME.OUTPUT" */
static char *follow_output(const struct scope *s, const char *plain, const char *type, int steps)
{
    const char *name = plain + strlen("module.");
    size_t n = strcspn(name, ".");
    scoped_free char *key = mem_strndup(name, n);
    const json_t *call = json_object_get(json_object_get(s->module, "module_calls"), key);
    struct scope child = {
        .parent = s, .module = json_object_get(call, "module"), .call = call, .name = key, .n = n};
    if (name[n] != '.')
        return follow_any_output(&child, type, steps);
    const char *output = name + n + 1;
    scoped_free char *out = mem_strndup(output, strcspn(output, "."));
    return follow_all(&child, output_of(child.module, out), type, steps);
}

/* "var.NAME": what the caller has given. */
static char *follow_variable(const struct scope *s, const char *plain, const char *type, int steps)
{
    if (s->parent == NULL)
        return NULL;
    const char *name = plain + strlen("var.");
    scoped_free char *key = mem_strndup(name, strcspn(name, "."));
    const json_t *given = json_object_get(json_object_get(s->call, "expressions"), key);
    return follow_all(s->parent, given, type, steps);
}

static char *follow(const struct scope *s, const char *reference, const char *type, int steps)
{
    scoped_free char *plain = tf_plain_address(reference);
    size_t n = strlen(type);
    if (n == 0 || (strncmp(plain, type, n) == 0 && plain[n] == '.')) {
        bool other = strncmp(plain, "module.", 7) == 0 || strncmp(plain, "var.", 4) == 0;
        if (n > 0 || !other) {
            scoped_free char *words = two_words(plain);
            return strchr(words, '.') != NULL ? path_in(s, words) : NULL;
        }
    }
    if (strncmp(plain, "module.", 7) == 0)
        return follow_output(s, plain, type, steps);
    if (strncmp(plain, "var.", 4) == 0)
        return follow_variable(s, plain, type, steps);
    return NULL;
}

/* The first reference of the expression that leads to one of this type ("": to anything). */
static char *follow_all(
    const struct scope *s, const json_t *expression, const char *type, int steps)
{
    size_t i;
    json_t *reference;
    if (steps > STEPS_MAX)
        return NULL;
    json_array_foreach(json_object_get(expression, "references"), i, reference)
    {
        char *found = follow(s, json_string_value(reference), type, steps + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/* ---- by address ---- */

typedef char *(*in_scope_fn)(const struct scope *s, const json_t *resource);

static const json_t *resource_in(const json_t *module, const char *address)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(module, "resources"), i,
        r) if (strcmp(tf_text(r, "address"), address) == 0) return r;
    return NULL;
}

static char *descend(const struct scope *s, const char *address, int depth, in_scope_fn fn)
{
    if (strncmp(address, "module.", 7) != 0) {
        const json_t *r = resource_in(s->module, address);
        return r != NULL ? fn(s, r) : NULL;
    }
    const char *name = address + 7;
    size_t n = strcspn(name, ".");
    scoped_free char *key = mem_strndup(name, n);
    if (name[n] != '.' || depth >= DEPTH_MAX)
        return NULL;
    const json_t *call = json_object_get(json_object_get(s->module, "module_calls"), key);
    struct scope child = {
        .parent = s, .module = json_object_get(call, "module"), .call = call, .name = name, .n = n};
    return descend(&child, name + n + 1, depth + 1, fn);
}

static char *at(const json_t *plan, const char *address, in_scope_fn fn)
{
    struct scope root = {
        .module = json_object_get(json_object_get(plan, "configuration"), "root_module")};
    return descend(&root, address, 0, fn);
}

static char *app_of(const struct scope *s, const json_t *resource)
{
    const json_t *e = json_object_get(resource, "expressions");
    char *found = follow_all(s, json_object_get(e, "app_id"), "coder_app", 0);
    if (found != NULL)
        return found;
    return follow_all(s, json_object_get(tf_block(e, "sidebar_app"), "id"), "coder_app", 0);
}

char *reference_of_ai_task(const json_t *plan, const char *address)
{
    return at(plan, address, app_of);
}

static char *subject_of(const struct scope *s, const json_t *resource)
{
    const json_t *e = json_object_get(resource, "expressions");
    return follow_all(s, json_object_get(e, "resource_id"), "", 0);
}

bool reference_metadata_is_of(const json_t *plan, const char *address, const char *resource)
{
    scoped_free char *subject = at(plan, address, subject_of);
    return subject != NULL && strcmp(subject, resource) == 0;
}
