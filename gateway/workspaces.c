/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspaces.c - the routes of workspaces; each belongs to one task.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/build.h"
#include "gateway/json_out.h"

static void on_workspace(struct request *r, const struct db_result *const *results)
{
    workspace_write(r->gw, results, 0, &r->out);
    answer_json(r, 200);
}

void workspace_get(struct request *r)
{
    struct build_meant m = {0};
    if (request_param_uuid(r, 0, &m.workspace_id))
        build_ask(r, &m, on_workspace);
}

static void ask_named(struct request *r, const struct uuid *owner_id, const char *username)
{
    (void)username;
    const struct build_meant m = {.owner_id = *owner_id, .workspace_name = request_param(r, 1)};
    build_ask(r, &m, on_workspace);
}

void workspace_get_by_name(struct request *r)
{
    find_user(r, ask_named);
}

/* ---- one build of it, by number ---- */

static void on_numbered(struct request *r, const struct db_result *const *results)
{
    build_write(r->gw, results, 0, &r->out);
    answer_json(r, 200);
}

static void ask_numbered(struct request *r, const struct uuid *owner_id, const char *username)
{
    (void)username;
    char *end;
    errno = 0;
    long number = strtol(request_param(r, 2), &end, 10);
    if (*end != '\0' || errno != 0 || number < 1 || number > INT32_MAX) {
        answer_errorf(r, 400, "It must be a whole number from 1.",
            "Failed to parse build number as integer: \"%.32s\"", request_param(r, 2));
        return;
    }
    const struct build_meant m = {
        .owner_id = *owner_id, .workspace_name = request_param(r, 1), .number = (int32_t)number};
    build_ask(r, &m, on_numbered);
}

void build_get_by_number(struct request *r)
{
    find_user(r, ask_numbered);
}
