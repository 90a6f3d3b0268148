/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - builds and workspaces as Coder's clients see them.
 */
#ifndef GATEWAY_BUILD_H
#define GATEWAY_BUILD_H

#include "gateway/request.h"

/* Answers 202 {"workspace_build": ...}. */
void build_answer_made(struct request *r, const struct uuid *build_id);

/* A job's JSON, as builds and template versions carry it. */
struct job_view {
    struct uuid id, worker_id, file_id, organization_id, initiator_id;
    const char *state, *error, *worker_name;
    int64_t created_at, started_at, completed_at, canceled_at;
    uint32_t queue_position, queue_size;
    /* Of "input": what the job is for. */
    const char *type, *input_key;
    struct uuid input_id;
    /* Of "metadata"; "" and nil: left out. */
    const char *template_version_name, *template_name, *template_display_name, *template_icon;
    const char *workspace_name;
    struct uuid template_id, workspace_id;
};
void job_write(const struct job_view *j, struct strbuf *out);

/* A job's log: JSON, after `?after=`. */
void job_answer_log(struct request *r, const struct uuid *job_id);

#endif
