/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_parts.c - what the import has found in a template version: parameters, presets, the
 * resources that its workspaces will have.
 */
#include <string.h>

#include "gateway/agent.h"
#include "gateway/json_out.h"
#include "gateway/resource_json.h"
#include "gateway/version.h"

/* First the version, so that one that is not there is 404; then its rows. */
static void ask_rows(
    struct request *r, const struct db_result *const *results, enum sql_id id, ask_db_fn done)
{
    const struct version_head h = version_head(results[0], 0);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, id);
    db_add_uuid(b, &h.id);
    ask_db(r, b, done);
}

/* ---- GET /templateversions/{version}/presets ---- */

/* The columns: id, name, description, icon, is_default, parameters. */
static void on_presets(struct request *r, const struct db_result *const *results)
{
    const struct db_result *p = results[0];
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(p); i++) {
        struct uuid id = db_uuid(p, i, 0);
        json_open(&r->out, '{');
        json_put_uuid(&r->out, "ID", &id);
        json_put_text(&r->out, "Name", db_text(p, i, 1));
        json_key(&r->out, "Parameters");
        json_raw(&r->out, db_text(p, i, 5), strlen(db_text(p, i, 5)));
        json_put_bool(&r->out, "Default", db_bool(p, i, 4));
        json_put_null(&r->out, "DesiredPrebuildInstances");
        json_put_text(&r->out, "Description", db_text(p, i, 2));
        json_put_text(&r->out, "Icon", db_text(p, i, 3));
        json_close(&r->out, '}');
    }
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void ask_presets(struct request *r, const struct db_result *const *results)
{
    ask_rows(r, results, SQL_TEMPLATE_VERSION_PRESETS, on_presets);
}

void version_presets(struct request *r)
{
    version_find(r, ask_presets);
}

/* ---- GET /templateversions/{version}/rich-parameters ---- */

/* The columns of template_version_parameters, in order. */
enum column {
    NAME,
    DISPLAY_NAME,
    DESCRIPTION,
    ICON,
    TYPE,
    MUTABLE,
    REQUIRED,
    DEFAULT_VALUE,
    OPTIONS,
    HAS_OPTIONS,
    VALIDATION_REGEX,
    VALIDATION_ERROR,
    VALIDATION_MIN,
    VALIDATION_MAX,
};

/* How a form would ask for it. */
static const char *form_type(const char *type, bool has_options)
{
    static const struct {
        const char *type, *form, *form_with_options;
    } forms[] = {
        {"string",       "input",      "radio"       },
        {"number",       "input",      "radio"       },
        {"bool",         "checkbox",   "radio"       },
        {"list(string)", "tag-select", "multi-select"},
    };
    for (size_t i = 0; i < COUNT(forms); i++)
        if (strcmp(forms[i].type, type) == 0)
            return has_options ? forms[i].form_with_options : forms[i].form;
    return "input";
}

static void write_limits(const struct db_result *p, size_t i, struct strbuf *out)
{
    json_put_text_if(out, "validation_error", db_text(p, i, VALIDATION_ERROR));
    json_put_text_if(out, "validation_regex", db_text(p, i, VALIDATION_REGEX));
    if (!db_is_null(p, i, VALIDATION_MIN))
        json_put_int(out, "validation_min", db_int(p, i, VALIDATION_MIN));
    if (!db_is_null(p, i, VALIDATION_MAX))
        json_put_int(out, "validation_max", db_int(p, i, VALIDATION_MAX));
}

static void write_parameter(const struct db_result *p, size_t i, struct strbuf *out)
{
    json_open(out, '{');
    json_put_text(out, "name", db_text(p, i, NAME));
    json_put_text(out, "display_name", db_text(p, i, DISPLAY_NAME));
    json_put_text(out, "description", db_text(p, i, DESCRIPTION));
    json_put_text(out, "description_plaintext", db_text(p, i, DESCRIPTION));
    json_put_text(out, "type", db_text(p, i, TYPE));
    json_put_text(out, "form_type", form_type(db_text(p, i, TYPE), db_bool(p, i, HAS_OPTIONS)));
    json_put_bool(out, "mutable", db_bool(p, i, MUTABLE));
    json_put_text(out, "default_value", db_text(p, i, DEFAULT_VALUE));
    json_put_text(out, "icon", db_text(p, i, ICON));
    json_key(out, "options");
    json_raw(out, db_text(p, i, OPTIONS), strlen(db_text(p, i, OPTIONS)));
    write_limits(p, i, out);
    json_put_bool(out, "required", db_bool(p, i, REQUIRED));
    json_put_bool(out, "ephemeral", false);
    json_close(out, '}');
}

static void on_parameters(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        write_parameter(results[0], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void ask_parameters(struct request *r, const struct db_result *const *results)
{
    ask_rows(r, results, SQL_TEMPLATE_VERSION_PARAMETERS, on_parameters);
}

void version_rich_parameters(struct request *r)
{
    version_find(r, ask_parameters);
}

/* ---- GET /templateversions/{version}/resources ---- */

struct resources {
    struct uuid version_id, job_id;
    int64_t created_at;
    bool has_agent;
};

/* An agent that has not begun. */
static void write_agent(const struct resources *s, const struct db_result *apps, struct strbuf *out)
{
    const struct agent_row a = {.id = s->version_id,
        .resource_id = s->version_id,
        .name = "main",
        .created_at = s->created_at,
        .connected_at = INT64_MIN,
        .disconnected_at = INT64_MIN,
        .seen = {.lifecycle = "created"}};
    agent_write(&a, &(struct agent_parts){.apps = apps}, out);
}

struct version_agent {
    const struct resources *s;
    const struct db_result *apps;
};

static void write_agent_of(void *arg, struct strbuf *out)
{
    const struct version_agent *a = arg;
    write_agent(a->s, a->apps, out);
}

/* Of a template without resources of its own: the local provisioner's. */
static const char workspace_row[] =
    "[{\"address\":\"workspace\",\"type\":\"stint_workspace\",\"name\":\"workspace\","
    "\"ephemeral\":true}]";

/* Those of a start, and those of them that a stop leaves, as Coder's import shows both. */
static void on_apps(struct request *r, const struct db_result *const *results)
{
    const struct resources *s = r->state;
    struct version_agent agent = {s, results[0]};
    const char *json = db_rows(results[1]) == 1 ? db_text(results[1], 0, 0) : "";
    struct resource_set set = {
        .json = strcmp(json, "[]") == 0 && s->has_agent ? workspace_row : json,
        .owner_id = s->version_id,
        .job_id = s->job_id,
        .created_at = s->created_at,
        .transition = "start",
        .write_agent = s->has_agent ? write_agent_of : NULL,
        .arg = &agent};
    json_open(&r->out, '[');
    (void)resources_write(&set, &r->out);
    set.transition = "stop";
    set.only_kept = true;
    set.write_agent = NULL;
    (void)resources_write(&set, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void ask_apps(struct request *r, const struct db_result *const *results)
{
    const struct version_head h = version_head(results[0], 0);
    struct resources *s = request_state(r, sizeof(*s), NULL);
    *s = (struct resources){.version_id = h.id,
        .job_id = h.job_id,
        .created_at = h.created_at,
        .has_agent = h.has_agent};
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_APPS);
    db_add_uuid(b, &h.id);
    db_batch_add(b, SQL_TEMPLATE_VERSION_RESOURCES);
    db_add_uuid(b, &h.id);
    ask_db(r, b, on_apps);
}

void version_resources(struct request *r)
{
    version_find(r, ask_apps);
}

/* ---- variables, external-auth ---- */

/* The columns of template_version_variables. */
enum variable_column {
    VARIABLE_NAME,
    VARIABLE_DESCRIPTION,
    VARIABLE_TYPE,
    VARIABLE_VALUE,
    VARIABLE_DEFAULT,
    VARIABLE_REQUIRED,
    VARIABLE_SENSITIVE,
};

static void on_variables(struct request *r, const struct db_result *const *results)
{
    const struct db_result *v = results[0];
    struct strbuf *out = &r->out;
    json_open(out, '[');
    for (size_t i = 0; i < db_rows(v); i++) {
        json_open(out, '{');
        json_put_text(out, "name", db_text(v, i, VARIABLE_NAME));
        json_put_text(out, "description", db_text(v, i, VARIABLE_DESCRIPTION));
        json_put_text(out, "type", db_text(v, i, VARIABLE_TYPE));
        json_put_text(out, "value", db_text(v, i, VARIABLE_VALUE));
        json_put_text(out, "default_value", db_text(v, i, VARIABLE_DEFAULT));
        json_put_bool(out, "required", db_bool(v, i, VARIABLE_REQUIRED));
        json_put_bool(out, "sensitive", db_bool(v, i, VARIABLE_SENSITIVE));
        json_close(out, '}');
    }
    json_close(out, ']');
    answer_json(r, 200);
}

static void ask_variables(struct request *r, const struct db_result *const *results)
{
    ask_rows(r, results, SQL_TEMPLATE_VERSION_VARIABLES, on_variables);
}

/* Terraform's; templates of the local provisioner have none. */
void version_variables(struct request *r)
{
    version_find(r, ask_variables);
}

/* Nobody can log in to them, so nobody is kept from starting a task: the token is empty then. */
static void on_external_auth(struct request *r, const struct db_result *const *results)
{
    json_t *rows = db_rows(results[0]) == 1 ? json_loads(db_text(results[0], 0, 0), 0, NULL) : NULL;
    size_t i;
    json_t *row;
    json_open(&r->out, '[');
    json_array_foreach(rows, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "id"));
        json_open(&r->out, '{');
        json_put_text(&r->out, "id", id != NULL ? id : "");
        json_put_text(&r->out, "type", "");
        json_put_text(&r->out, "display_name", id != NULL ? id : "");
        json_put_text(&r->out, "display_icon", "");
        json_put_text(&r->out, "authenticate_url", "");
        json_put_bool(&r->out, "authenticated", false);
        json_put_bool(&r->out, "optional", true);
        json_close(&r->out, '}');
    }
    json_close(&r->out, ']');
    json_decref(rows);
    answer_json(r, 200);
}

static void ask_external_auth(struct request *r, const struct db_result *const *results)
{
    ask_rows(r, results, SQL_TEMPLATE_VERSION_EXTERNAL_AUTH, on_external_auth);
}

void version_external_auth(struct request *r)
{
    version_find(r, ask_external_auth);
}
