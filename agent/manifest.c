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

/* A key that has no initial value is required. */
#define ROW(key_type, key_name, field, ...)                                          \
    {                                                                                \
        .name = (key_name), .type = KEY_##key_type, .offset = AT(field), __VA_ARGS__ \
    }

#define AT(field) offsetof(struct manifest, field)
static const struct key root_keys[] = {
    ROW(UUID, "agent_id", agent_id),
    ROW(UUID, "task_id", task_id),
    ROW(UUID, "workspace_id", workspace_id),
    ROW(UUID, "build_id", build_id),
    ROW(UUID_TEXT, "agent_token", agent_token),
    ROW(WORD, "task_name", task_name),
    ROW(WORD, "workspace_name", workspace_name),
    ROW(WORD, "owner_name", owner_name),
    ROW(WORD, "template_name", template_name),
    ROW(WORD, "app_slug", app_slug, .max = NAME_MAX_BYTES),
    ROW(NUMBER, "build_number", build_number, .min = 1, .max = INT32_MAX),
    ROW(ARGV, "command", command, .initial = ""),
    ROW(PATH, "dir", dir, .initial = "/home/agent"),
    ROW(TEXT, "prompt", prompt, .max = PROMPT_BYTES_MAX),
    ROW(NUMBER, "grace_ms", grace_ms, .initial = "10000", .max = 3600000),
    ROW(FLAG, "inherits_env", inherits_env, .initial = "false"),
    ROW(PATH, "workers_dir", workers_dir, .initial = "/run/stint/workers"),
    ROW(PATH, "secrets_file", secrets_file, .initial = ""),
};
#undef AT

#define AT(field) offsetof(struct manifest_app, field)
static const struct key app_keys[] = {
    ROW(WORD, "slug", slug, .max = NAME_MAX_BYTES),
    ROW(TEXT, "display_name", display_name, .initial = ""),
    ROW(ARGV, "command", command, .initial = ""),
    ROW(PATH, "dir", dir, .initial = ""),
    ROW(CHOICE, "restart", restart, .initial = "on-failure", .words = "on-failure|always|never"),
};
#undef AT

#define AT(field) offsetof(struct manifest_health, field)
static const struct key health_keys[] = {
    ROW(URL, "url", url),
    ROW(NUMBER, "interval_ms", interval_ms, .initial = "3000", .min = 100, .max = 3600000),
    ROW(NUMBER, "threshold", threshold, .initial = "20", .min = 1, .max = 1000),
};
#undef AT

#define AT(field) offsetof(struct manifest_script, field)
static const struct key script_keys[] = {
    ROW(WORD, "name", name, .max = NAME_MAX_BYTES),
    ROW(ARGV, "command", command),
    ROW(CHOICE, "run", run, .words = "start|stop|cron"),
    ROW(TEXT, "cron", cron, .initial = ""),
    ROW(FLAG, "blocking", is_blocking, .initial = "false"),
    ROW(NUMBER, "timeout_ms", timeout_ms, .initial = "0", .max = DAY_MS),
    ROW(PATH, "log_path", log_path, .initial = ""),
};
#undef AT

#define AT(field) offsetof(struct manifest_metadata, field)
static const struct key metadata_keys[] = {
    ROW(WORD, "key", key, .max = NAME_MAX_BYTES),
    ROW(TEXT, "display_name", display_name, .initial = ""),
    ROW(ARGV, "command", command),
    ROW(NUMBER, "interval_ms", interval_ms, .initial = "10000", .min = 1000, .max = DAY_MS),
    ROW(NUMBER, "timeout_ms", timeout_ms, .initial = "5000", .min = 100, .max = DAY_MS),
};
#undef AT

#define AT(field) offsetof(struct manifest_agentapi, field)
static const struct key agentapi_keys[] = {
    ROW(NUMBER, "port", port, .initial = "3284", .max = 65535),
    ROW(FLAG, "enable_state_persistence", keeps_state, .initial = "false"),
    ROW(FLAG, "watch", is_watched, .initial = "true"),
};
#undef AT

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
    if (!m->agentapi.is_on || !m->agentapi.is_watched)
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
        e = read_pairs(
            &m->parameters, json_object_get(root, "parameters"), ROOT, "parameters", ctx);
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
    free_pairs(m->parameters.v, m->parameters.n);
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
