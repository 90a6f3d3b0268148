/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versions.c - reading template versions: one, those of a template, the log of an import.
 */
#include <string.h>

#include "gateway/build.h"
#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/template.h"
#include "gateway/version.h"

#define VERSIONS_MAX 1000

/* ---- one ---- */

void version_answer(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    version_write(results[0], 0, &r->out);
    answer_json(r, r->method == METHOD_POST ? 201 : 200);
}

static void on_found(struct request *r, const struct db_result *const *results)
{
    ask_db_fn found = r->on_found;
    if (db_rows(results[0]) == 0)
        answer_not_found(r);
    else
        found(r, results);
}

void version_find(struct request *r, ask_db_fn found)
{
    struct uuid id;
    if (!request_param_uuid(r, 0, &id))
        return;
    r->on_found = found;
    version_ask(r, &id, NULL, NULL, on_found);
}

void version_get(struct request *r)
{
    struct uuid id;
    if (request_param_uuid(r, 0, &id))
        version_ask(r, &id, NULL, NULL, version_answer);
}

static void on_named_template(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    struct uuid template_id = db_uuid(results[0], 0, 0);
    version_ask(r, NULL, &template_id, request_param(r, 2), version_answer);
}

void version_get_by_name(struct request *r)
{
    if (!organization_check(r))
        return;
    struct template_filter f = TEMPLATE_ANY;
    f.name = request_param(r, 1);
    template_ask(r, &f, on_named_template);
}

/* ---- those of a template ---- */

static void on_named(struct request *r, const struct db_result *const *results)
{
    (void)results;
    struct uuid template_id;
    if (request_param_uuid(r, 0, &template_id))
        version_ask(r, NULL, &template_id, request_param(r, 1), version_answer);
}

void version_get_of_template(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    if (request_param_uuid(r, 0, &f.id))
        template_ask(r, &f, on_named);
}

static void on_list(struct request *r, const struct db_result *const *results)
{
    if (db_rows(results[0]) == 0) {
        answer_not_found(r);
        return;
    }
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[1]); i++)
        version_write(results[1], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

void version_list(struct request *r)
{
    struct template_filter f = TEMPLATE_ANY;
    struct query_page page;
    bool with_archived;
    if (!request_param_uuid(r, 0, &f.id) || !query_page(r, VERSIONS_MAX, VERSIONS_MAX, &page) ||
        !query_bool(r, "include_archived", &with_archived))
        return;
    struct db_batch *b = db_batch_new();
    template_add(b, &f);
    version_add_list(b, &f.id, with_archived, &page);
    ask_db_bulk(r, b, on_list);
}

/* ---- the log of its import ---- */

static void on_log_of(struct request *r, const struct db_result *const *results)
{
    const struct version_head h = version_head(results[0], 0);
    job_answer_log(r, &h.job_id, &(struct uuid){0});
}

void version_logs(struct request *r)
{
    version_find(r, on_log_of);
}
