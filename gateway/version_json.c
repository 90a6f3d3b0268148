/* SPDX-License-Identifier: Apache-2.0 */
/*
 * version_json.c - template versions: reading them, and Coder's TemplateVersion.
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/version.h"

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
    TEMPLATE_NAME,
    TEMPLATE_DISPLAY_NAME,
    TEMPLATE_ICON,
    APP_SLUG,
};

/* ---- asking ---- */

struct version_head version_head(const struct db_result *v, size_t i)
{
    return (struct version_head){
        .id = db_uuid(v, i, ID),
        .template_id = db_uuid(v, i, TEMPLATE_ID),
        .job_id = db_uuid(v, i, JOB_ID),
        .job_state = db_text(v, i, JOB_STATE),
        .name = db_text(v, i, NAME),
        .created_at = db_time_us(v, i, CREATED_AT),
        .is_archived = db_bool(v, i, ARCHIVED),
        .has_agent = db_text(v, i, APP_SLUG)[0] != '\0',
        .is_canceled = !db_is_null(v, i, JOB_CANCELED_AT),
    };
}

void version_ask(struct request *r, const struct uuid *id, const struct uuid *template_id,
    const char *name, ask_db_fn done)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TEMPLATE_VERSION_GET);
    db_add_uuid(b, id);
    db_add_uuid(b, template_id);
    db_add_text(b, name);
    for (int i = 0; i < 5; i++)
        db_add_null(b);
    ask_db(r, b, done);
}

void version_add_list(struct db_batch *b, const struct uuid *template_id, bool with_archived,
    const struct query_page *page)
{
    db_batch_add(b, SQL_TEMPLATE_VERSION_GET);
    for (int i = 0; i < 3; i++)
        db_add_null(b);
    db_add_uuid(b, template_id);
    db_add_bool(b, with_archived);
    db_add_uuid(b, &page->after_id);
    db_add_int8(b, page->limit);
    db_add_int8(b, page->offset);
}

/* ---- showing ---- */

static struct job_view job_of(const struct db_result *v, size_t i)
{
    return (struct job_view){
        .id = db_uuid(v, i, JOB_ID),
        .worker_id = db_uuid(v, i, WORKER_ID),
        .file_id = db_uuid(v, i, FILE_ID),
        .organization_id = db_uuid(v, i, ORGANIZATION_ID),
        .initiator_id = db_uuid(v, i, CREATED_BY),
        .state = db_text(v, i, JOB_STATE),
        .error = db_text(v, i, JOB_ERROR),
        .worker_name = db_text(v, i, WORKER_NAME),
        .created_at = db_time_us(v, i, JOB_CREATED_AT),
        .started_at = db_time_us(v, i, JOB_STARTED_AT),
        .completed_at = db_time_us(v, i, JOB_COMPLETED_AT),
        .canceled_at = db_time_us(v, i, JOB_CANCELED_AT),
        .type = "template_version_import",
        .input_key = "template_version_id",
        .input_id = db_uuid(v, i, ID),
        .template_version_name = db_text(v, i, NAME),
        .template_id = db_uuid(v, i, TEMPLATE_ID),
        .template_name = db_text(v, i, TEMPLATE_NAME),
        .template_display_name = db_text(v, i, TEMPLATE_DISPLAY_NAME),
        .template_icon = db_text(v, i, TEMPLATE_ICON),
        .workspace_name = "",
    };
}

static void write_author(const struct db_result *v, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(v, i, CREATED_BY);
    json_key(out, "created_by");
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_text(out, "username", db_text(v, i, CREATED_BY_NAME));
    json_put_text_if(out, "avatar_url", db_text(v, i, CREATED_BY_AVATAR_URL));
    json_close(out, '}');
}

void version_write(const struct db_result *v, size_t i, struct strbuf *out)
{
    struct uuid id = db_uuid(v, i, ID), template_id = db_uuid(v, i, TEMPLATE_ID);
    struct uuid organization = db_uuid(v, i, ORGANIZATION_ID);
    struct job_view job = job_of(v, i);
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_uuid_or_null(out, "template_id", &template_id);
    json_put_uuid(out, "organization_id", &organization);
    json_put_time(out, "created_at", db_time_us(v, i, CREATED_AT));
    json_put_time(out, "updated_at", db_time_us(v, i, UPDATED_AT));
    json_put_text(out, "name", db_text(v, i, NAME));
    json_put_text(out, "message", db_text(v, i, MESSAGE));
    json_key(out, "job");
    job_write(&job, out);
    json_put_text(out, "readme", "");
    write_author(v, i, out);
    json_put_bool(out, "archived", db_bool(v, i, ARCHIVED));
    json_put_bool(out, "has_external_agent", false);
    json_close(out, '}');
}
