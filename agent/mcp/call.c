/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - steps of a call, and how what goes wrong is told to a model. */
#include "agent/mcp/call.h"

#include <stdarg.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define NO_USER                                                                             \
    "nobody is logged in: this tool acts as a user; set CODER_URL and CODER_SESSION_TOKEN " \
    "for the MCP server, or run `stint login`"

const char *call_text(const struct mcp_call *c, const char *name)
{
    const char *text = json_string_value(json_object_get(c->arguments, name));
    return text != NULL ? text : "";
}

/* ---- ends ---- */

static json_t *result_of(json_t *take_text, bool is_error)
{
    json_t *result = json_pack("{s:[{s:s, s:o}]}", "content", "type", "text", "text", take_text);
    if (is_error)
        json_object_set_new(result, "isError", json_true());
    return result;
}

void call_reply(struct mcp_call *c, json_t *take_value)
{
    scoped_free char *text = json_dumps(take_value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(take_value);
    mcp_server_end_call(c, result_of(json_string(text != NULL ? text : "null"), false));
}

void call_fail(struct mcp_call *c, const char *fmt, ...)
{
    struct strbuf text;
    strbuf_init(&text);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    json_t *value = json_string(text.s);
    if (value == NULL) /* somebody else's words, and no UTF-8 */
        value = json_string("it failed, and the reason given is no text");
    strbuf_done(&text);
    mcp_server_end_call(c, result_of(value, true));
}

/* ---- steps ---- */

static void on_reported(void *arg, enum err e, const char *text)
{
    struct mcp_call *c = arg;
    c->job = NULL;
    if (e == ERR_OK)
        call_reply(c, json_pack("{s:s}", "message", "Thanks for reporting!"));
    else
        call_fail(c, "%s", text);
}

void call_report(struct mcp_call *c, const struct mcp_report *report)
{
    c->job = c->world->report(c->world->arg, report, on_reported, c);
}

/* Coder's errors: {"message", "detail", "validations"}; ours: problem+json. */
static void fail_by_status(struct mcp_call *c, const struct mcp_reply *r)
{
    const char *message = json_string_value(json_object_get(r->body, "message"));
    if (message == NULL)
        message = json_string_value(json_object_get(r->body, "title"));
    const char *detail = json_string_value(json_object_get(r->body, "detail"));
    if (r->status == 401)
        call_fail(c, "the user's session is not valid any more; log in again (%s)",
            message != NULL ? message : "401");
    else if (message == NULL)
        call_fail(c, "the gateway answered with status %d", r->status);
    else if (detail == NULL)
        call_fail(c, "%s (status %d)", message, r->status);
    else
        call_fail(c, "%s %s (status %d)", message, detail, r->status);
}

static void on_answer(void *arg, const struct mcp_reply *r)
{
    struct mcp_call *c = arg;
    c->job = NULL;
    if (r->code != ERR_OK)
        call_fail(c, "the gateway cannot be asked: %s", r->why);
    else if (r->status != c->expected)
        fail_by_status(c, r);
    else
        c->next(c, r->body);
}

void call_ask(struct mcp_call *c, const char *method, const char *path, json_t *take_body,
    int expected, call_next_fn next)
{
    if (!c->world->has_user) {
        json_decref(take_body);
        call_fail(c, NO_USER);
        return;
    }
    const struct mcp_ask ask = {.method = method, .path = path, .body = take_body};
    c->expected = expected;
    c->next = next;
    c->job = c->world->ask(c->world->arg, &ask, on_answer, c);
    json_decref(take_body);
}
