/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_change.c - what may be said of a template; changing and removing one.
 */
#include <string.h>

#include "core/base/text.h"
#include "gateway/template.h"

#define NAME_CONSTRAINT "templates_name_is_unique"
#define NOT_UPDATED     "Invalid request to update template metadata!"
#define IN_USE          "This value is already in use and should be unique."
#define TEXT_MAX        1024
#define DURATION_MS_MAX (3650 * INT64_C(86400000))

/* ---- checking ---- */

bool template_check_duration(struct request *r, const char *message, const char *field, int64_t ms)
{
    if (ms >= 0 && ms <= DURATION_MS_MAX)
        return true;
    answer_invalid(r, 400, message, field,
        ms < 0 ? "Must be a positive integer." : "Must be at most 3650 days.");
    return false;
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

bool template_check_texts(struct request *r, const char *message, const struct template_texts *t)
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

void template_answer_taken(struct request *r, const char *name)
{
    char message[160];
    snprintf(message, sizeof(message), "Template with name \"%.64s\" already exists.", name);
    answer_invalid(r, 409, message, "name", IN_USE);
}

/* ---- PATCH /templates/{template} ---- */

static void on_updated(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[1]) == 0)
        answer_not_found(r);
    else if (db_affected(results[0]) == 0)
        answer_empty(r, 304);
    else
        template_answer(r, results + 1);
}

static void on_not_updated(struct request *r, enum err code, const char *constraint)
{
    const struct template_texts *x = r->state;
    if (code == ERR_CONFLICT && strcmp(constraint, NAME_CONSTRAINT) == 0)
        template_answer_taken(r, x->name);
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
    return template_check_texts(r, NOT_UPDATED, x);
}

/* -1: as it is. */
static bool read_duration(struct request *r, const char *key, int64_t *ret_ms)
{
    if (!request_int(r, key, -1, ret_ms))
        return false;
    return !json_is_integer(json_object_get(r->json, key)) ||
           template_check_duration(r, NOT_UPDATED, key, *ret_ms);
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
    template_add(b, &f);
    ask_db_or(r, b, on_updated, on_not_updated);
}

/* ---- DELETE /templates/{template} ---- */

static void on_deleted(struct request *r, const struct db_result *const *results)
{
    if (db_affected(results[0]) > 0)
        answer_error(r, 200, "Template has been deleted!", NULL);
    else if (db_rows(results[1]) > 0)
        answer_error(
            r, 400, "All workspaces must be deleted before a template can be removed.", NULL);
    else
        answer_not_found(r);
}

void template_delete(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (!template_may_write(r) || !request_param_uuid(r, 0, &f.id))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_DELETE);
    db_add_uuid(b, &f.id);
    template_add(b, &f);
    ask_db(r, b, on_deleted);
}
