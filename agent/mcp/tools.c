/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools.c - what follows from the rows of tool.def.
 */
#include <string.h>

#include "agent/mcp/jsonrpc.h"
#include "agent/mcp/tool.h"
#include "agent/status.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/text.h"
#include "core/base/uuid.h"

const struct mcp_tool mcp_tools[] = {
#define TOOL(tool_name, tool_title, tool_needs, tool_effect, tool_run, tool_description, ...) \
    {                                                                                         \
        .name = #tool_name,                                                                   \
        .title = tool_title,                                                                  \
        .description = tool_description,                                                      \
        .needs = tool_needs,                                                                  \
        .effect = tool_effect,                                                                \
        .run = tool_run,                                                                      \
        .args = {__VA_ARGS__},                                                                \
    },
#include "agent/mcp/tool.def"
    {0},
};

const struct mcp_tool *tool_find(const char *name)
{
    for (const struct mcp_tool *t = mcp_tools; t->name != NULL; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

/* ---- who gets it ---- */

bool tool_is_allowed(const struct mcp_tool *t, const char *allowed)
{
    size_t n = strlen(t->name);
    bool any = false;
    for (const char *p = allowed; p != NULL && *p != '\0';) {
        p += strspn(p, ", ");
        size_t word = strcspn(p, ", ");
        any |= word > 0;
        if (word == n && memcmp(p, t->name, n) == 0)
            return true;
        p += word;
    }
    return !any;
}

bool tool_is_offered(const struct mcp_tool *t, const struct mcp_world *world, const char *allowed)
{
    if (!tool_is_allowed(t, allowed))
        return false;
    return t->needs == NEEDS_AGENT  ? world->can_report
           : t->needs == NEEDS_USER ? world->has_user
                                    : true;
}

/* ---- as a client sees it ---- */

/* The words of "a|b|c", without an empty one. */
static json_t *words_of(const char *one_of)
{
    json_t *words = json_array();
    for (const char *p = one_of; *p != '\0'; p += *p == '|') {
        size_t n = strcspn(p, "|");
        if (n > 0)
            json_array_append_new(words, json_stringn(p, n));
        p += n;
    }
    return words;
}

static json_t *arg_to_json(const struct tool_arg *a)
{
    json_t *schema = json_pack("{s:s, s:s}", "type", "string", "description", a->description);
    if (a->one_of != NULL)
        json_object_set_new(schema, "enum", words_of(a->one_of));
    if (a->flags & ARG_UUID)
        json_object_set_new(schema, "format", json_string("uuid"));
    else if (a->bytes_max > 0)
        json_object_set_new(schema, "maxLength", json_integer((json_int_t)a->bytes_max));
    return schema;
}

static json_t *hints_of(enum tool_effect effect)
{
    return json_pack("{s:b, s:b, s:b, s:b}", "readOnlyHint", effect == TOOL_READS,
        "destructiveHint", effect == TOOL_DESTROYS, "idempotentHint", effect == TOOL_READS,
        "openWorldHint", 0);
}

json_t *tool_to_json(const struct mcp_tool *t)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct tool_arg *a = t->args; a->name != NULL; a++) {
        json_object_set_new(properties, a->name, arg_to_json(a));
        if (a->flags & (ARG_REQUIRED | ARG_EXPECTED))
            json_array_append_new(required, json_string(a->name));
    }
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:o, s:o}, s:o}", "name", t->name, "title", t->title,
        "description", t->description, "inputSchema", "type", "object", "properties", properties,
        "required", required, "annotations", hints_of(t->effect));
}

/* ---- what it takes ---- */

static bool is_one_of(const char *text, const char *one_of)
{
    size_t n = strlen(text);
    for (const char *p = one_of;; p++) {
        size_t word = strcspn(p, "|");
        if (word == n && memcmp(p, text, n) == 0)
            return true;
        p += word;
        if (*p == '\0')
            return false;
    }
}

static enum err not_one_of(const struct tool_arg *a, const char *text, struct errctx *ctx)
{
    char words[128] = "";
    const char *p = a->one_of;
    for (size_t n = 0; *p != '\0' && n < sizeof(words) - 3; p++) {
        if (*p != '|')
            words[n++] = *p;
        else if (n > 0)
            words[n++] = ',', words[n++] = ' ';
    }
    return err_set(ctx, ERR_INVALID, "%s \"%.40s\" is not known; allowed are %s", a->name,
        text_is_utf8(text, strnlen(text, 40)) ? text : "", words);
}

/* Control characters, and white space too when it is to be one word. */
static const char *find_forbidden(const char *text, bool is_word)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p > (is_word ? ' ' : ' ' - 1) && *p != 0x7f)
        p++;
    return (const char *)p;
}

static enum err check_characters(const struct tool_arg *a, const char *text, struct errctx *ctx)
{
    if (!(a->flags & (ARG_LINE | ARG_WORD)))
        return ERR_OK;
    bool is_word = a->flags & ARG_WORD;
    char bad = *find_forbidden(text, is_word);
    if (bad == '\0')
        return ERR_OK;
    const char *what = bad == '\n' || bad == '\r' ? "a line break"
                       : bad == ' '               ? "a space"
                                                  : "a control character";
    return err_set(ctx, ERR_INVALID, "%s has %s in it; %s is allowed", a->name, what,
        is_word ? "one word without white space" : "one line of plain text");
}

static enum err check_text(const struct tool_arg *a, const char *text, struct errctx *ctx)
{
    size_t n = strlen(text);
    struct uuid ignored;
    if (n == 0 && (a->flags & ARG_REQUIRED))
        return err_set(ctx, ERR_INVALID, "%s is empty: %s", a->name, a->description);
    if (n == 0)
        return ERR_OK;
    if (a->one_of != NULL && !is_one_of(text, a->one_of))
        return not_one_of(a, text, ctx);
    if ((a->flags & ARG_UUID) && !uuid_parse(text, &ignored))
        return err_set(ctx, ERR_INVALID,
            "%s must be an id such as 01234567-89ab-cdef-0123-"
            "456789abcdef",
            a->name);
    if (a->bytes_max > 0 && n > a->bytes_max)
        return err_set(ctx, ERR_INVALID,
            "%s has %zu bytes; at most %zu are allowed: say it "
            "shorter",
            a->name, n, a->bytes_max);
    return check_characters(a, text, ctx);
}

enum err tool_check(const struct mcp_tool *t, const json_t *arguments, struct errctx *ctx)
{
    for (const struct tool_arg *a = t->args; a->name != NULL; a++) {
        json_t *value = json_object_get(arguments, a->name);
        enum err e = ERR_OK;
        if (value == NULL || json_is_null(value)) {
            if (a->flags & ARG_REQUIRED)
                e = err_set(ctx, ERR_INVALID, "%s is missing: %s", a->name, a->description);
        } else if (!json_is_string(value)) {
            e = err_set(ctx, ERR_INVALID, "%s must be a text", a->name);
        } else if (jsonrpc_text(value) == NULL) {
            e = err_set(ctx, ERR_INVALID, "%s has a control character in it", a->name);
        } else {
            e = check_text(a, jsonrpc_text(value), ctx);
        }
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}
