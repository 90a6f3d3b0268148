/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_json.c - a job as Coder's ProvisionerJob.
 */
#include "gateway/build.h"
#include "gateway/json_out.h"

static void put_uuid_if(struct strbuf *out, const char *key, const struct uuid *id)
{
    if (!uuid_is_nil(id))
        json_put_uuid(out, key, id);
}

static void write_metadata(const struct job_view *j, struct strbuf *out)
{
    json_key(out, "metadata");
    json_open(out, '{');
    json_put_text(out, "template_version_name", j->template_version_name);
    json_put_uuid(out, "template_id", &j->template_id);
    json_put_text(out, "template_name", j->template_name);
    json_put_text(out, "template_display_name", j->template_display_name);
    json_put_text(out, "template_icon", j->template_icon);
    put_uuid_if(out, "workspace_id", &j->workspace_id);
    json_put_text_if(out, "workspace_name", j->workspace_name);
    json_close(out, '}');
}

void job_write_tags(struct strbuf *out)
{
    json_key(out, "tags");
    json_open(out, '{');
    json_put_text(out, "owner", "");
    json_put_text(out, "scope", "organization");
    json_close(out, '}');
}

void job_write(const struct job_view *j, struct strbuf *out)
{
    json_open(out, '{');
    json_put_uuid(out, "id", &j->id);
    json_put_time(out, "created_at", j->created_at);
    json_put_time_if(out, "started_at", j->started_at);
    json_put_time_if(out, "completed_at", j->completed_at);
    json_put_time_if(out, "canceled_at", j->canceled_at);
    json_put_text_if(out, "error", j->error);
    json_put_text(out, "status", j->state);
    put_uuid_if(out, "worker_id", &j->worker_id);
    json_put_text_if(out, "worker_name", j->worker_name);
    json_put_uuid(out, "file_id", &j->file_id);
    job_write_tags(out);
    json_put_int(out, "queue_position", j->queue_position);
    json_put_int(out, "queue_size", j->queue_size);
    json_put_uuid(out, "organization_id", &j->organization_id);
    json_put_uuid(out, "initiator_id", &j->initiator_id);
    json_key(out, "input");
    json_open(out, '{');
    json_put_uuid(out, j->input_key, &j->input_id);
    json_close(out, '}');
    json_put_text(out, "type", j->type);
    write_metadata(j, out);
    json_put_bool(out, "logs_overflowed", false);
    json_close(out, '}');
}
