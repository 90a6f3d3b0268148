/* SPDX-License-Identifier: Apache-2.0 */
/* jansson's trees, looked at once. */
#include "agent/conversation.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

static json_t *parse(const char *json, size_t n)
{
    return json_loadb(json, n, JSON_ALLOW_NUL, NULL);
}

static bool read_message(
    const json_t *object, const char *content_key, struct conversation_message *m)
{
    const json_t *id = json_object_get(object, "id");
    const json_t *content = json_object_get(object, content_key);
    const char *role = json_string_value(json_object_get(object, "role"));
    const char *time = json_string_value(json_object_get(object, "time"));
    if (!json_is_integer(id) || json_integer_value(id) < 0 ||
        json_integer_value(id) >= CONVERSATION_MESSAGES_MAX || !json_is_string(content) ||
        role == NULL)
        return false;
    *m = (struct conversation_message){.id = (uint64_t)json_integer_value(id),
        .is_user = strcmp(role, "user") == 0,
        .content = json_string_value(content),
        .n = json_string_length(content),
        .time = time != NULL ? time : ""};
    return true;
}

static bool read_messages(const json_t *list, struct conversation *c)
{
    if (!json_is_array(list))
        return false;
    c->n = json_array_size(list);
    if (c->n > CONVERSATION_MESSAGES_MAX)
        return false;
    c->v = mem_calloc(c->n + 1, sizeof(*c->v));
    for (size_t i = 0; i < c->n; i++)
        if (!read_message(json_array_get(list, i), "content", &c->v[i]) || c->v[i].id != i)
            return false;
    return true;
}

bool conversation_parse(const char *json, size_t n, struct conversation *ret)
{
    struct conversation c = {.root = parse(json, n)};
    if (read_messages(json_object_get(c.root, "messages"), &c)) {
        *ret = c;
        return true;
    }
    conversation_done(&c);
    return false;
}

bool conversation_parse_update(const char *json, size_t n, struct conversation *ret)
{
    struct conversation c = {.root = parse(json, n), .n = 1};
    c.v = mem_calloc(1, sizeof(*c.v));
    if (read_message(c.root, "message", c.v)) {
        *ret = c;
        return true;
    }
    conversation_done(&c);
    return false;
}

void conversation_done(struct conversation *c)
{
    json_decref(c->root);
    free(c->v);
    *c = (struct conversation){0};
}

bool conversation_parse_status(const char *json, size_t n, bool *ret_is_running)
{
    json_t *root = parse(json, n);
    const char *status = json_string_value(json_object_get(root, "status"));
    bool is_running = status != NULL && strcmp(status, "running") == 0;
    bool ok = is_running || (status != NULL && strcmp(status, "stable") == 0);
    json_decref(root);
    if (ok)
        *ret_is_running = is_running;
    return ok;
}

/* ---- explanations ---- */

static const char *text_of(const json_t *root)
{
    static const char *const keys[] = {"message", "detail", "title"};
    const json_t *first = json_array_get(json_object_get(root, "errors"), 0);
    const char *text = json_string_value(json_object_get(first, "message"));
    for (size_t i = 0; text == NULL && i < sizeof(keys) / sizeof(keys[0]); i++)
        text = json_string_value(json_object_get(root, keys[i]));
    return text != NULL ? text : "";
}

void conversation_explain(const char *json, size_t n, char ret_text[static 160])
{
    struct strbuf clean;
    strbuf_init(&clean);
    json_t *root = parse(json, n);
    text_add_sanitized(&clean, text_of(root));
    json_decref(root);
    size_t kept = text_utf8_prefix(clean.s, clean.len, 159);
    memcpy(ret_text, clean.s, kept);
    ret_text[kept] = '\0';
    strbuf_done(&clean);
}
