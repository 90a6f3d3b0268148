/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.c - templates: list, one, make, switch to another version.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/search.h"
#include "gateway/version.h"

#define BAD_QUERY "Invalid template search query."
#define TEXT_MAX  1024
#define IN_USE    "This value is already in use and should be unique."

bool template_may_write(struct request *r)
{
    if ((r->who.roles & (ROLE_OWNER | ROLE_TEMPLATE_ADMIN)) != 0)
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

/* NULL and negative: any. */
struct template_filter {
    struct uuid id;
    const char *name, *name_part;
    int has_ai_task, is_deprecated;
};

#define ANY_TEMPLATE                           \
    {                                          \
        .has_ai_task = -1, .is_deprecated = -1 \
    }

static void add_flag(struct db_batch *b, int flag)
{
    if (flag < 0)
        db_add_null(b);
    else
        db_add_bool(b, flag > 0);
}

static void ask_templates(struct request *r, const struct template_filter *f, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_LIST);
    db_add_uuid(b, &f->id);
    db_add_text(b, f->name);
    db_add_text(b, f->name_part);
    add_flag(b, f->has_ai_task);
    add_flag(b, f->is_deprecated);
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
        ask_templates(r, &f, on_list);
}

void template_list_of_organization(struct request *r)
{
    const struct template_filter any = ANY_TEMPLATE;
    if (organization_check(r))
        ask_templates(r, &any, on_list);
}

void template_get(struct request *r)
{
    struct template_filter f = ANY_TEMPLATE;
    if (request_param_uuid(r, 0, &f.id))
        ask_templates(r, &f, on_one);
}

void template_get_by_name(struct request *r)
{
    struct template_filter f = ANY_TEMPLATE;
    if (!organization_check(r))
        return;
    f.name = request_param(r, 1);
    ask_templates(r, &f, on_one);
}

/* ---- POST /organizations/{organization}/templates ---- */

struct new_template {
    struct uuid id, version_id;
    const char *name, *display_name, *description, *icon; /* borrowed from r->json */
    int64_t default_ttl_ms, activity_bump_ms;
};

static void show_template(struct request *r, const struct uuid *id)
{
    struct template_filter f = ANY_TEMPLATE;
    f.id = *id;
    ask_templates(r, &f, on_one);
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
    char message[160];
    if (code != ERR_CONFLICT) {
        answer_db_failed(r, code);
        return;
    }
    if (strcmp(constraint, "templates_name_is_unique") == 0) {
        snprintf(message, sizeof(message), "Template with name \"%.64s\" already exists.", t->name);
        answer_invalid(r, 409, message, "name", IN_USE);
    } else {
        answer_error(r, 409, "A version of that name exists in this template.", NULL);
    }
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
    db_add_text(b, t->name);
    db_add_text(b, t->display_name);
    db_add_text(b, t->description);
    db_add_text(b, t->icon);
    db_add_uuid(b, &t->version_id);
    db_add_uuid(b, &r->who.id);
    db_add_int8(b, t->default_ttl_ms);
    db_add_int8(b, t->activity_bump_ms);
    db_batch_add(b, SQL_TEMPLATE_VERSION_ADOPT);
    db_add_uuid(b, &t->version_id);
    db_add_uuid(b, &t->id);
    ask_db_or(r, b, on_made, on_not_made);
}

static bool check_template(struct request *r, const struct new_template *t)
{
    if (!text_is_name(t->name))
        answer_invalid(r, 400, "Validation failed.", "name",
            "must be 1 to 32 letters and digits, in groups joined by single hyphens");
    else if (strlen(t->display_name) > TASK_DISPLAY_NAME_MAX)
        answer_invalid(r, 400, "Validation failed.", "display_name", "must have at most 64 bytes");
    else if (strlen(t->description) > TEXT_MAX || strlen(t->icon) > TEXT_MAX)
        answer_invalid(r, 400, "Validation failed.", "description",
            "description and icon must have at most 1024 bytes each");
    else if (t->default_ttl_ms < 0 || t->activity_bump_ms < 0)
        answer_invalid(r, 400, "Validation failed.", "default_ttl_ms", "must not be negative");
    return !r->is_over;
}

void template_create(struct request *r)
{
    if (!organization_check(r) || !template_may_write(r))
        return;
    struct new_template *t = request_state(r, sizeof(*t), NULL);
    if (request_json(r) == NULL || !request_text(r, "name", &t->name) ||
        !request_text(r, "display_name", &t->display_name) ||
        !request_text(r, "description", &t->description) || !request_text(r, "icon", &t->icon) ||
        !request_uuid(r, "template_version_id", &t->version_id) ||
        !request_int(r, "default_ttl_ms", 0, &t->default_ttl_ms) ||
        !request_int(r, "activity_bump_ms", 3600000, &t->activity_bump_ms) || !check_template(r, t))
        return;
    version_ask(r, &t->version_id, NULL, NULL, on_new_version);
}

/* ---- PATCH /templates/{template}/versions ---- */

struct promotion {
    struct uuid template_id, version_id;
};

static void on_promoted(struct request *r, const struct db_result *const *results)
{
    (void)results;
    answer_error(r, 200, "Updated the active template version.", NULL);
}

static void on_version(struct request *r, const struct db_result *const *results)
{
    const struct promotion *p = r->state;
    const struct db_result *v = results[0];
    struct uuid belongs_to = {0};
    if (db_rows(v) == 0) {
        answer_error(r, 404, "Template version not found.", NULL);
        return;
    }
    belongs_to = db_uuid(v, 0, 1);
    if (!uuid_eq(&belongs_to, &p->template_id)) {
        answer_error(r, 400,
            "The provided template version doesn't belong to the specified template.", NULL);
        return;
    }
    if (strcmp(version_import_state(v), "succeeded") != 0) {
        char detail[96];
        snprintf(detail, sizeof(detail), "Attempted to promote a version with a %s build",
            version_import_state(v));
        answer_error(
            r, 400, "Only versions that have been built successfully can be promoted.", detail);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_SET_VERSION);
    db_add_uuid(b, &p->template_id);
    db_add_uuid(b, &p->version_id);
    ask_db(r, b, on_promoted);
}

static void on_template(struct request *r, const struct db_result *const *results)
{
    const struct promotion *p = r->state;
    if (db_rows(results[0]) == 0)
        answer_not_found(r);
    else
        version_ask(r, &p->version_id, NULL, NULL, on_version);
}

void template_set_active(struct request *r)
{
    struct template_filter f = ANY_TEMPLATE;
    struct promotion *p = request_state(r, sizeof(*p), NULL);
    if (!template_may_write(r) || !request_param_uuid(r, 0, &p->template_id) ||
        request_json(r) == NULL || !request_uuid(r, "id", &p->version_id))
        return;
    f.id = p->template_id;
    ask_templates(r, &f, on_template);
}
