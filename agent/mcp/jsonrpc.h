/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonrpc.h - messages of JSON-RPC 2.0, told apart and made.
 */
#ifndef AGENT_MCP_JSONRPC_H
#define AGENT_MCP_JSONRPC_H

#include <jansson.h>
#include <stddef.h>

enum jsonrpc_code {
    JSONRPC_PARSE_ERROR = -32700,
    JSONRPC_INVALID_REQUEST = -32600,
    JSONRPC_METHOD_NOT_FOUND = -32601,
    JSONRPC_INVALID_PARAMS = -32602,
};

enum jsonrpc_kind {
    JSONRPC_REQUEST,      /* wants an answer */
    JSONRPC_NOTIFICATION, /* wants none */
    JSONRPC_RESPONSE,     /* is one */
    JSONRPC_INVALID,      /* `why` says what is wrong; `id` if there is one to answer to */
};

/* Borrows from the value it was read from. */
struct jsonrpc_message {
    enum jsonrpc_kind kind;
    json_t *id; /* a text or a number; NULL: none */
    const char *method;
    json_t *params; /* NULL: none */
    const char *why;
};

struct jsonrpc_message jsonrpc_read(json_t *value);

/* A new value; `id` NULL stands for null. */
json_t *jsonrpc_result(json_t *id, json_t *take_result);
json_t *jsonrpc_error(json_t *id, enum jsonrpc_code code, const char *message);

/* The text of a value; NULL when it is none, or has a NUL inside. */
const char *jsonrpc_text(const json_t *value);

#endif
