/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - builds, workspaces and jobs as Coder's clients see them.
 *
 *   const struct build_meant m = {.workspace_id = id};
 *   build_ask(r, &m, found);             then, in found(r, results):
 *   workspace_write(r->gw, results, 0, &r->out);
 */
#ifndef GATEWAY_BUILD_H
#define GATEWAY_BUILD_H

#include "gateway/request.h"

/* Which builds: the sum of what is named here.  Zero names nothing. */
struct build_meant {
    const struct uuid *ids; /* copied by build_ask() */
    size_t n_ids;
    struct uuid workspace_id; /* its newest */
    /* Of the workspace of that owner and name (borrowed from the request) the newest, or `number`.
     */
    struct uuid owner_id;
    const char *workspace_name;
    int32_t number;
};

/* Two statements; build_write() and workspace_write() take their two results. */
void build_add_read(struct db_batch *b, const struct build_meant *meant);
/* Reads them and goes on, once the queue's places are known, with at least one row; or answers 404
 * when there is none, or one that the asker may not see.  Uses r->state. */
void build_ask(struct request *r, const struct build_meant *meant, ask_db_fn found);

/* What handlers need to know of row i; texts are borrowed. */
struct build_head {
    struct uuid id, workspace_id, task_id, owner_id, job_id, version_id;
    const char *transition, *job_state;
};
struct build_head build_head(const struct db_result *rows, size_t i);
/* Does it wait for a slot?  Then the queue knows its place. */
bool build_waits(const struct build_head *h);

/* Row i as Coder's WorkspaceBuild, or as the Workspace whose newest build it is. */
void build_write(
    const struct gateway *gw, const struct db_result *const *results, size_t i, struct strbuf *out);
void workspace_write(
    const struct gateway *gw, const struct db_result *const *results, size_t i, struct strbuf *out);
/* The array of its WorkspaceResource. */
void build_write_resources(const struct db_result *const *results, size_t i, struct strbuf *out);

/* Answers 202 {"workspace_build": …}, or 201 with the build itself. */
void build_answer_made(struct request *r, const struct uuid *build_id, bool is_wrapped);

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
/* "tags": all that jobs and workers have, for there is one pool of each provisioner. */
void job_write_tags(struct strbuf *out);

/* A job's log: JSON or text, or with `?follow` a stream; `task_id` is nil for an import. */
void job_answer_log(struct request *r, const struct uuid *job_id, const struct uuid *task_id);

#endif
