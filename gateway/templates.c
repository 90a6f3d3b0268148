/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.c - templates: list, one, make, change.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/search.h"
#include "gateway/template.h"
#include "gateway/version.h"

#define BAD_QUERY       "Invalid template search query."
#define NOT_CREATED     "Validation failed."
#define NOT_UPDATED     "Invalid request to update template metadata!"
#define IN_USE          "This value is already in use and should be unique."
#define NAME_CONSTRAINT "templates_name_is_unique"
#define TEXT_MAX        1024
#define BUMP_MS_INITIAL 3600000
#define DURATION_MS_MAX (3650 * INT64_C(86400000))

bool template_may_write(struct request *r)
{
    if (rights_may(&r->who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL))
        return true;
    answer_forbidden(r);
    return false;
}

/* ---- showing ---- */

static void put_days(struct strbuf *out, const char *key, const char *days, size_t n)
{
    json_key(out, key);
    json_open(out, '{');
    json_key(out, "days_of_week");
    json_raw(out, days, n);
    if (strcmp(key, "autostop_requirement") == 0)
        json_put_int(out, "weeks", 1);
    json_close(out, '}');
}

/* What Coder's clients expect to be there and Stint has one answer to. */
static void put_fixed(struct strbuf *out)
{
    static const char week[] =
        "[\"monday\",\"tuesday\",\"wednesday\",\"thursday\",\"friday\",\"saturday\",\"sunday\"]";
    json_put_int(out, "active_user_count", 0);
    json_key(out, "build_time_stats"), json_open(out, '{'), json_close(out, '}');
    put_days(out, "autostop_requirement", "[]", 2);
    put_days(out, "autostart_requirement", week, sizeof(week) - 1);
    json_put_bool(out, "allow_user_autostart", false);
    json_put_bool(out, "allow_user_autostop", false);
    json_put_bool(out, "allow_user_cancel_workspace_jobs", true);
    json_put_int(out, "failure_ttl_ms", 0);
    json_put_int(out, "time_til_dormant_ms", 0);
    json_put_int(out, "time_til_dormant_autodelete_ms", 0);
    json_put_bool(out, "require_active_version", false);
    json_put_text(out, "max_port_share_level", "owner");
}

/* Row i of template_list. */
static void write_template(const struct db_result *t, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(t, i, 0), organization = db_uuid(t, i, 1);
    struct uuid active = db_uuid(t, i, 6), created_by = db_uuid(t, i, 10);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_time(out, "created_at", db_time_us(t, i, 12));
    json_put_time(out, "updated_at", db_time_us(t, i, 13));
    json_put_uuid(out, "organization_id", &organization);
    json_put_text(out, "organization_name", db_text(t, i, 15));
    json_put_text(out, "organization_display_name", db_text(t, i, 16));
    json_put_text(out, "organization_icon", db_text(t, i, 17));
    json_put_text(out, "name", db_text(t, i, 2));
    json_put_text(out, "display_name", db_text(t, i, 3));
    json_put_text(out, "provisioner", db_text(t, i, 14));
    json_put_uuid(out, "active_version_id", &active);
    json_put_text(out, "description", db_text(t, i, 4));
    json_put_bool(out, "deprecated", db_text(t, i, 9)[0] != '\0');
    json_put_text(out, "deprecation_message", db_text(t, i, 9));
    json_put_text(out, "icon", db_text(t, i, 5));
    json_put_int(out, "default_ttl_ms", db_int(t, i, 7));
    json_put_int(out, "activity_bump_ms", db_int(t, i, 8));
    json_put_uuid(out, "created_by_id", &created_by);
    json_put_text(out, "created_by_name", db_text(t, i, 11));
    put_fixed(out);
    json_close(out, '}');
}

/* ---- asking ---- */

static void add_flag(struct db_batch *b, int flag)
{
    if (flag < 0)
        db_add_null(b);
    else
        db_add_bool(b, flag > 0);
}

static void add_list(struct db_batch *b, const struct template_filter *f)
{
    db_batch_add(b, SQL_TEMPLATE_LIST);
    db_add_uuid(b, &f->id);
    db_add_text(b, f->name);
    db_add_text(b, f->name_part);
    add_flag(b, f->has_ai_task);
    add_flag(b, f->is_deprecated);
}

void template_ask(struct request *r, const struct template_filter *f, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    add_list(b, f);
    ask_db(r, b, done);
}

static void on_list(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        write_template(results[0], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void on_one(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    write_template(results[0], 0, &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

/* ---- GET /templates ---- */

/* -1: not asked; false in *ret_ok: neither true nor false. */
static int flag_of(const struct search *s, const char *key, bool *ret_ok)
{
    const char *value = search_get(s, key);
    if (value == NULL)
        return -1;
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    *ret_ok &= yes || strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
    return yes;
}

void template_list(struct request *r)
{
    static const char *const keys[] = {
        "name", "exact_name", "organization", "has-ai-task", "deprecated", NULL};
    const char *query = request_query(r, "q");
    struct search s;
    struct search_error e;
    if (!search_parse(query != NULL ? query : "", "name", keys, &s, &e)) {
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
        return;
    }
    bool ok = true;
    struct template_filter f = {
        .name = search_get(&s, "exact_name"),
        .name_part = search_get(&s, "name"),
        .has_ai_task = flag_of(&s, "has-ai-task", &ok),
        .is_deprecated = flag_of(&s, "deprecated", &ok),
    };
    const char *organization = search_get(&s, "organization");
    if (!ok)
        answer_invalid(r, 400, BAD_QUERY, "q", "has-ai-task and deprecated take true or false");
    else if (organization != NULL && !organization_is(r->gw, organization))
        answer_invalid(r, 400, BAD_QUERY, "organization",
            "Query param \"organization\" has invalid value: it does not exist, or you are "
            "unauthorized to view it");
    else
        template_ask(r, &f, on_list);
}

void template_list_of_organization(struct request *r)
{
    const struct template_filter any = TEMPLATE_ANY;
    if (organization_check(r))
        template_ask(r, &any, on_list);
}

void template_get(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (request_param_uuid(r, 0, &f.id))
        template_ask(r, &f, on_one);
}

void template_get_by_name(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (!organization_check(r))
        return;
    f.name = request_param(r, 1);
    template_ask(r, &f, on_one);
}

/* ---- checking ---- */

static bool check_duration(struct request *r, const char *message, const char *field, int64_t ms)
{
    if (ms >= 0 && ms <= DURATION_MS_MAX)
        return true;
    answer_invalid(r, 400, message, field,
        ms < 0 ? "Must be a positive integer." : "Must be at most 3650 days.");
    return false;
}

/* NULL: as it is. */
struct template_texts {
    const char *name, *display_name, *description, *icon, *deprecated; /* borrowed from r->json */
};

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

static bool check_texts(struct request *r, const char *message, const struct template_texts *t)
{
    if (t->name != NULL && !text_is_name(t->name))
        answer_invalid(r, 400, message, "name",
            "must be 1 to 32 letters and digits, in groups joined by single hyphens");
    else if (strlen(or_empty(t->display_name)) > TASK_DISPLAY_NAME_MAX)
        answer_invalid(r, 400, message, "display_name", "must have at most 64 bytes");
    else if (strlen(or_empty(t->description)) > TEXT_MAX || strlen(or_empty(t->icon)) > TEXT_MAX)
        answer_invalid(r, 400, message, "description",
            "description and icon must have at most 1024 bytes each");
    else if (strlen(or_empty(t->deprecated)) > TEXT_MAX)
        answer_invalid(r, 400, message, "deprecation_message", "must have at most 1024 bytes");
    return !r->is_over;
}

static void name_taken(struct request *r, const char *name)
{
    char message[160];
    snprintf(message, sizeof(message), "Template with name \"%.64s\" already exists.", name);
    answer_invalid(r, 409, message, "name", IN_USE);
}

/* ---- POST /organizations/{organization}/templates ---- */

struct new_template {
    struct uuid id, version_id;
    struct template_texts texts;
    int64_t default_ttl_ms, activity_bump_ms;
};

static void show_template(struct request *r, const struct uuid *id)
{
    struct template_filter f = TEMPLATE_ANY;
    f.id = *id;
    template_ask(r, &f, on_one);
}

static void on_made(struct request *r, const struct db_result *const *results)
{
    (void)results;
    const struct new_template *t = r->state;
    show_template(r, &t->id);
}

static void on_not_made(struct request *r, enum err code, const char *constraint)
{
    const struct new_template *t = r->state;
    if (code != ERR_CONFLICT)
        answer_db_failed(r, code);
    else if (strcmp(constraint, NAME_CONSTRAINT) == 0)
        name_taken(r, t->texts.name);
    else
        answer_error(r, 409, "A version of that name exists in this template.", NULL);
}

static void on_new_version(struct request *r, const struct db_result *const *results)
{
    struct new_template *t = r->state;
    const struct db_result *v = results[0];
    if (db_rows(v) == 0) {
        answer_invalid(r, 404, "Template version does not exist.", "template_version_id",
            "Template version does not exist");
        return;
    }
    if (!db_is_null(v, 0, 1)) {
        answer_error(r, 409, "The template version belongs to another template.", NULL);
        return;
    }
    t->id = uuid_random();
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_CREATE);
    db_add_uuid(b, &t->id);
    db_add_uuid(b, &r->gw->organization.id);
    db_add_text(b, t->texts.name);
    db_add_text(b, t->texts.display_name);
    db_add_text(b, t->texts.description);
    db_add_text(b, t->texts.icon);
    db_add_uuid(b, &t->version_id);
    db_add_uuid(b, &r->who.id);
    db_add_int8(b, t->default_ttl_ms);
    db_add_int8(b, t->activity_bump_ms);
    db_batch_add(b, SQL_TEMPLATE_VERSION_ADOPT);
    db_add_uuid(b, &t->version_id);
    db_add_uuid(b, &t->id);
    ask_db_or(r, b, on_made, on_not_made);
}

void template_create(struct request *r)
{
    if (!organization_check(r) || !template_may_write(r))
        return;
    struct new_template *t = request_state(r, sizeof(*t), NULL);
    struct template_texts *x = &t->texts;
    if (request_json(r) == NULL || !request_text(r, "name", &x->name) ||
        !request_text(r, "display_name", &x->display_name) ||
        !request_text(r, "description", &x->description) || !request_text(r, "icon", &x->icon) ||
        !request_uuid(r, "template_version_id", &t->version_id) ||
        !request_int(r, "default_ttl_ms", 0, &t->default_ttl_ms) ||
        !request_int(r, "activity_bump_ms", BUMP_MS_INITIAL, &t->activity_bump_ms) ||
        !check_texts(r, NOT_CREATED, x) ||
        !check_duration(r, NOT_CREATED, "default_ttl_ms", t->default_ttl_ms) ||
        !check_duration(r, NOT_CREATED, "activity_bump_ms", t->activity_bump_ms))
        return;
    version_ask(r, &t->version_id, NULL, NULL, on_new_version);
}

/* ---- PATCH /templates/{template} ---- */

static void on_updated(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[1]) == 0)
        answer_not_found(r);
    else if (db_affected(results[0]) == 0)
        answer_empty(r, 304);
    else
        on_one(r, results + 1);
}

static void on_not_updated(struct request *r, enum err code, const char *constraint)
{
    const struct template_texts *x = r->state;
    if (code == ERR_CONFLICT && strcmp(constraint, NAME_CONSTRAINT) == 0)
        name_taken(r, x->name);
    else
        answer_db_failed(r, code);
}

/* NULL for what is not there: it stays as it is. */
static bool read_change(struct request *r, const char *key, const char **ret_text)
{
    if (!request_text(r, key, ret_text))
        return false;
    if (!json_is_string(json_object_get(r->json, key)))
        *ret_text = NULL;
    return true;
}

static bool read_texts(struct request *r, struct template_texts *x)
{
    if (!read_change(r, "name", &x->name) || !read_change(r, "display_name", &x->display_name) ||
        !read_change(r, "description", &x->description) || !read_change(r, "icon", &x->icon) ||
        !read_change(r, "deprecation_message", &x->deprecated))
        return false;
    if (x->name != NULL && x->name[0] == '\0')
        x->name = NULL; /* a template always has one */
    return check_texts(r, NOT_UPDATED, x);
}

/* -1: as it is. */
static bool read_duration(struct request *r, const char *key, int64_t *ret_ms)
{
    if (!request_int(r, key, -1, ret_ms))
        return false;
    return !json_is_integer(json_object_get(r->json, key)) ||
           check_duration(r, NOT_UPDATED, key, *ret_ms);
}

static void add_duration(struct db_batch *b, int64_t ms)
{
    if (ms < 0)
        db_add_null(b);
    else
        db_add_int8(b, ms);
}

void template_update(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    struct template_texts *x = request_state(r, sizeof(*x), NULL);
    int64_t ttl_ms, bump_ms;
    if (!template_may_write(r) || !request_param_uuid(r, 0, &f.id) || request_json(r) == NULL ||
        !read_texts(r, x) || !read_duration(r, "default_ttl_ms", &ttl_ms) ||
        !read_duration(r, "activity_bump_ms", &bump_ms))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_UPDATE);
    db_add_uuid(b, &f.id);
    db_add_text(b, x->name);
    db_add_text(b, x->display_name);
    db_add_text(b, x->description);
    db_add_text(b, x->icon);
    db_add_text(b, x->deprecated);
    add_duration(b, ttl_ms);
    add_duration(b, bump_ms);
    add_list(b, &f);
    ask_db_or(r, b, on_updated, on_not_updated);
}
