/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versions.c - template versions.
 *
 * The gateway writes the row; then it asks the scheduler for the import, which is a job.  A version
 * whose import the scheduler did not take is taken back.
 */
#include "gateway/version.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/base/text.h"
#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/template.h"

#define NAME_MAX_BYTES    64
#define MESSAGE_BYTES_MAX 1048576

/* The columns of template_version_get, in order. */
enum column {
    ID,
    TEMPLATE_ID,
    ORGANIZATION_ID,
    NAME,
    MESSAGE,
    FILE_ID,
    PROVISIONER,
    CREATED_BY,
    CREATED_BY_NAME,
    CREATED_BY_AVATAR_URL,
    HAS_AI_TASK,
    ARCHIVED,
    CREATED_AT,
    UPDATED_AT,
    JOB_ID,
    JOB_STATE,
    JOB_ERROR,
    JOB_CREATED_AT,
    JOB_STARTED_AT,
    JOB_COMPLETED_AT,
    JOB_CANCELED_AT,
    WORKER_ID,
    WORKER_NAME,
};

const char *version_import_state(const struct db_result *v)
{
    return db_text(v, 0, JOB_STATE);
}

void version_ask(struct request *r, const struct uuid *id, const struct uuid *template_id,
    const char *name, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_GET);
    db_add_uuid(b, id);
    db_add_uuid(b, template_id);
    db_add_text(b, name);
    ask_db(r, b, done);
}

/* ---- showing ---- */

static struct job_view job_of(const struct db_result *v)
{
    return (struct job_view){
        .id = db_uuid(v, 0, JOB_ID),
        .worker_id = db_uuid(v, 0, WORKER_ID),
        .file_id = db_uuid(v, 0, FILE_ID),
        .organization_id = db_uuid(v, 0, ORGANIZATION_ID),
        .initiator_id = db_uuid(v, 0, CREATED_BY),
        .state = db_text(v, 0, JOB_STATE),
        .error = db_text(v, 0, JOB_ERROR),
        .worker_name = db_text(v, 0, WORKER_NAME),
        .created_at = db_time_us(v, 0, JOB_CREATED_AT),
        .started_at = db_time_us(v, 0, JOB_STARTED_AT),
        .completed_at = db_time_us(v, 0, JOB_COMPLETED_AT),
        .canceled_at = db_time_us(v, 0, JOB_CANCELED_AT),
        .type = "template_version_import",
        .input_key = "template_version_id",
        .input_id = db_uuid(v, 0, ID),
        .template_version_name = db_text(v, 0, NAME),
        .template_id = db_uuid(v, 0, TEMPLATE_ID),
        .template_name = "",
        .template_display_name = "",
        .template_icon = "",
        .workspace_name = "",
    };
}

static void write_author(const struct db_result *v, struct strbuf *out)
{
    struct uuid id = db_uuid(v, 0, CREATED_BY);
    json_key(out, "created_by");
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "username", db_text(v, 0, CREATED_BY_NAME));
    json_put_text_if(out, "avatar_url", db_text(v, 0, CREATED_BY_AVATAR_URL));
    json_close(out, '}');
}

static void write_version(const struct db_result *v, struct strbuf *out)
{
    struct uuid id = db_uuid(v, 0, ID), template_id = db_uuid(v, 0, TEMPLATE_ID);
    struct uuid organization = db_uuid(v, 0, ORGANIZATION_ID);
    struct job_view job = job_of(v);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_uuid_or_null(out, "template_id", &template_id);
    json_put_uuid(out, "organization_id", &organization);
    json_put_time(out, "created_at", db_time_us(v, 0, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(v, 0, UPDATED_AT));
    json_put_text(out, "name", db_text(v, 0, NAME));
    json_put_text(out, "message", db_text(v, 0, MESSAGE));
    json_key(out, "job");
    job_write(&job, out);
    json_put_text(out, "readme", "");
    write_author(v, out);
    json_put_bool(out, "archived", db_bool(v, 0, ARCHIVED));
    json_put_bool(out, "has_external_agent", false);
    json_close(out, '}');
}

static void on_version(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    write_version(results[0], &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

void version_get(struct request *r)
{
    struct uuid id;
    if (request_param_uuid(r, 0, &id))
        version_ask(r, &id, NULL, NULL, on_version);
}

static void on_named_template(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    struct uuid template_id = db_uuid(results[0], 0, 0);
    version_ask(r, NULL, &template_id, request_param(r, 2), on_version);
}

void version_get_by_name(struct request *r)
{
    if (!organization_check(r))
        return;
    struct template_filter f = TEMPLATE_ANY;
    f.name = request_param(r, 1);
    template_ask(r, &f, on_named_template);
}

static void on_presets(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    json_open(&r->out, '[');
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void version_presets(struct request *r)
{
    struct uuid id;
    if (request_param_uuid(r, 0, &id))
        version_ask(r, &id, NULL, NULL, on_presets);
}

static void on_log_of(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    struct uuid job_id = db_uuid(results[0], 0, JOB_ID);
    job_answer_log(r, &job_id);
}

void version_logs(struct request *r)
{
    struct uuid id;
    if (request_param_uuid(r, 0, &id))
        version_ask(r, &id, NULL, NULL, on_log_of);
}

/* ---- POST /organizations/{organization}/templateversions ---- */

struct new_version {
    struct uuid id, template_id, file_id, job_id;
    const char *name, *message, *provisioner; /* borrowed from r->json */
    char generated_name[32];
    /* Why it was taken back. */
    uint32_t refusal;
    char detail[256];
};

static void on_imported(void *arg, enum err code, const Stint__V1__Envelope *reply);

static void import(struct request *r, const struct db_result *const *results)
{
    (void)results;
    const struct new_version *v = r->state;
    Stint__V1__TemplateImport m = STINT__V1__TEMPLATE_IMPORT__INIT;
    m.template_version_id = wire_uuid(&v->id);
    m.job_id = wire_uuid(&v->job_id);
    m.organization_id = wire_uuid(&r->gw->organization.id);
    m.initiator_id = wire_uuid(&r->who.id);
    m.file_id = wire_uuid(&v->file_id);
    m.provisioner = (char *)(uintptr_t)v->provisioner;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_TEMPLATE_IMPORT);
    e.template_import = &m;
    Stint__V1__Origin origin = ask_origin(r);
    e.origin = &origin;
    bus_send(r->gw->bus, &e, ASK_BUS_TIMEOUT_MS, on_imported, r);
}

static void on_taken_back(struct request *r, const struct db_result *const *results)
{
    (void)results;
    const struct new_version *v = r->state;
    answer_refusal(r, v->refusal, v->detail, "");
}

static void take_back(struct request *r, uint32_t refusal, const char *detail)
{
    struct new_version *v = r->state;
    v->refusal = refusal;
    snprintf(v->detail, sizeof(v->detail), "%s", detail);
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_FORGET);
    db_add_uuid(b, &v->id);
    ask_db(r, b, on_taken_back);
}

static void on_imported(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct request *r = arg;
    const struct new_version *v = r->state;
    if (code != ERR_OK || reply->body_case != STINT__V1__ENVELOPE__BODY_STATUS)
        take_back(r, REFUSAL_OVERLOADED,
            "It did not take the import. Check that stint-scheduler runs, then try again.");
    else if (reply->status->code != REFUSAL_NONE)
        take_back(r, reply->status->code, reply->status->detail);
    else
        version_ask(r, &v->id, NULL, NULL, on_version);
}

static void on_not_stored(struct request *r, enum err code, const char *constraint)
{
    (void)constraint;
    const struct new_version *v = r->state;
    char message[160];
    if (code != ERR_CONFLICT) {
        answer_db_failed(r, code);
        return;
    }
    snprintf(message, sizeof(message),
        "A template version with name \"%.64s\" already exists for this template.", v->name);
    answer_invalid(r, 409, message, "name", "This value is already in use and should be unique.");
}

static void store(struct request *r, const struct db_result *const *results)
{
    struct new_version *v = r->state;
    if (!db_bool(results[0], 0, 0)) {
        answer_error(r, 404, "File not found.", "Upload the archive first (POST /files).");
        return;
    }
    if (!uuid_is_nil(&v->template_id) && db_rows(results[1]) == 0) {
        answer_error(r, 404, "Template does not exist.", NULL);
        return;
    }
    v->id = uuid_random();
    v->job_id = uuid_random();
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_CREATE);
    db_add_uuid(b, &v->id);
    db_add_uuid(b, &v->template_id);
    db_add_uuid(b, &r->gw->organization.id);
    db_add_text(b, v->name);
    db_add_text(b, v->message);
    db_add_uuid(b, &v->file_id);
    db_add_text(b, v->provisioner);
    db_add_uuid(b, &v->job_id);
    db_add_uuid(b, &r->who.id);
    ask_db_or(r, b, import, on_not_stored);
}

/* Letters and digits in groups joined by one '_', '.' or '-'. */
static bool is_version_name(const char *s)
{
    size_t n = strlen(s), i = 0;
    if (n > NAME_MAX_BYTES)
        return false;
    for (;; i++) {
        size_t word =
            strspn(s + i, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        i += word;
        if (word == 0 || s[i] == '\0' || strchr("_.-", s[i]) == NULL)
            return word > 0 && s[i] == '\0';
    }
}

static bool check_new(struct request *r, struct new_version *v)
{
    const char *method;
    if (!request_text(r, "storage_method", &method))
        return false;
    if (v->name[0] == '\0') {
        unsigned word;
        rng_bytes(&word, sizeof(word));
        snprintf(v->generated_name, sizeof(v->generated_name), "version-%08x", word);
        v->name = v->generated_name;
    }
    if (method[0] != '\0' && strcmp(method, "file") != 0)
        answer_invalid(r, 400, "Validation failed.", "storage_method", "must be \"file\"");
    else if (uuid_is_nil(&v->file_id))
        answer_invalid(
            r, 400, "Validation failed.", "file_id", "must be the id of an uploaded file");
    else if (!is_version_name(v->name))
        answer_invalid(r, 400, "Validation failed.", "name",
            "must be 1 to 64 letters and digits, in groups joined by single '_', '.' or '-'");
    else if (strlen(v->message) > MESSAGE_BYTES_MAX)
        answer_invalid(r, 400, "Validation failed.", "message", "is too long");
    else if (strcmp(v->provisioner, "local") != 0 && strcmp(v->provisioner, "null") != 0)
        answer_invalid(r, 400, "No worker offers that provisioner.", "provisioner",
            "must be \"local\" (or \"null\", which starts nothing)");
    return !r->is_over;
}

void version_create(struct request *r)
{
    if (!organization_check(r) || !template_may_write(r))
        return;
    struct new_version *v = request_state(r, sizeof(*v), NULL);
    if (request_json(r) == NULL || !request_text(r, "name", &v->name) ||
        !request_text(r, "message", &v->message) || !request_uuid(r, "file_id", &v->file_id) ||
        !request_uuid(r, "template_id", &v->template_id) ||
        !request_text(r, "provisioner", &v->provisioner) || !check_new(r, v))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_FILE_EXISTS);
    db_add_uuid(b, &v->file_id);
    db_batch_add(b, SQL_TEMPLATE_LIST);
    db_add_uuid(b, &v->template_id);
    for (int i = 0; i < 4; i++)
        db_add_null(b);
    ask_db(r, b, store);
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
