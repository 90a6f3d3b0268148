/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.c - templates: reading one, making one, and Coder's Template.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/template.h"
#include "gateway/version.h"

#define NOT_CREATED     "Validation failed."
#define NAME_CONSTRAINT "templates_name_is_unique"
#define BUMP_MS_INITIAL 3600000

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

static void put_build_times(struct strbuf *out)
{
    static const char *const transitions[] = {"start", "stop", "delete"};
    json_key(out, "build_time_stats");
    json_open(out, '{');
    for (size_t i = 0; i < COUNT(transitions); i++) {
        json_key(out, transitions[i]);
        json_open(out, '{');
        json_put_null(out, "P50");
        json_put_null(out, "P95");
        json_close(out, '}');
    }
    json_close(out, '}');
}

/* What Coder's clients expect to be there and Stint has one answer to. */
static void put_fixed(struct strbuf *out)
{
    static const char week[] =
        "[\"monday\",\"tuesday\",\"wednesday\",\"thursday\",\"friday\",\"saturday\",\"sunday\"]";
    static const char *const zeros[] = {"active_user_count", "failure_ttl_ms",
        "time_til_dormant_ms", "time_til_dormant_autodelete_ms"};
    static const char *const no[] = {"deleted", "allow_user_autostart", "allow_user_autostop",
        "require_active_version", "disable_module_cache"};
    for (size_t i = 0; i < COUNT(zeros); i++)
        json_put_int(out, zeros[i], 0);
    for (size_t i = 0; i < COUNT(no); i++)
        json_put_bool(out, no[i], false);
    put_build_times(out);
    put_days(out, "autostop_requirement", "[]", 2);
    put_days(out, "autostart_requirement", week, sizeof(week) - 1);
    json_put_bool(out, "allow_user_cancel_workspace_jobs", true);
    json_put_bool(out, "use_classic_parameter_flow", true);
    json_put_text(out, "max_port_share_level", "owner");
    json_put_text(out, "cors_behavior", "simple");
}

/* Row i of template_list. */
void template_write(const struct db_result *t, size_t i, struct strbuf *out)
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

void template_add(struct db_batch *b, const struct template_filter *f)
{
    db_batch_add(b, SQL_TEMPLATE_LIST);
    db_add_uuid(b, &f->id);
    db_add_text(b, f->name);
    db_add_text(b, f->name_part);
    add_flag(b, f->has_ai_task);
    add_flag(b, f->is_deprecated);
    db_add_text(b, f->display_name);
    db_add_text(b, f->display_name_part);
    db_add_text(b, f->words);
    db_add_text(b, f->author);
}

void template_ask(struct request *r, const struct template_filter *f, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    template_add(b, f);
    ask_db(r, b, done);
}

void template_answer(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    template_write(results[0], 0, &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

/* ---- one ---- */

void template_get(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (request_param_uuid(r, 0, &f.id))
        template_ask(r, &f, template_answer);
}

void template_get_by_name(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (!organization_check(r))
        return;
    f.name = request_param(r, 1);
    template_ask(r, &f, template_answer);
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
    template_ask(r, &f, template_answer);
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
        template_answer_taken(r, t->texts.name);
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
        !template_check_texts(r, NOT_CREATED, x) ||
        !template_check_duration(r, NOT_CREATED, "default_ttl_ms", t->default_ttl_ms) ||
        !template_check_duration(r, NOT_CREATED, "activity_bump_ms", t->activity_bump_ms))
        return;
    version_ask(r, &t->version_id, NULL, NULL, on_new_version);
}
