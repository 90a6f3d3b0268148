/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest's keys are rows (manifest_key.h), its tables are lists of such rows.  What is not
 * one value (env, agentapi, health) has a reader of its own.
 */
#include "agent/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/file.h"
#include "agent/manifest_key.h"
#include "core/base/cron.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

#define MANIFEST_BYTES_MAX (8 * 1024 * 1024)
#define SECRETS_BYTES_MAX  (1024 * 1024)
#define NAME_MAX_BYTES     MANIFEST_NAME_MAX
#define DAY_MS             86400000
#define ROOT               "manifest"

#define AT(field) offsetof(struct manifest, field)
static const struct key root_keys[] = {
    {"agent_id",       KEY_UUID,      AT(agent_id),       NULL,                 0, 0,                NULL},
    {"task_id",        KEY_UUID,      AT(task_id),        NULL,                 0, 0,                NULL},
    {"workspace_id",   KEY_UUID,      AT(workspace_id),   NULL,                 0, 0,                NULL},
    {"build_id",       KEY_UUID,      AT(build_id),       NULL,                 0, 0,                NULL},
    {"agent_token",    KEY_UUID_TEXT, AT(agent_token),    NULL,                 0, 0,                NULL},
    {"task_name",      KEY_WORD,      AT(task_name),      NULL,                 0, 0,                NULL},
    {"workspace_name", KEY_WORD,      AT(workspace_name), NULL,                 0, 0,                NULL},
    {"owner_name",     KEY_WORD,      AT(owner_name),     NULL,                 0, 0,                NULL},
    {"template_name",  KEY_WORD,      AT(template_name),  NULL,                 0, 0,                NULL},
    {"app_slug",       KEY_WORD,      AT(app_slug),       NULL,                 0, NAME_MAX_BYTES,   NULL},
    {"build_number",   KEY_NUMBER,    AT(build_number),   NULL,                 1, INT32_MAX,        NULL},
    {"command",        KEY_ARGV,      AT(command),        "",                   0, 0,                NULL},
    {"dir",            KEY_PATH,      AT(dir),            "/home/agent",        0, 0,                NULL},
    {"prompt",         KEY_TEXT,      AT(prompt),         NULL,                 0, PROMPT_BYTES_MAX, NULL},
    {"grace_ms",       KEY_NUMBER,    AT(grace_ms),       "10000",              0, 3600000,          NULL},
    {"workers_dir",    KEY_PATH,      AT(workers_dir),    "/run/stint/workers", 0, 0,                NULL},
    {"secrets_file",   KEY_PATH,      AT(secrets_file),   "",                   0, 0,                NULL},
};
#undef AT

#define AT(field) offsetof(struct manifest_app, field)
static const struct key app_keys[] = {
    {"slug",         KEY_WORD,   AT(slug),         NULL,         0, NAME_MAX_BYTES, NULL                     },
    {"display_name", KEY_TEXT,   AT(display_name), "",           0, 0,              NULL                     },
    {"command",      KEY_ARGV,   AT(command),      "",           0, 0,              NULL                     },
    {"dir",          KEY_PATH,   AT(dir),          "",           0, 0,              NULL                     },
    {"restart",      KEY_CHOICE, AT(restart),      "on-failure", 0, 0,              "on-failure|always|never"},
};
#undef AT

#define AT(field) offsetof(struct manifest_health, field)
static const struct key health_keys[] = {
    {"url",         KEY_URL,    AT(url),         NULL,   0,   0,       NULL},
    {"interval_ms", KEY_NUMBER, AT(interval_ms), "3000", 100, 3600000, NULL},
    {"threshold",   KEY_NUMBER, AT(threshold),   "20",   1,   1000,    NULL},
};
#undef AT

#define AT(field) offsetof(struct manifest_script, field)
static const struct key script_keys[] = {
    {"name",       KEY_WORD,   AT(name),        NULL,    0, NAME_MAX_BYTES, NULL             },
    {"command",    KEY_ARGV,   AT(command),     NULL,    0, 0,              NULL             },
    {"run",        KEY_CHOICE, AT(run),         NULL,    0, 0,              "start|stop|cron"},
    {"cron",       KEY_TEXT,   AT(cron),        "",      0, 0,              NULL             },
    {"blocking",   KEY_FLAG,   AT(is_blocking), "false", 0, 0,              NULL             },
    {"timeout_ms", KEY_NUMBER, AT(timeout_ms),  "0",     0, DAY_MS,         NULL             },
};
#undef AT

#define AT(field) offsetof(struct manifest_metadata, field)
static const struct key metadata_keys[] = {
    {"key",          KEY_WORD,   AT(key),          NULL,    0,    NAME_MAX_BYTES, NULL},
    {"display_name", KEY_TEXT,   AT(display_name), "",      0,    0,              NULL},
    {"command",      KEY_ARGV,   AT(command),      NULL,    0,    0,              NULL},
    {"interval_ms",  KEY_NUMBER, AT(interval_ms),  "10000", 1000, DAY_MS,         NULL},
    {"timeout_ms",   KEY_NUMBER, AT(timeout_ms),   "5000",  100,  DAY_MS,         NULL},
};
#undef AT

static const struct key agentapi_keys[] = {
    {"port",                     KEY_NUMBER, offsetof(struct manifest_agentapi, port),        "3284",  0, 65535, NULL},
    {"enable_state_persistence", KEY_FLAG,   offsetof(struct manifest_agentapi, keeps_state), "false",
     0,                                                                                                   0,     NULL},
};

/* ---- env ---- */

static enum err check_env_name(
    const char *name, const char *where, const char *key, struct errctx *ctx)
{
    if (name[0] != '\0' && strchr(name, '=') == NULL)
        return ERR_OK;
    return manifest_bad(ctx, where, key, "has a name that is empty or has a '=' in it");
}

static enum err read_pairs(
    struct env_pairs *to, json_t *env, const char *where, const char *key, struct errctx *ctx)
{
    if (env == NULL)
        return ERR_OK;
    if (!json_is_object(env))
        return manifest_bad(ctx, where, key, "must be an object of texts");
    to->v = mem_calloc(json_object_size(env) + 1, sizeof(*to->v));
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        enum err e = check_env_name(name, where, key, ctx);
        if (e != ERR_OK)
            return e;
        if (!json_is_string(value))
            return err_set(
                ctx, ERR_CONFIG, "%s: \"%s\": \"%.64s\" must be a text", where, key, name);
        to->v[to->n++] = (struct env_pair){
            .name = mem_strdup(name), .value = mem_strdup(json_string_value(value))};
    }
    return ERR_OK;
}

static enum err read_env(struct manifest *m, json_t *root, struct errctx *ctx)
{
    struct env_pairs env = {0};
    enum err e = read_pairs(&env, json_object_get(root, "env"), ROOT, "env", ctx);
    m->env = env.v;
    m->n_env = env.n;
    return e;
}

static void free_pairs(struct env_pair *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].name);
        free(v[i].value);
    }
    free(v);
}

/* ---- tables ---- */

struct table {
    const char *name;
    const struct key *keys; /* the first is the row's name: no two rows have the same */
    size_t n_keys, size;
    enum err (*read_rest)(void *row, json_t *object, const char *where, struct errctx *ctx);
};

static enum err check_unique(
    const struct table *t, const char *rows, size_t n, const char *where, struct errctx *ctx)
{
    const char *name = *(char *const *)(const void *)(rows + n * t->size + t->keys[0].offset);
    for (size_t i = 0; i < n; i++) {
        const char *other = *(char *const *)(const void *)(rows + i * t->size + t->keys[0].offset);
        if (strcmp(name, other) == 0)
            return manifest_bad(ctx, where, t->keys[0].name, "is that of an earlier one");
    }
    return ERR_OK;
}

/* *ret_n counts the row that is being read too, so that what it owns is freed. */
static enum err read_table(
    const struct table *t, const json_t *root, void *ret_rows, size_t *ret_n, struct errctx *ctx)
{
    const json_t *list = json_object_get(root, t->name);
    if (list == NULL)
        return ERR_OK;
    if (!json_is_array(list))
        return manifest_bad(ctx, ROOT, t->name, "must be a list of objects");
    /* One more: the task's app may have to be added. */
    char *rows = mem_calloc(json_array_size(list) + 1, t->size);
    *(void **)ret_rows = rows;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *object = json_array_get(list, i);
        char where[64];
        snprintf(where, sizeof(where), ROOT ": %s[%zu]", t->name, i);
        if (!json_is_object(object))
            return err_set(ctx, ERR_CONFIG, "%s must be an object", where);
        char *row = rows + i * t->size;
        *ret_n = i + 1;
        enum err e = manifest_keys_read(row, t->keys, t->n_keys, object, where, ctx);
        if (e == ERR_OK)
            e = check_unique(t, rows, i, where, ctx);
        if (e == ERR_OK && t->read_rest != NULL)
            e = t->read_rest(row, object, where, ctx);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void use_name(char **display_name, const char *name)
{
    if ((*display_name)[0] != '\0')
        return;
    free(*display_name);
    *display_name = mem_strdup(name);
}

static enum err read_app_rest(void *row, json_t *object, const char *where, struct errctx *ctx)
{
    struct manifest_app *app = row;
    use_name(&app->display_name, app->slug);
    enum err e = read_pairs(&app->env, json_object_get(object, "env"), where, "env", ctx);
    const json_t *health = json_object_get(object, "health");
    if (e != ERR_OK || health == NULL)
        return e;
    if (!json_is_object(health))
        return manifest_bad(ctx, where, "health", "must be an object");
    char inner[80];
    snprintf(inner, sizeof(inner), "%s.health", where);
    return manifest_keys_read(&app->health, health_keys, COUNT(health_keys), health, inner, ctx);
}

static enum err read_script_rest(void *row, json_t *object, const char *where, struct errctx *ctx)
{
    (void)object;
    const struct manifest_script *s = row;
    struct cron ignored;
    if (s->run != SCRIPT_CRON)
        return s->cron[0] == '\0'
                   ? ERR_OK
                   : manifest_bad(ctx, where, "cron", "is for \"run\": \"cron\" only");
    if (s->cron[0] == '\0')
        return manifest_bad(ctx, where, "cron", "is missing");
    if (cron_parse(s->cron, &ignored, ctx) != ERR_OK)
        return err_set(ctx, ERR_CONFIG, "%s: \"cron\": %s", where, ctx->text);
    return ERR_OK;
}

static enum err read_metadata_rest(void *row, json_t *object, const char *where, struct errctx *ctx)
{
    (void)object, (void)where, (void)ctx;
    struct manifest_metadata *md = row;
    use_name(&md->display_name, md->key);
    return ERR_OK;
}

static const struct table app_table = {
    "apps", app_keys, COUNT(app_keys), sizeof(struct manifest_app), read_app_rest};
static const struct table script_table = {
    "scripts", script_keys, COUNT(script_keys), sizeof(struct manifest_script), read_script_rest};
static const struct table metadata_table = {"metadata", metadata_keys, COUNT(metadata_keys),
    sizeof(struct manifest_metadata), read_metadata_rest};

/* ---- the task's app ---- */

static enum err read_agentapi(struct manifest *m, const json_t *root, struct errctx *ctx)
{
    const json_t *value = json_object_get(root, "agentapi");
    if (value == NULL && m->command == NULL)
        return manifest_bad(ctx, ROOT, "command", "is missing, and there is no \"agentapi\"");
    if (value == NULL)
        return ERR_OK;
    if (!json_is_object(value))
        return manifest_bad(ctx, ROOT, "agentapi", "must be an object");
    if (m->command != NULL)
        return manifest_bad(ctx, ROOT, "command", "and \"agentapi\" exclude each other");
    const json_t *prompt = json_object_get(value, "prompt");
    const char *word = prompt == NULL ? "send" : json_string_value(prompt);
    if (word == NULL || (strcmp(word, "send") != 0 && strcmp(word, "none") != 0))
        return manifest_bad(ctx, ROOT ": agentapi", "prompt", "must be one of send|none");
    m->agentapi.is_on = true;
    m->agentapi.sends_prompt = strcmp(word, "send") == 0;
    return manifest_keys_read(
        &m->agentapi, agentapi_keys, COUNT(agentapi_keys), value, ROOT ": agentapi", ctx);
}

const struct manifest_app *manifest_find_app(const struct manifest *m, const char *slug)
{
    for (size_t i = 0; i < m->n_apps; i++)
        if (strcmp(m->apps[i].slug, slug) == 0)
            return &m->apps[i];
    return NULL;
}

/* It is always among the apps, and watched if it speaks AgentAPI. */
static void complete_apps(struct manifest *m)
{
    if (m->apps == NULL)
        m->apps = mem_calloc(1, sizeof(*m->apps));
    if (manifest_find_app(m, m->app_slug) == NULL)
        m->apps[m->n_apps++] = (struct manifest_app){
            .slug = mem_strdup(m->app_slug), .display_name = mem_strdup(m->app_slug)};
    if (!m->agentapi.is_on)
        return;
    for (size_t i = 0; i < m->n_apps; i++)
        if (strcmp(m->apps[i].slug, m->app_slug) == 0 && m->apps[i].health.url == NULL)
            m->apps[i].health =
                (struct manifest_health){mem_strdup("http://localhost:${AGENTAPI_PORT}/status"),
                    .interval_ms = 3000, .threshold = 20};
}

/* ---- the whole ---- */

static enum err check_version(const json_t *root, struct errctx *ctx)
{
    if (!json_is_object(root))
        return err_set(ctx, ERR_CONFIG, ROOT ": not a JSON object");
    const json_t *version = json_object_get(root, "version");
    if (version == NULL)
        return manifest_bad(ctx, ROOT, "version", "is missing");
    if (!json_is_integer(version) || json_integer_value(version) != 1)
        return manifest_bad(
            ctx, ROOT, "version", "must be 1; this agent is older or newer than its provisioner");
    return ERR_OK;
}

static enum err read_root(struct manifest *m, json_t *root, struct errctx *ctx)
{
    enum err e = check_version(root, ctx);
    if (e == ERR_OK)
        e = manifest_keys_read(m, root_keys, COUNT(root_keys), root, ROOT, ctx);
    if (e == ERR_OK)
        e = read_agentapi(m, root, ctx);
    if (e == ERR_OK)
        e = read_env(m, root, ctx);
    if (e == ERR_OK)
        e = read_table(&app_table, root, &m->apps, &m->n_apps, ctx);
    if (e == ERR_OK)
        e = read_table(&script_table, root, &m->scripts, &m->n_scripts, ctx);
    if (e == ERR_OK)
        e = read_table(&metadata_table, root, &m->metadata, &m->n_metadata, ctx);
    if (e == ERR_OK)
        complete_apps(m);
    return e;
}

enum err manifest_parse(
    const char *json, size_t n, struct manifest **ret_manifest, struct errctx *ctx)
{
    json_error_t error;
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return err_set(ctx, ERR_CONFIG, ROOT ": line %d: %s", error.line, error.text);
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

/* What jansson says of a damaged file may quote it: only the line is told. */
enum err manifest_load_secrets(struct manifest *m, struct errctx *ctx)
{
    if (m->secrets_file == NULL)
        return ERR_OK;
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    enum err e = file_read(AT_FDCWD, m->secrets_file, SECRETS_BYTES_MAX, &text, ctx);
    if (e != ERR_OK)
        return e;
    json_error_t error;
    json_t *root = json_loadb(text.s, text.len, JSON_REJECT_DUPLICATES, &error);
    memset(text.s, 0, text.len);
    if (root == NULL)
        return err_set(ctx, ERR_CONFIG, "%s: not JSON, line %d", m->secrets_file, error.line);
    e = read_pairs(&m->secrets, root, ROOT, "secrets_file", ctx);
    json_decref(root);
    if (e == ERR_OK && unlink(m->secrets_file) != 0)
        log_debug("the file of secrets stays error=%s", LOG_Q(strerror(errno)));
    return e;
}

static void app_done(struct manifest_app *app)
{
    manifest_keys_done(app, app_keys, COUNT(app_keys));
    manifest_keys_done(&app->health, health_keys, COUNT(health_keys));
    free_pairs(app->env.v, app->env.n);
}

void manifest_free(struct manifest *m)
{
    if (m == NULL)
        return;
    manifest_keys_done(m, root_keys, COUNT(root_keys));
    free_pairs(m->env, m->n_env);
    free_pairs(m->secrets.v, m->secrets.n);
    for (size_t i = 0; i < m->n_apps; i++)
        app_done(&m->apps[i]);
    for (size_t i = 0; i < m->n_scripts; i++)
        manifest_keys_done(&m->scripts[i], script_keys, COUNT(script_keys));
    for (size_t i = 0; i < m->n_metadata; i++)
        manifest_keys_done(&m->metadata[i], metadata_keys, COUNT(metadata_keys));
    free(m->apps);
    free(m->scripts);
    free(m->metadata);
    free(m);
}
