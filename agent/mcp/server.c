/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c - messages find their method in a table.
 *
 *   line -> JSON -> message(s) -> method -> answer -> line
 *                                    \-> tools/call: a call, whose answer comes when it is over
 *
 * The answers to a batch (an array of messages; only version 2025-03-26 has them) are gathered and
 * go out as one array when the last call of it is over.
 */
#include "agent/mcp/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mcp/call.h"
#include "agent/mcp/jsonrpc.h"
#include "agent/mcp/tool.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define MESSAGES_MAX 256 /* of a batch */

static const char *const versions[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};
#define VERSION_OF_BATCHES "2025-03-26"

struct mcp_server {
    struct mcp_server_conf conf;
    const char *version; /* NULL until initialize */
    struct list calls;
    size_t n_calls;
    bool is_over; /* nothing is said any more */
};

struct mcp_batch {
    json_t *answers;
    size_t n_open; /* messages without their answer, and one for the reader */
};

/* What a handler has to say: a result, an error, or (neither) that the answer follows. */
struct answer {
    json_t *result;
    enum jsonrpc_code code; /* 0: no error */
    const char *error;
};

/* ---- out ---- */

static void write_line(struct mcp_server *s, json_t *take_value)
{
    char *text = json_dumps(take_value, JSON_COMPACT);
    json_decref(take_value);
    struct strbuf line;
    strbuf_init(&line);
    strbuf_addf(&line, "%s\n", text != NULL ? text : "{}");
    free(text);
    if (!s->is_over)
        s->conf.world->write(s->conf.world->arg, line.s, line.len);
    strbuf_done(&line);
}

/* One message of a batch is done with; the last one sends what has been gathered. */
static void batch_done(struct mcp_server *s, struct mcp_batch *b)
{
    if (b == NULL || --b->n_open > 0)
        return;
    if (json_array_size(b->answers) > 0)
        write_line(s, b->answers);
    else
        json_decref(b->answers);
    free(b);
}

static void send_answer(struct mcp_server *s, struct mcp_batch *b, json_t *take_answer)
{
    if (b == NULL)
        write_line(s, take_answer);
    else
        json_array_append_new(b->answers, take_answer);
}

/* ---- methods ---- */

static const char *negotiate(const char *wanted)
{
    for (size_t i = 0; i < COUNT(versions); i++)
        if (wanted != NULL && strcmp(wanted, versions[i]) == 0)
            return versions[i];
    return versions[0];
}

static struct answer on_initialize(struct mcp_server *s, const struct jsonrpc_message *m)
{
    json_t *wanted = json_object_get(m->params, "protocolVersion");
    if (wanted != NULL && !json_is_string(wanted))
        return (struct answer){
            .code = JSONRPC_INVALID_PARAMS, .error = "\"protocolVersion\" must be a text"};
    s->version = negotiate(jsonrpc_text(wanted));
    json_t *result = json_pack("{s:s, s:{s:{}}, s:{s:s, s:s, s:s}}", "protocolVersion", s->version,
        "capabilities", "tools", "serverInfo", "name", "Coder Agent", "title", "Stint", "version",
        STINT_VERSION);
    if (s->conf.instructions != NULL && s->conf.instructions[0] != '\0') {
        json_t *text = json_string(s->conf.instructions);
        if (text != NULL)
            json_object_set_new(result, "instructions", text);
    }
    return (struct answer){.result = result};
}

static struct answer on_ping(struct mcp_server *s, const struct jsonrpc_message *m)
{
    (void)s, (void)m;
    return (struct answer){.result = json_object()};
}

static struct answer on_tools_list(struct mcp_server *s, const struct jsonrpc_message *m)
{
    json_t *cursor = json_object_get(m->params, "cursor");
    if (cursor != NULL && !json_is_null(cursor))
        return (struct answer){.code = JSONRPC_INVALID_PARAMS,
            .error = "this cursor was not given by this server: the list has one page"};
    json_t *tools = json_array();
    for (const struct mcp_tool *t = mcp_tools; t->name != NULL; t++)
        if (tool_is_offered(t, s->conf.world, s->conf.allowed_tools))
            json_array_append_new(tools, tool_to_json(t));
    return (struct answer){.result = json_pack("{s:o}", "tools", tools)};
}

static struct answer invalid_params(const char *error)
{
    return (struct answer){.code = JSONRPC_INVALID_PARAMS, .error = error};
}

/* The tool that is meant; NULL: `ret_error` says why not. */
static const struct mcp_tool *tool_of(
    struct mcp_server *s, const struct jsonrpc_message *m, const char **ret_error)
{
    const char *name = jsonrpc_text(json_object_get(m->params, "name"));
    const struct mcp_tool *t = name != NULL ? tool_find(name) : NULL;
    if (name == NULL)
        *ret_error = "\"name\" must be the name of a tool, see tools/list";
    else if (t == NULL)
        *ret_error = "there is no tool of this name, see tools/list";
    else if (!tool_is_offered(t, s->conf.world, s->conf.allowed_tools))
        *ret_error = "this tool is not available here, see tools/list and this server's stderr";
    else
        return t;
    return NULL;
}

static void begin_call(struct mcp_server *s, const struct jsonrpc_message *m, struct mcp_batch *b,
    const struct mcp_tool *tool)
{
    struct mcp_call *c = mem_alloc(sizeof(*c));
    *c = (struct mcp_call){
        .server = s,
        .world = s->conf.world,
        .batch = b,
        .tool = tool,
        .id = json_incref(m->id),
        .arguments = json_incref(json_object_get(m->params, "arguments")),
    };
    if (b != NULL)
        b->n_open++;
    list_append(&s->calls, &c->item);
    s->n_calls++;
    struct errctx ctx = {0};
    if (tool_check(tool, c->arguments, &ctx) != ERR_OK)
        call_fail(c, "%s", ctx.text);
    else
        tool->run(c);
}

static struct answer on_tools_call(
    struct mcp_server *s, const struct jsonrpc_message *m, struct mcp_batch *b)
{
    json_t *arguments = json_object_get(m->params, "arguments");
    if (arguments != NULL && !json_is_object(arguments) && !json_is_null(arguments))
        return invalid_params("\"arguments\" must be an object");
    const char *error = NULL;
    const struct mcp_tool *tool = tool_of(s, m, &error);
    if (tool == NULL)
        return invalid_params(error);
    begin_call(s, m, b, tool);
    return (struct answer){0};
}

static const struct method {
    const char *name;
    bool before_initialize; /* may be asked at any time */
    struct answer (*run)(struct mcp_server *s, const struct jsonrpc_message *m);
} methods[] = {
    {"initialize", true,  on_initialize},
    {"ping",       true,  on_ping      },
    {"tools/list", false, on_tools_list},
    {"tools/call", false, NULL         }, /* answers later */
};

static struct answer run_method(
    struct mcp_server *s, const struct jsonrpc_message *m, struct mcp_batch *b)
{
    size_t i = 0;
    while (i < COUNT(methods) && strcmp(methods[i].name, m->method) != 0)
        i++;
    if (i == COUNT(methods))
        return (struct answer){
            .code = JSONRPC_METHOD_NOT_FOUND, .error = "this server has no such method"};
    if (s->version == NULL && !methods[i].before_initialize)
        return (struct answer){.code = JSONRPC_INVALID_REQUEST,
            .error = "the session has not begun: initialize first"};
    return methods[i].run != NULL ? methods[i].run(s, m) : on_tools_call(s, m, b);
}

/* ---- calls ---- */

static void call_free(struct mcp_call *c)
{
    struct mcp_server *s = c->server;
    list_unlink(&c->item);
    s->n_calls--;
    json_decref(c->id);
    json_decref(c->arguments);
    json_decref(c->kept);
    batch_done(s, c->batch);
    free(c);
}

void mcp_server_end_call(struct mcp_call *c, json_t *take_result)
{
    send_answer(c->server, c->batch, jsonrpc_result(c->id, take_result));
    call_free(c);
}

static void call_cancel(struct mcp_call *c)
{
    if (c->job != NULL)
        c->job->cancel(c->job);
    call_free(c);
}

static void on_cancelled(struct mcp_server *s, const struct jsonrpc_message *m)
{
    json_t *id = json_object_get(m->params, "requestId");
    list_for_safe(item, &s->calls)
    {
        struct mcp_call *c = container_of(item, struct mcp_call, item);
        if (json_equal(c->id, id)) {
            call_cancel(c);
            return;
        }
    }
}

/* ---- in ---- */

static void on_request(struct mcp_server *s, const struct jsonrpc_message *m, struct mcp_batch *b)
{
    struct answer a = run_method(s, m, b);
    if (a.result != NULL)
        send_answer(s, b, jsonrpc_result(m->id, a.result));
    else if (a.code != 0)
        send_answer(s, b, jsonrpc_error(m->id, a.code, a.error));
}

static void on_message(struct mcp_server *s, json_t *value, struct mcp_batch *b)
{
    struct jsonrpc_message m = jsonrpc_read(value);
    switch (m.kind) {
    case JSONRPC_REQUEST:
        if (b != NULL && strcmp(m.method, "initialize") == 0)
            send_answer(s, b,
                jsonrpc_error(m.id, JSONRPC_INVALID_REQUEST, "initialize must not be in a batch"));
        else
            on_request(s, &m, b);
        break;
    case JSONRPC_NOTIFICATION:
        if (strcmp(m.method, "notifications/cancelled") == 0)
            on_cancelled(s, &m);
        break; /* initialized, progress and whatever else: nothing hangs on them */
    case JSONRPC_RESPONSE:
        break; /* nothing was asked */
    case JSONRPC_INVALID:
        send_answer(s, b, jsonrpc_error(m.id, JSONRPC_INVALID_REQUEST, m.why));
        break;
    }
}

static const char *why_no_batch(const struct mcp_server *s, const json_t *messages)
{
    if (s->version == NULL || strcmp(s->version, VERSION_OF_BATCHES) != 0)
        return "batches are known to protocol version " VERSION_OF_BATCHES " only";
    if (json_array_size(messages) == 0)
        return "the batch is empty";
    return json_array_size(messages) > MESSAGES_MAX ? "the batch has more than 256 messages" : NULL;
}

static void on_batch(struct mcp_server *s, json_t *messages)
{
    const char *why = why_no_batch(s, messages);
    if (why != NULL) {
        write_line(s, jsonrpc_error(NULL, JSONRPC_INVALID_REQUEST, why));
        return;
    }
    struct mcp_batch *b = mem_alloc(sizeof(*b));
    b->answers = json_array();
    b->n_open = 1;
    for (size_t i = 0; i < json_array_size(messages); i++)
        on_message(s, json_array_get(messages, i), b);
    batch_done(s, b);
}

static bool is_blank(const char *line, size_t n)
{
    size_t i = 0;
    while (i < n && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
        i++;
    return i == n;
}

void mcp_server_line(struct mcp_server *s, const char *line, size_t n)
{
    if (is_blank(line, n))
        return;
    json_error_t error;
    json_t *value = json_loadb(line, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (value == NULL) {
        char why[JSON_ERROR_TEXT_LENGTH + 32];
        snprintf(why, sizeof(why), "not a line of JSON: %s", error.text);
        json_t *answer = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, why);
        if (answer == NULL) /* the words repeat what is no UTF-8 */
            answer = jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "not a line of JSON in UTF-8");
        write_line(s, answer);
    } else if (json_is_array(value)) {
        on_batch(s, value);
    } else {
        on_message(s, value, NULL);
    }
    json_decref(value);
}

void mcp_server_line_too_long(struct mcp_server *s)
{
    write_line(
        s, jsonrpc_error(NULL, JSONRPC_PARSE_ERROR, "a line of more than 4 MiB was thrown away"));
}

/* ---- life ---- */

static void warn_of_withheld(const struct mcp_server *s)
{
    for (const struct mcp_tool *t = mcp_tools; t->name != NULL; t++)
        if (tool_is_allowed(t, s->conf.allowed_tools) &&
            !tool_is_offered(t, s->conf.world, s->conf.allowed_tools))
            log_warn("tool is not offered tool=%s needs=%s", t->name,
                LOG_Q(t->needs == NEEDS_AGENT
                          ? "an agent to report to and CODER_MCP_APP_STATUS_SLUG"
                          : "a user who is logged in"));
}

struct mcp_server *mcp_server_new(const struct mcp_server_conf *conf)
{
    struct mcp_server *s = mem_alloc(sizeof(*s));
    s->conf = *conf;
    list_init(&s->calls);
    warn_of_withheld(s);
    return s;
}

void mcp_server_free(struct mcp_server *s)
{
    if (s == NULL)
        return;
    s->is_over = true;
    list_for_safe(item, &s->calls) call_cancel(container_of(item, struct mcp_call, item));
    free(s);
}

size_t mcp_server_n_calls(const struct mcp_server *s)
{
    return s->n_calls;
}
