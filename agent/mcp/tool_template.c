/* SPDX-License-Identifier: Apache-2.0 */
/* tool_template.c - the tools about templates and the user. */
#include "agent/mcp/call.h"
#include "agent/mcp/path.h"
#include "core/base/cleanup.h"

/* What a model needs of a template, of all that the gateway has to say. */
static json_t *brief(const json_t *t)
{
    return json_pack("{s:O?, s:O?, s:O?, s:O?, s:O?, s:O?}", "display_name",
        json_object_get(t, "display_name"), "id", json_object_get(t, "id"), "name",
        json_object_get(t, "name"), "description", json_object_get(t, "description"),
        "active_version_id", json_object_get(t, "active_version_id"), "active_user_count",
        json_object_get(t, "active_user_count"));
}

static void list_answered(struct mcp_call *c, json_t *body)
{
    json_t *templates = json_array();
    for (size_t i = 0; i < json_array_size(body); i++)
        json_array_append_new(templates, brief(json_array_get(body, i)));
    call_reply(c, templates);
}

void tool_list_templates(struct mcp_call *c)
{
    call_ask(c, "GET", "/api/v2/templates", NULL, 200, list_answered);
}

/* ---- one template ---- */

static void presets_answered(struct mcp_call *c, json_t *body)
{
    json_t *presets = json_array();
    for (size_t i = 0; i < json_array_size(body); i++) {
        const json_t *p = json_array_get(body, i);
        json_array_append_new(presets,
            json_pack("{s:O?, s:O?, s:O?, s:O?}", "id", json_object_get(p, "ID"), "name",
                json_object_get(p, "Name"), "description", json_object_get(p, "Description"),
                "default", json_object_get(p, "Default")));
    }
    json_t *reply = brief(c->kept);
    json_object_set_new(reply, "parameters", json_array());
    json_object_set_new(reply, "presets", presets);
    call_reply(c, reply);
}

static void template_answered(struct mcp_call *c, json_t *body)
{
    const char *version = json_string_value(json_object_get(body, "active_version_id"));
    if (version == NULL) {
        call_fail(c, "the template has no active version");
        return;
    }
    c->kept = json_incref(body);
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/templateversions/");
    path_add(&path, version);
    strbuf_addstr(&path, "/presets");
    call_ask(c, "GET", path.s, NULL, 200, presets_answered);
}

void tool_get_template(struct mcp_call *c)
{
    scoped(strbuf_done) struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/templates/");
    path_add(&path, call_text(c, "template_id"));
    call_ask(c, "GET", path.s, NULL, 200, template_answered);
}

/* ---- the user ---- */

static void user_answered(struct mcp_call *c, json_t *body)
{
    call_reply(c, body != NULL ? json_incref(body) : json_object());
}

void tool_get_user(struct mcp_call *c)
{
    call_ask(c, "GET", "/api/v2/users/me", NULL, 200, user_answered);
}
