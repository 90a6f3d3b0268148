/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - the schema as rows for libcyaml, and the reading of the file.
 *
 * libcyaml reports through a log callback, several lines per error (what, then where, innermost
 * first): the first line and the first "line:" are what a person needs, the rest is left out.
 */
#include "worker/provisioner/template.h"

#include <cyaml/cyaml.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/parameter.h"
#include "core/base/text.h"
#include "worker/file.h"
#include "worker/provisioner/template_part.h"

/* ---- schema ---- */

/* Numbers and yes-or-no are read as text: libcyaml would take "5x" for 5 and any word for true. */

#define TEXT(key, struct_, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct_, member, 0, 4096)
#define TEXT_NEEDED(key, struct_, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct_, member, 0, 16384)

#define MAPPING(type, fields)                                        \
    {                                                                \
        CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct type, fields) \
    }
/* A list may be left out; its length is in <member>_count. */
#define LIST(key, struct_, member, schema, max) \
    CYAML_FIELD_SEQUENCE(                       \
        key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct_, member, &(schema), 0, max)
#define PART(key, struct_, member, fields) \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct_, member, fields)

static const cyaml_schema_value_t argument_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 32768)};
#define COMMAND(struct_) LIST("command", struct_, command, argument_schema, 256)

static const cyaml_schema_field_t env_fields[] = {
    TEXT_NEEDED("name", struct template_env, name),
    CYAML_FIELD_STRING_PTR(
        "value", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct template_env, value, 0, 16384),
    TEXT("secret", struct template_env, secret),
    TEXT("optional", struct template_env, optional_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t env_schema = MAPPING(template_env, env_fields);

static const cyaml_schema_field_t mount_fields[] = {
    TEXT_NEEDED("name", struct template_mount, name),
    TEXT_NEEDED("to", struct template_mount, to),
    TEXT("optional", struct template_mount, optional_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t mount_schema = MAPPING(template_mount, mount_fields);

static const cyaml_schema_field_t limit_fields[] = {
    TEXT("memory", struct template_limits, memory),
    TEXT("file_size", struct template_limits, file_size),
    TEXT("cpus", struct template_limits, cpus),
    TEXT("pids", struct template_limits, pids_text),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t health_fields[] = {
    TEXT_NEEDED("url", struct template_health, url),
    TEXT("interval", struct template_health, interval),
    TEXT("threshold", struct template_health, threshold_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t app_fields[] = {
    TEXT_NEEDED("slug", struct template_app, slug),
    TEXT("display_name", struct template_app, display_name),
    TEXT("icon", struct template_app, icon),
    TEXT("url", struct template_app, url),
    COMMAND(struct template_app),
    LIST("env", struct template_app, env, env_schema, 256),
    TEXT("dir", struct template_app, dir),
    TEXT("restart", struct template_app, restart),
    PART("health", struct template_app, health, health_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t app_schema = MAPPING(template_app, app_fields);

static const cyaml_schema_field_t agentapi_fields[] = {
    TEXT("port", struct template_agentapi, port_text),
    TEXT("prompt", struct template_agentapi, prompt),
    TEXT("enable_state_persistence", struct template_agentapi, persistence_text),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t script_fields[] = {
    TEXT_NEEDED("name", struct template_script, name),
    TEXT("run", struct template_script, run),
    TEXT("cron", struct template_script, cron),
    COMMAND(struct template_script),
    TEXT("blocking", struct template_script, blocking_text),
    TEXT("timeout", struct template_script, timeout),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t script_schema = MAPPING(template_script, script_fields);

static const cyaml_schema_field_t metadata_fields[] = {
    TEXT_NEEDED("key", struct template_metadata, key),
    TEXT("display_name", struct template_metadata, display_name),
    COMMAND(struct template_metadata),
    TEXT("interval", struct template_metadata, interval),
    TEXT("timeout", struct template_metadata, timeout),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t metadata_schema = MAPPING(template_metadata, metadata_fields);

static const cyaml_schema_field_t option_fields[] = {
    TEXT_NEEDED("name", struct template_option, name),
    TEXT_NEEDED("value", struct template_option, value),
    TEXT("description", struct template_option, description),
    TEXT("icon", struct template_option, icon),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t option_schema = MAPPING(template_option, option_fields);

static const cyaml_schema_field_t validation_fields[] = {
    TEXT("regex", struct template_validation, regex),
    TEXT("error", struct template_validation, error),
    TEXT("min", struct template_validation, min_text),
    TEXT("max", struct template_validation, max_text),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t parameter_fields[] = {
    TEXT_NEEDED("name", struct template_parameter, name),
    TEXT("display_name", struct template_parameter, display_name),
    TEXT("description", struct template_parameter, description),
    TEXT("icon", struct template_parameter, icon),
    TEXT("type", struct template_parameter, type),
    CYAML_FIELD_STRING_PTR("default", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
        struct template_parameter, default_value, 0, 16384),
    TEXT("required", struct template_parameter, required_text),
    TEXT("mutable", struct template_parameter, mutable_text),
    LIST("options", struct template_parameter, options, option_schema, OPTIONS_MAX),
    PART("validation", struct template_parameter, validation, validation_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t parameter_schema = MAPPING(template_parameter, parameter_fields);

static const cyaml_schema_field_t value_fields[] = {
    TEXT_NEEDED("name", struct template_value, name),
    TEXT_NEEDED("value", struct template_value, value),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t value_schema = MAPPING(template_value, value_fields);

static const cyaml_schema_field_t preset_fields[] = {
    TEXT_NEEDED("name", struct template_preset, name),
    TEXT("description", struct template_preset, description),
    TEXT("icon", struct template_preset, icon),
    TEXT("default", struct template_preset, default_text),
    CYAML_FIELD_SEQUENCE("parameters", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
        struct template_preset, values, &value_schema, 0, PARAMETERS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t preset_schema = MAPPING(template_preset, preset_fields);

static const cyaml_schema_field_t template_fields[] = {
    TEXT("name", struct template, name),
    TEXT("display_name", struct template, display_name),
    TEXT("description", struct template, description),
    TEXT("icon", struct template, icon),
    COMMAND(struct template),
    PART("agentapi", struct template, agentapi, agentapi_fields),
    PART("app", struct template, app, app_fields),
    LIST("apps", struct template, apps, app_schema, 31),
    LIST("scripts", struct template, scripts, script_schema, 64),
    LIST("metadata", struct template, metadata, metadata_schema, 32),
    LIST("env", struct template, env, env_schema, 256),
    LIST("parameters", struct template, parameters, parameter_schema, PARAMETERS_MAX),
    LIST("presets", struct template, presets, preset_schema, PRESETS_MAX),
    TEXT("dir", struct template, dir),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct template, limits, limit_fields),
    TEXT("network", struct template, network_text),
    LIST("mounts", struct template, mounts, mount_schema, TEMPLATE_MOUNTS_MAX),
    TEXT("grace", struct template, grace),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t template_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct template, template_fields)};

/* ---- parsing ---- */

struct complaint {
    char what[160];
    char where[80];
};

/* "Load: Unexpected key: netwrok", then "  in mapping field 'x' (line: 3, column: 1)". */
static void note_complaint(cyaml_log_t level, void *arg, const char *fmt, va_list ap)
{
    struct complaint *c = arg;
    char line[256];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';

    const char *place = strstr(line, "line: ");
    unsigned number;
    if (place != NULL && c->where[0] == '\0' && sscanf(place, "line: %u", &number) == 1)
        snprintf(c->where, sizeof(c->where), "line %u: ", number);
    const char *what = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    if (c->what[0] == '\0' && what[0] != ' ' && strncmp(what, "Backtrace", 9) != 0)
        snprintf(c->what, sizeof(c->what), "%.159s", what);
}

/* libcyaml tells where the mapping begins that has the key; better is where the key stands. */
static void find_key(struct complaint *c, const char *text, size_t n)
{
    static const char unexpected[] = "Unexpected key: ";
    if (strncmp(c->what, unexpected, sizeof(unexpected) - 1) != 0)
        return;
    const char *key = c->what + sizeof(unexpected) - 1;
    size_t len = strlen(key);
    unsigned line = 1;
    for (size_t i = 0; i + len < n; line += text[i++] == '\n') {
        bool begins = i == 0 || strchr(" \n{,\"'", text[i - 1]) != NULL;
        if (begins && memcmp(text + i, key, len) == 0 && strchr(": \"'", text[i + len]) != NULL) {
            snprintf(c->where, sizeof(c->where), "line %u: ", line);
            return;
        }
    }
}

static void *cyaml_memory(void *ctx, void *p, size_t n)
{
    (void)ctx;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return mem_realloc(p, n);
}

static cyaml_config_t config_for(struct complaint *c)
{
    return (cyaml_config_t){
        .log_fn = note_complaint,
        .log_ctx = c,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_memory,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

void template_free(struct template *t)
{
    struct complaint ignored = {0};
    const cyaml_config_t config = config_for(&ignored);
    if (t != NULL)
        (void)cyaml_free(&config, &template_schema, t, 0);
}

static enum err parse_yaml(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx)
{
    struct complaint c = {0};
    const cyaml_config_t config = config_for(&c);
    void *loaded = NULL;
    cyaml_err_t failure =
        cyaml_load_data((const uint8_t *)text, n, &config, &template_schema, &loaded, NULL);
    find_key(&c, text, n);
    if (failure != CYAML_OK || loaded == NULL)
        return err_set(ctx, ERR_CONFIG, TEMPLATE_FILE ": %s%s", c.where,
            c.what[0] != '\0'     ? c.what
            : failure == CYAML_OK ? "the file is empty"
                                  : cyaml_strerror(failure));
    *ret_template = loaded;
    return ERR_OK;
}

enum err template_parse(
    const char *text, size_t n, struct template **ret_template, struct errctx *ctx)
{
    if (n > TEMPLATE_BYTES_MAX)
        return err_set(
            ctx, ERR_CONFIG, TEMPLATE_FILE ": larger than %d KiB", TEMPLATE_BYTES_MAX / 1024);
    if (!text_is_utf8(text, n))
        return err_set(ctx, ERR_CONFIG, TEMPLATE_FILE ": not valid UTF-8");
    scoped(template_freep) struct template *t = NULL;
    enum err e = parse_yaml(text, n, &t, ctx);
    if (e == ERR_OK)
        e = template_check(&(struct template_source){text, n, ctx}, t);
    if (e == ERR_OK)
        *ret_template = steal(t);
    return e;
}

enum err template_load(const char *template_dir, template_warn_fn warn, void *arg,
    struct template **ret_template, struct errctx *ctx)
{
    scoped_fd int dir_fd = -1;
    enum err e = file_open_dir(AT_FDCWD, template_dir, &dir_fd, ctx);
    if (e != ERR_OK)
        return e;
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    e = file_read(dir_fd, TEMPLATE_FILE, TEMPLATE_BYTES_MAX + 1, &text, ctx);
    if (e == ERR_NOT_FOUND)
        return err_set(ctx, ERR_CONFIG,
            "the archive has no " TEMPLATE_FILE
            " at its top; pack the directory's content, not the directory");
    if (e != ERR_OK)
        return e;
    scoped(template_freep) struct template *t = NULL;
    e = template_parse(text.s, text.len, &t, ctx);
    if (e == ERR_OK)
        e = template_check_programs(
            &(struct template_source){text.s, text.len, ctx}, t, dir_fd, warn, arg);
    if (e == ERR_OK)
        *ret_template = steal(t);
    return e;
}
