/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_change.c - changing template versions: name and message, archived or not, which one is
 * its template's active one, and an import that is not wanted any more.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/template.h"
#include "gateway/version.h"

#define VERSION_NAME_MAX 64
#define INVALID          "Validation failed."

/* ---- names ---- */

/* Letters and digits in groups joined by one '_', '.' or '-'. */
bool version_is_name(const char *s)
{
    size_t n = strlen(s), i = 0;
    if (n > VERSION_NAME_MAX)
        return false;
    for (;; i++) {
        size_t word =
            strspn(s + i, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        i += word;
        if (word == 0 || s[i] == '\0' || strchr("_.-", s[i]) == NULL)
            return word > 0 && s[i] == '\0';
    }
}

void version_answer_taken(struct request *r, const char *name)
{
    char message[160];
    snprintf(message, sizeof(message),
        "A template version with name \"%.64s\" already exists for this template.", name);
    answer_invalid(r, 409, message, "name", "This value is already in use and should be unique.");
}

/* ---- PATCH /templateversions/{version} ---- */

struct version_change {
    struct uuid id;
    const char *name, *message; /* borrowed from r->json; NULL: as it is */
};

static void on_changed(struct request *r, const struct db_result *const *results)
{
    struct version_change c = *(struct version_change *)r->state;
    if (db_rows(results[0]) == 0)
        answer_not_found(r);
    else
        version_ask(r, &c.id, NULL, NULL, version_answer);
}

static void on_not_changed(struct request *r, enum err code, const char *constraint)
{
    (void)constraint;
    const struct version_change *c = r->state;
    if (code == ERR_CONFLICT && c->name != NULL)
        version_answer_taken(r, c->name);
    else
        answer_db_failed(r, code);
}

static bool read_change(struct request *r, struct version_change *c)
{
    if (!request_text(r, "name", &c->name) || !request_text(r, "message", &c->message))
        return false;
    if (c->name[0] == '\0')
        c->name = NULL;
    if (!json_is_string(json_object_get(r->json, "message")))
        c->message = NULL;
    if (c->name != NULL && !version_is_name(c->name))
        answer_invalid(r, 400, INVALID, "name",
            "must be 1 to 64 letters and digits, in groups joined by single '_', '.' or '-'");
    else if (c->message != NULL && strlen(c->message) > VERSION_MESSAGE_MAX)
        answer_invalid(r, 400, INVALID, "message", "is too long");
    return !r->is_over;
}

void version_update(struct request *r)
{
    struct version_change *c = request_state(r, sizeof(*c), NULL);
    if (!template_may_write(r) || !request_param_uuid(r, 0, &c->id) || request_json(r) == NULL ||
        !read_change(r, c))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_UPDATE);
    db_add_uuid(b, &c->id);
    db_add_text(b, c->name);
    db_add_text(b, c->message);
    ask_db_or(r, b, on_changed, on_not_changed);
}

/* ---- archive, unarchive ---- */

static void on_archived(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0)
        answer_error(r, 400, "Unable to archive specified version.",
            "The version is likely in use by a workspace or currently set to the active version.");
    else
        answer_error(r, 200, "Template version archived.", NULL);
}

static void archive(struct request *r, const struct db_result *const *results)
{
    const struct version_head h = version_head(results[0], 0);
    if (h.is_archived) {
        answer_error(r, 200, "Template version already archived.", NULL);
        return;
    }
    if (uuid_is_nil(&h.template_id)) {
        answer_error(
            r, 404, "Cannot archive template versions not associate with a template.", NULL);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_ARCHIVE);
    db_add_uuid(b, &h.id);
    db_add_null(b);
    db_add_null(b);
    ask_db(r, b, on_archived);
}

void version_archive(struct request *r)
{
    if (template_may_write(r))
        version_find(r, archive);
}

static void on_unarchived(struct request *r, const struct db_result *const *results)
{
    (void)results;
    answer_error(r, 200, "Template version unarchived.", NULL);
}

static void unarchive(struct request *r, const struct db_result *const *results)
{
    const struct version_head h = version_head(results[0], 0);
    if (!h.is_archived) {
        answer_error(r, 200, "Template version already unarchived.", NULL);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_UNARCHIVE);
    db_add_uuid(b, &h.id);
    ask_db(r, b, on_unarchived);
}

void version_unarchive(struct request *r)
{
    if (template_may_write(r))
        version_find(r, unarchive);
}

/* ---- POST /templates/{template}/versions/archive ---- */

struct archiving {
    struct uuid template_id;
};

static void on_all_archived(struct request *r, const struct db_result *const *results)
{
    const struct archiving *a = r->state;
    json_open(&r->out, '{');
    json_put_uuid(&r->out, "template_id", &a->template_id);
    json_key(&r->out, "archived_ids");
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++) {
        struct uuid id = db_uuid(results[0], i, 0);
        json_uuid(&r->out, &id);
    }
    json_close(&r->out, ']');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void archive_all(struct request *r, const struct db_result *const *results)
{
    const struct archiving *a = r->state;
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_ARCHIVE);
    db_add_null(b);
    db_add_uuid(b, &a->template_id);
    db_add_bool(b, !json_is_true(json_object_get(r->json, "all")));
    ask_db(r, b, on_all_archived);
}

void version_archive_all(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    struct archiving *a = request_state(r, sizeof(*a), NULL);
    if (!template_may_write(r) || !request_param_uuid(r, 0, &a->template_id) ||
        request_json(r) == NULL)
        return;
    f.id = a->template_id;
    template_ask(r, &f, archive_all);
}

/* ---- PATCH /templateversions/{version}/cancel ---- */

static void on_canceled(struct request *r, const Stint__V1__Envelope *reply)
{
    if (task_accepted(r, reply) != NULL)
        answer_error(r, 200, "Job has been marked as canceled...", NULL);
}

static void cancel(struct request *r, const struct db_result *const *results)
{
    const struct version_head h = version_head(results[0], 0);
    Stint__V1__TaskCommand m = STINT__V1__TASK_COMMAND__INIT;
    m.initiator_id = wire_uuid(&r->who.id);
    m.build_id = wire_uuid(&h.job_id);
    m.verb = STINT__V1__TASK_VERB__TASK_VERB_CANCEL;
    const struct uuid command_id = uuid_random();
    m.command_id = wire_uuid(&command_id);
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TASK_COMMAND);
    e.task_command = &m;
    ask_bus(r, &e, ASK_BUS_TIMEOUT_MS, on_canceled);
}

void version_cancel(struct request *r)
{
    if (template_may_write(r))
        version_find(r, cancel);
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

static void on_promotion(struct request *r, const struct db_result *const *results)
{
    const struct promotion *p = r->state;
    const struct db_result *v = results[0];
    struct uuid belongs_to;
    if (db_rows(v) == 0) {
        answer_error(r, 404, "Template version not found.", NULL);
        return;
    }
    const struct version_head h = version_head(v, 0);
    belongs_to = h.template_id;
    if (!uuid_eq(&belongs_to, &p->template_id)) {
        answer_error(r, 400,
            "The provided template version doesn't belong to the specified template.", NULL);
        return;
    }
    if (strcmp(h.job_state, "succeeded") != 0) {
        char detail[96];
        snprintf(
            detail, sizeof(detail), "Attempted to promote a version with a %s build", h.job_state);
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
        version_ask(r, &p->version_id, NULL, NULL, on_promotion);
}

void template_set_active(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    struct promotion *p = request_state(r, sizeof(*p), NULL);
    if (!template_may_write(r) || !request_param_uuid(r, 0, &p->template_id) ||
        request_json(r) == NULL || !request_uuid(r, "id", &p->version_id))
        return;
    f.id = p->template_id;
    template_ask(r, &f, on_template);
}
