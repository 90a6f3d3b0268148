/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest's keys are rows: where each goes, what it may be.  The two that are not one value
 * (command, env) have a reader of their own.
 */
#include "agent/manifest.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/file.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

#define MANIFEST_BYTES_MAX (8 * 1024 * 1024)

enum key_type { KEY_UUID, KEY_UUID_TEXT, KEY_WORD, KEY_TEXT, KEY_PATH, KEY_NUMBER };

struct key {
    const char *name;
    enum key_type type;
    size_t offset;
    const char *initial; /* NULL: the key is required */
    json_int_t min, max; /* KEY_NUMBER */
};

#define AT(field) offsetof(struct manifest, field)
static const struct key keys[] = {
    {"agent_id",       KEY_UUID,      AT(agent_id),       NULL,                 0, 0        },
    {"task_id",        KEY_UUID,      AT(task_id),        NULL,                 0, 0        },
    {"workspace_id",   KEY_UUID,      AT(workspace_id),   NULL,                 0, 0        },
    {"build_id",       KEY_UUID,      AT(build_id),       NULL,                 0, 0        },
    {"agent_token",    KEY_UUID_TEXT, AT(agent_token),    NULL,                 0, 0        },
    {"task_name",      KEY_WORD,      AT(task_name),      NULL,                 0, 0        },
    {"workspace_name", KEY_WORD,      AT(workspace_name), NULL,                 0, 0        },
    {"owner_name",     KEY_WORD,      AT(owner_name),     NULL,                 0, 0        },
    {"template_name",  KEY_WORD,      AT(template_name),  NULL,                 0, 0        },
    {"app_slug",       KEY_WORD,      AT(app_slug),       NULL,                 0, 0        },
    {"build_number",   KEY_NUMBER,    AT(build_number),   NULL,                 1, INT32_MAX},
    {"dir",            KEY_PATH,      AT(dir),            "/home/agent",        0, 0        },
    {"prompt",         KEY_TEXT,      AT(prompt),         NULL,                 0, 0        },
    {"grace_ms",       KEY_NUMBER,    AT(grace_ms),       "10000",              0, 3600000  },
    {"workers_dir",    KEY_PATH,      AT(workers_dir),    "/run/stint/workers", 0, 0        },
};

static enum err bad(struct errctx *ctx, const char *key, const char *what)
{
    return err_set(ctx, ERR_CONFIG, "manifest: \"%s\" %s", key, what);
}

static void *field(struct manifest *m, const struct key *key)
{
    return (char *)m + key->offset;
}

static enum err read_number(
    struct manifest *m, const struct key *key, const json_t *value, struct errctx *ctx)
{
    if (!json_is_integer(value))
        return bad(ctx, key->name, "must be a whole number");
    json_int_t n = json_integer_value(value);
    if (n < key->min || n > key->max)
        return err_set(ctx, ERR_CONFIG, "manifest: \"%s\" must be from %lld to %lld, not %lld",
            key->name, (long long)key->min, (long long)key->max, (long long)n);
    *(int64_t *)field(m, key) = n;
    return ERR_OK;
}

static const char *wrong_text(enum key_type type, const char *text, size_t n)
{
    struct uuid ignored;
    switch (type) {
    case KEY_UUID_TEXT:
        return uuid_parse(text, &ignored) ? NULL : "must be a uuid";
    case KEY_WORD:
        return n > 0 ? NULL : "must not be empty";
    case KEY_PATH:
        return text[0] == '/' ? NULL : "must be an absolute path";
    case KEY_TEXT:
        return n <= PROMPT_BYTES_MAX ? NULL : "must not be longer than 1 MiB";
    case KEY_UUID:
    case KEY_NUMBER:
        break;
    }
    return NULL;
}

static enum err read_text(
    struct manifest *m, const struct key *key, const json_t *value, struct errctx *ctx)
{
    if (!json_is_string(value))
        return bad(ctx, key->name, "must be a text");
    const char *text = json_string_value(value);
    if (key->type == KEY_UUID)
        return uuid_parse(text, field(m, key)) ? ERR_OK : bad(ctx, key->name, "must be a uuid");
    const char *wrong = wrong_text(key->type, text, json_string_length(value));
    if (wrong != NULL)
        return bad(ctx, key->name, wrong);
    *(char **)field(m, key) = mem_strdup(text);
    return ERR_OK;
}

static enum err read_key(
    struct manifest *m, const struct key *key, const json_t *root, struct errctx *ctx)
{
    const json_t *value = json_object_get(root, key->name);
    if (value == NULL && key->initial == NULL)
        return bad(ctx, key->name, "is missing");
    if (value == NULL && key->type == KEY_NUMBER)
        *(int64_t *)field(m, key) = strtoll(key->initial, NULL, 10);
    else if (value == NULL)
        *(char **)field(m, key) = mem_strdup(key->initial);
    else if (key->type == KEY_NUMBER)
        return read_number(m, key, value, ctx);
    else
        return read_text(m, key, value, ctx);
    return ERR_OK;
}

static enum err read_command(struct manifest *m, const json_t *root, struct errctx *ctx)
{
    const json_t *list = json_object_get(root, "command");
    if (list == NULL)
        return bad(ctx, "command", "is missing");
    size_t n = json_array_size(list);
    if (n == 0)
        return bad(ctx, "command", "must be a list of at least one text");
    m->command = mem_calloc(n + 1, sizeof(*m->command));
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(list, i));
        if (word == NULL || (i == 0 && word[0] == '\0'))
            return bad(ctx, "command", "must be a list of texts, the first not empty");
        m->command[i] = mem_strdup(word);
    }
    return ERR_OK;
}

static enum err read_env(struct manifest *m, json_t *root, struct errctx *ctx)
{
    json_t *env = json_object_get(root, "env");
    if (env == NULL)
        return ERR_OK;
    if (!json_is_object(env))
        return bad(ctx, "env", "must be an object of texts");
    m->env = mem_calloc(json_object_size(env) + 1, sizeof(*m->env));
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        if (name[0] == '\0' || strchr(name, '=') != NULL)
            return bad(ctx, "env", "has a name that is empty or has a '=' in it");
        if (!json_is_string(value))
            return err_set(ctx, ERR_CONFIG, "manifest: \"env\": \"%s\" must be a text", name);
        m->env[m->n_env++] = (struct env_pair){
            .name = mem_strdup(name), .value = mem_strdup(json_string_value(value))};
    }
    return ERR_OK;
}

static enum err read_root(struct manifest *m, json_t *root, struct errctx *ctx)
{
    if (!json_is_object(root))
        return err_set(ctx, ERR_CONFIG, "manifest: not a JSON object");
    const json_t *version = json_object_get(root, "version");
    if (version == NULL)
        return bad(ctx, "version", "is missing");
    if (!json_is_integer(version) || json_integer_value(version) != 1)
        return bad(ctx, "version", "must be 1; this agent is older or newer than its provisioner");
    for (size_t i = 0; i < COUNT(keys); i++) {
        enum err e = read_key(m, &keys[i], root, ctx);
        if (e != ERR_OK)
            return e;
    }
    enum err e = read_command(m, root, ctx);
    return e != ERR_OK ? e : read_env(m, root, ctx);
}

enum err manifest_parse(
    const char *json, size_t n, struct manifest **ret_manifest, struct errctx *ctx)
{
    json_error_t error;
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return err_set(ctx, ERR_CONFIG, "manifest: line %d: %s", error.line, error.text);
    scoped(manifest_freep) struct manifest *m = mem_alloc(sizeof(*m));
    enum err e = read_root(m, root, ctx);
    json_decref(root);
    if (e == ERR_OK)
        *ret_manifest = steal(m);
    return e;
}

enum err manifest_load(const char *path, struct manifest **ret_manifest, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    enum err e = file_read(AT_FDCWD, path, MANIFEST_BYTES_MAX, &text, ctx);
    return e != ERR_OK ? e : manifest_parse(text.s, text.len, ret_manifest, ctx);
}

void manifest_free(struct manifest *m)
{
    if (m == NULL)
        return;
    char *texts[] = {m->agent_token, m->task_name, m->workspace_name, m->owner_name,
        m->template_name, m->app_slug, m->dir, m->prompt, m->workers_dir};
    for (size_t i = 0; i < COUNT(texts); i++)
        free(texts[i]);
    for (size_t i = 0; m->command != NULL && m->command[i] != NULL; i++)
        free(m->command[i]);
    for (size_t i = 0; i < m->n_env; i++) {
        free(m->env[i].name);
        free(m->env[i].value);
    }
    free(m->command);
    free(m->env);
    free(m);
}
