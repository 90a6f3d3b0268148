/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc.c - what a message is follows from which of its members are there. */
#include "agent/mcp/jsonrpc.h"

#include <stdbool.h>
#include <string.h>

const char *jsonrpc_text(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

static struct jsonrpc_message invalid(struct jsonrpc_message m, const char *why)
{
    m.kind = JSONRPC_INVALID;
    m.why = why;
    return m;
}

struct jsonrpc_message jsonrpc_read(json_t *value)
{
    struct jsonrpc_message m = {.kind = JSONRPC_NOTIFICATION};
    if (!json_is_object(value))
        return invalid(m, "a message is an object");
    json_t *id = json_object_get(value, "id");
    if (json_is_string(id) || json_is_number(id))
        m.id = id;
    const char *version = jsonrpc_text(json_object_get(value, "jsonrpc"));
    if (version == NULL || strcmp(version, "2.0") != 0)
        return invalid(m, "\"jsonrpc\" must be \"2.0\"");
    if (id != NULL && m.id == NULL)
        return invalid(m, "\"id\" must be a text or a number");

    json_t *method = json_object_get(value, "method");
    bool is_answer =
        json_object_get(value, "result") != NULL || json_object_get(value, "error") != NULL;
    if (method == NULL && m.id != NULL && is_answer) {
        m.kind = JSONRPC_RESPONSE;
        return m;
    }
    m.method = jsonrpc_text(method);
    if (m.method == NULL)
        return invalid(m, "\"method\" must be a text");
    m.params = json_object_get(value, "params");
    if (m.params != NULL && !json_is_object(m.params) && !json_is_array(m.params))
        return invalid(m, "\"params\" must be an object");
    if (m.id != NULL)
        m.kind = JSONRPC_REQUEST;
    return m;
}

json_t *jsonrpc_result(json_t *id, json_t *take_result)
{
    return json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", id, "result", take_result);
}

json_t *jsonrpc_error(json_t *id, enum jsonrpc_code code, const char *message)
{
    return json_pack("{s:s, s:o, s:{s:i, s:s}}", "jsonrpc", "2.0", "id",
        id != NULL ? json_incref(id) : json_null(), "error", "code", (int)code, "message", message);
}
