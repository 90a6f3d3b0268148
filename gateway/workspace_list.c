/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace_list.c - GET /workspaces and GET /workspaces/{workspace}/builds: a statement finds the
 * ids of one page, a second one brings what is shown.
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/query.h"
#include "gateway/search.h"
#include "gateway/task.h"

#define BAD_QUERY      "Invalid workspace search query."
#define WORKSPACES_MAX 100
#define BUILDS_MAX     100

static size_t read_ids(const struct db_result *rows, int column, struct uuid *ret_ids, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < db_rows(rows) && n < max; i++)
        if (!db_is_null(rows, i, column))
            ret_ids[n++] = db_uuid(rows, i, column);
    return n;
}

/* ---- GET /workspaces ---- */

/* r->out begins with the count, which is known before the workspaces are. */
static void on_workspaces(struct request *r, const struct db_result *const *results)
{
    json_key(&r->out, "workspaces");
    json_open(&r->out, '[');
    for (size_t i = 0; results != NULL && i < db_rows(results[0]); i++)
        workspace_write(r->gw, results, i, &r->out);
    json_close(&r->out, ']');
    json_close(&r->out, '}');
    answer_json(r, 200);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    struct uuid ids[WORKSPACES_MAX];
    json_open(&r->out, '{');
    json_put_int(&r->out, "count", db_int(results[0], 0, 0));
    size_t n = read_ids(results[0], 1, ids, COUNT(ids));
    if (n == 0)
        on_workspaces(r, NULL);
    else
        build_ask(r, &(struct build_meant){.ids = ids, .n_ids = n}, on_workspaces);
}

static void answer_none(struct request *r)
{
    json_open(&r->out, '{');
    json_put_int(&r->out, "count", 0);
    on_workspaces(r, NULL);
}

struct workspace_filter {
    struct uuid owner_id, id;
    const char *owner_name, *name_part, *template_name, *job_state, *transition;
    int is_outdated; /* -1: any */
    bool has_none;   /* no workspace of Stint is like that */
};

static bool refuse(struct request *r, const char *key, const char *value, const char *wanted)
{
    char detail[256];
    snprintf(detail, sizeof(detail), "Query param \"%s\" has invalid value: \"%.64s\" is not %s",
        key, value, wanted);
    answer_invalid(r, 400, BAD_QUERY, key, detail);
    return false;
}

/* A key that takes true or false; -1 when it is not there. */
static bool read_flag(struct request *r, const struct search *s, const char *key, int *ret_flag)
{
    const char *value = search_get(s, key);
    *ret_flag = value != NULL ? query_bool_of(value) : -1;
    return value == NULL || *ret_flag >= 0 || refuse(r, key, value, "a valid boolean");
}

/* Every workspace is a task's, none is dormant or prebuilt. */
static bool read_flags(struct request *r, const struct search *s, struct workspace_filter *f)
{
    int of_task, dormant, deleted;
    if (!read_flag(r, s, "outdated", &f->is_outdated) ||
        !read_flag(r, s, "has-ai-task", &of_task) || !read_flag(r, s, "dormant", &dormant) ||
        !read_flag(r, s, "deleted", &deleted))
        return false;
    f->has_none = of_task == 0 || dormant == 1 || deleted == 1;
    return true;
}

/* "owner/name", or the name alone. */
static void read_name(struct search *s, struct workspace_filter *f)
{
    const char *name = search_get(s, "name");
    const char *slash = name != NULL ? strchr(name, '/') : NULL;
    f->name_part = name;
    if (slash == NULL)
        return;
    s->text[slash - s->text] = '\0';
    f->name_part = slash[1] != '\0' ? slash + 1 : NULL;
    f->owner_name = name;
}

static bool read_filter(struct request *r, struct search *s, struct workspace_filter *f)
{
    const char *organization = search_get(s, "organization"), *id = search_get(s, "id");
    const char *status = search_get(s, "status");
    f->owner_name = search_get(s, "owner");
    f->template_name = search_get(s, "template");
    read_name(s, f);
    if (!rights_may(&r->who, OBJECT_TASK, ACTION_READ, NULL))
        f->owner_id = r->who.id;
    if (f->owner_name != NULL && strcmp(f->owner_name, "me") == 0) {
        f->owner_id = r->who.id;
        f->owner_name = NULL;
    }
    if (status != NULL && !workspace_status_parse(status, &f->job_state, &f->transition))
        return refuse(r, "status", status, "a valid workspace status");
    if (id != NULL && !uuid_parse(id, &f->id))
        return refuse(r, "id", id, "a valid uuid");
    if (organization != NULL && !organization_is(r->gw, organization))
        return refuse(r, "organization", organization, "an organization that you may view");
    return read_flags(r, s, f);
}

static void ask_page(
    struct request *r, const struct workspace_filter *f, const struct query_page *page)
{
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKSPACE_LIST);
    db_add_uuid(b, &f->owner_id);
    db_add_text(b, f->owner_name);
    db_add_text(b, f->name_part);
    db_add_text(b, f->template_name);
    db_add_text(b, f->job_state);
    db_add_text(b, f->transition);
    db_add_uuid(b, &f->id);
    if (f->is_outdated < 0)
        db_add_null(b);
    else
        db_add_bool(b, f->is_outdated > 0);
    db_add_int8(b, page->limit);
    db_add_int8(b, page->offset);
    ask_db_bulk(r, b, on_found);
}

void workspace_list(struct request *r)
{
    static const char *const keys[] = {"owner", "name", "template", "status", "organization", "id",
        "outdated", "has-ai-task", "dormant", "deleted", NULL};
    const char *query = request_query(r, "q");
    struct search s;
    struct search_error e;
    struct query_page page;
    struct workspace_filter f = {0};
    if (!query_page(r, WORKSPACES_MAX, WORKSPACES_MAX, &page))
        return;
    if (!search_parse(query != NULL ? query : "", "name", keys, &s, &e))
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
    else if (read_filter(r, &s, &f) && f.has_none)
        answer_none(r);
    else if (!r->is_over)
        ask_page(r, &f, &page);
}

/* ---- GET /workspaces/{workspace}/builds ---- */

static void on_builds(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; results != NULL && i < db_rows(results[0]); i++)
        build_write(r->gw, results, i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static void on_build_ids(struct request *r, const struct db_result *const *results)
{
    struct uuid ids[BUILDS_MAX];
    size_t n = read_ids(results[1], 0, ids, COUNT(ids));
    struct uuid owner = {0};
    if (db_rows(results[0]) == 1)
        owner = db_uuid(results[0], 0, 0);
    if (uuid_is_nil(&owner) || !request_may_touch(r, &owner))
        answer_not_found(r);
    else if (n == 0)
        on_builds(r, NULL);
    else
        build_ask(r, &(struct build_meant){.ids = ids, .n_ids = n}, on_builds);
}

void build_list(struct request *r)
{
    struct uuid id;
    struct query_page page;
    int64_t since;
    if (!request_param_uuid(r, 0, &id) || !query_page(r, BUILDS_MAX, BUILDS_MAX, &page) ||
        !query_time(r, "since", &since))
        return;
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_WORKSPACE_OWNER);
    db_add_uuid(b, &id);
    db_batch_add(b, SQL_BUILD_LIST);
    db_add_uuid(b, &id);
    db_add_time(b, since);
    db_add_uuid(b, &page.after_id);
    db_add_int8(b, page.limit);
    db_add_int8(b, page.offset);
    ask_db_bulk(r, b, on_build_ids);
}
