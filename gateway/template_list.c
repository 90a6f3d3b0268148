/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_list.c - GET /templates and GET /organizations/{organization}/templates, with their
 * search.
 *
 *   organization:default name:fix exact_name:fix-it has-ai-task:true deprecated:false
 *
 * Deprecated templates are shown only to who asks for them.
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/organization.h"
#include "gateway/query.h"
#include "gateway/search.h"
#include "gateway/template.h"

#define BAD_QUERY "Invalid template search query."

static void on_list(struct request *r, const struct db_result *const *results)
{
    json_open(&r->out, '[');
    for (size_t i = 0; i < db_rows(results[0]); i++)
        template_write(results[0], i, &r->out);
    json_close(&r->out, ']');
    answer_json(r, 200);
}

static bool read_flag(
    struct request *r, const struct search *s, const char *key, int otherwise, int *ret_flag)
{
    const char *value = search_get(s, key);
    *ret_flag = value != NULL ? query_bool_of(value) : otherwise;
    if (value == NULL || *ret_flag >= 0)
        return true;
    char detail[256];
    snprintf(detail, sizeof(detail),
        "Query param \"%s\" must be a valid boolean: \"%.64s\" is none", key, value);
    answer_invalid(r, 400, BAD_QUERY, key, detail);
    return false;
}

static bool check_organization(struct request *r, const struct search *s)
{
    const char *name = search_get(s, "organization");
    if (name == NULL || organization_is(r->gw, name))
        return true;
    char detail[256];
    snprintf(detail, sizeof(detail),
        "Query param \"organization\" has invalid value: organization \"%.64s\" either does not "
        "exist, or you are unauthorized to view it",
        name);
    answer_invalid(r, 400, BAD_QUERY, "organization", detail);
    return false;
}

static void list(struct request *r)
{
    static const char *const keys[] = {"words", "name", "exact_name", "display_name",
        "exact_display_name", "organization", "has-ai-task", "deprecated", "author", NULL};
    const char *query = request_query(r, "q");
    struct search s;
    struct search_error e;
    struct template_filter f = TEMPLATE_ANY;
    if (!search_parse(query != NULL ? query : "", "words", keys, &s, &e)) {
        answer_invalid(r, 400, BAD_QUERY, e.field, e.detail);
        return;
    }
    if (!check_organization(r, &s) || !read_flag(r, &s, "has-ai-task", -1, &f.has_ai_task) ||
        !read_flag(r, &s, "deprecated", 0, &f.is_deprecated))
        return;
    f.words = search_get(&s, "words");
    f.name = search_get(&s, "exact_name");
    f.name_part = search_get(&s, "name");
    f.display_name = search_get(&s, "exact_display_name");
    f.display_name_part = search_get(&s, "display_name");
    f.author = search_get(&s, "author");
    if (f.author != NULL && strcmp(f.author, "me") == 0)
        f.author = r->who.username;
    template_ask(r, &f, on_list);
}

void template_list(struct request *r)
{
    list(r);
}

void template_list_of_organization(struct request *r)
{
    if (organization_check(r))
        list(r);
}
