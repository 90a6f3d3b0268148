/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_create.c - POST /organizations/{organization}/templateversions.
 *
 * The gateway writes the row; then it asks the scheduler for the import, which is a job.  A version
 * whose import the scheduler did not take is taken back.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/base/text.h"
#include "gateway/organization.h"
#include "gateway/template.h"
#include "gateway/version.h"

#define INVALID "Validation failed."
/* As much of them as goes to the worker with each job. */
#define VARIABLES_MAX      128
#define VARIABLE_NAME_MAX  128
#define VARIABLE_BYTES_MAX (256 * 1024)

struct new_version {
    struct uuid id, template_id, file_id, job_id;
    const char *name, *message, *provisioner; /* borrowed from r->json */
    char generated_name[32];
    /* Why it was taken back. */
    uint32_t refusal;
    char detail[256];
};

/* ---- values of Terraform's variables ---- */

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* As Terraform names things. */
static bool is_variable_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= VARIABLE_NAME_MAX && name[n] == '\0' &&
           strchr("0123456789-", name[0]) == NULL;
}

static bool is_given_before(const json_t *values, size_t end, const char *name)
{
    for (size_t i = 0; i < end; i++)
        if (strcmp(member(json_array_get(values, i), "name"), name) == 0)
            return true;
    return false;
}

/* Never says a value. */
static void check_values(struct request *r, const json_t *values)
{
    static const char field[] = "user_variable_values";
    size_t i, bytes = 0;
    json_t *row;
    if (!json_is_array(values) || json_array_size(values) > VARIABLES_MAX) {
        answer_invalid(r, 400, INVALID, field, "must be an array of at most 128 {name, value}");
        return;
    }
    json_array_foreach(values, i, row)
    {
        const char *name = member(row, "name"), *value = member(row, "value");
        bytes += value != NULL ? strlen(value) : 0;
        char detail[160];
        if (name == NULL || value == NULL || !is_variable_name(name))
            snprintf(detail, sizeof(detail),
                "number %zu is not {name, value}: two texts, the "
                "first a name of Terraform's",
                i + 1);
        else if (is_given_before(values, i, name))
            snprintf(detail, sizeof(detail), "\"%s\" is given twice", name);
        else if (bytes > VARIABLE_BYTES_MAX)
            snprintf(detail, sizeof(detail), "are longer than 256 KiB together");
        else
            continue;
        answer_invalid(r, 400, INVALID, field, detail);
        return;
    }
}

static void add_values(struct db_batch *b, const struct uuid *id, const json_t *values)
{
    if (json_array_size(values) == 0)
        return;
    struct db_array *names = db_array_new(DB_TEXT), *texts = db_array_new(DB_TEXT);
    size_t i;
    json_t *row;
    json_array_foreach(values, i, row)
    {
        db_array_text(names, member(row, "name"));
        db_array_text(texts, member(row, "value"));
    }
    db_batch_add(b, SQL_TEMPLATE_VERSION_GIVE_VALUES);
    db_add_uuid(b, id);
    db_add_array(b, names);
    db_add_array(b, texts);
}

/* ---- storing, and the import ---- */

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
    db_batch_add(b, SQL_TEMPLATE_VERSION_FORGET_VALUES);
    db_add_uuid(b, &v->id);
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
        version_ask(r, &v->id, NULL, NULL, version_answer);
}

static void on_not_stored(struct request *r, enum err code, const char *constraint)
{
    (void)constraint;
    const struct new_version *v = r->state;
    if (code == ERR_CONFLICT)
        version_answer_taken(r, v->name);
    else
        answer_db_failed(r, code);
}

/* The results: is there such a file, the template, does a worker offer the provisioner. */
static void store(struct request *r, const struct db_result *const *results)
{
    struct new_version *v = r->state;
    if (!db_bool(results[0], 0, 0)) {
        answer_error(r, 404, "File not found.", "Upload the archive first (POST /files).");
        return;
    }
    /* Coder's clients know no other word. */
    if (strcmp(v->provisioner, "terraform") == 0 && !db_bool(results[2], 0, 0))
        v->provisioner = "local";
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
    add_values(b, &v->id, json_object_get(r->json, "user_variable_values"));
    ask_db_or(r, b, import, on_not_stored);
}

static bool is_provisioner(const char *name)
{
    static const char *const known[] = {"local", "null", "terraform"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return false;
}

/* Tags choose among workers, of which all are alike: they may come and change nothing. */
static void check_extras(struct request *r)
{
    const json_t *tags = json_object_get(r->json, "tags");
    const json_t *values = json_object_get(r->json, "user_variable_values");
    if (tags != NULL && !json_is_null(tags) && !json_is_object(tags))
        answer_invalid(r, 400, INVALID, "tags", "must be an object of texts");
    else if (values != NULL && !json_is_null(values))
        check_values(r, values);
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
        answer_invalid(r, 400, INVALID, "storage_method", "must be \"file\"");
    else if (uuid_is_nil(&v->file_id))
        answer_invalid(r, 400, INVALID, "file_id", "must be the id of an uploaded file");
    else if (!version_is_name(v->name))
        answer_invalid(r, 400, INVALID, "name",
            "must be 1 to 64 letters and digits, in groups joined by single '_', '.' or '-'");
    else if (strlen(v->message) > VERSION_MESSAGE_MAX)
        answer_invalid(r, 400, INVALID, "message", "is too long");
    else if (!is_provisioner(v->provisioner))
        answer_invalid(r, 400, "No worker offers that provisioner.", "provisioner",
            "must be \"local\" (or \"null\", which starts nothing), or \"terraform\"");
    else
        check_extras(r);
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
    struct template_filter f = TEMPLATE_ANY;
    f.id = v->template_id;
    template_add(b, &f);
    db_batch_add(b, SQL_WORKER_OFFERS);
    db_add_text(b, v->provisioner);
    ask_db(r, b, store);
}
