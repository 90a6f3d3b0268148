/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - the ways to answer.  All of them end in http_answer(), after which the request is
 * http.c's alone.
 *
 * Errors have two dialects, told by the path: Coder's {message, detail, validations}, and below
 * /api/stint/v1 problem details (RFC 9457) {type, title, status, detail, request_id, validations}.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"
#include "gateway/http.h"
#include "gateway/idempotency.h"
#include "gateway/json_out.h"
#include "gateway/request.h"
#include "gateway/task_cache.h"

#define JSON_TYPE    "application/json; charset=utf-8"
#define PROBLEM_TYPE "application/problem+json"

static void finish(struct request *r, int status, const char *type)
{
    r->status = status;
    r->type = type;
    r->is_over = true;
    if (!idempotency_keep(r))
        http_answer(r);
}

void answer_header(struct request *r, const char *name, const char *value)
{
    strbuf_add(&r->head, name, strlen(name) + 1);
    strbuf_add(&r->head, value, strlen(value) + 1);
}

void answer_json(struct request *r, int status)
{
    strbuf_addch(&r->out, '\n');
    finish(r, status, JSON_TYPE);
}

void answer_empty(struct request *r, int status)
{
    strbuf_clear(&r->out);
    finish(r, status, NULL);
}

void answer_redirect(struct request *r, const char *location)
{
    answer_header(r, "location:", location);
    answer_header(r, "cache-control:", "no-store");
    answer_empty(r, 307);
}

void answer_page(struct request *r, int status)
{
    answer_header(r, "cache-control:", "no-store");
    answer_header(r, "content-security-policy:",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'");
    answer_header(r, "x-frame-options:", "DENY");
    answer_header(r, "x-content-type-options:", "nosniff");
    answer_header(r, "referrer-policy:", "no-referrer");
    finish(r, status, "text/html; charset=utf-8");
}

void answer_text(struct request *r, int status, const char *type)
{
    finish(r, status, type);
}

void answer_blob(struct request *r, int status, struct task_blob *blob)
{
    r->blob = task_blob_ref(blob);
    finish(r, status, JSON_TYPE);
}

void answer_bytes(struct request *r, int status, struct task_blob *bytes)
{
    r->blob = task_blob_ref(bytes);
    finish(r, status, "application/octet-stream");
}

void answer_stored(struct request *r, int status, const char *type)
{
    static const char *const types[] = {JSON_TYPE, PROBLEM_TYPE};
    const char *known = NULL; /* those of the answers last as long as the program */
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(type, types[i]) == 0)
            known = types[i];
    finish(r, status, known);
}

/* A message that was cut to fit may end inside a character. */
static void put_sentence(struct strbuf *b, const char *key, const char *s)
{
    size_t n = strlen(s);
    while (n > 0 && !text_is_utf8(s, n))
        n--;
    json_key(b, key);
    json_textn(b, s, n);
}

static bool has_problems(const struct request *r)
{
    return route_prefix_of(r->path.s, NULL) == PREFIX_STINT;
}

/* NULL: a problem with no name beyond its status.  MESSAGES_FULL -> urn:stint:problem:messages-full
 */
static void put_problem_type(struct strbuf *b, const char *name)
{
    char type[96] = "about:blank";
    if (name != NULL)
        snprintf(type, sizeof(type), "urn:stint:problem:%s", name);
    for (char *p = type; name != NULL && *p != '\0'; p++)
        *p = (char)(*p == '_' ? '-' : tolower((unsigned char)*p));
    json_put_text(b, "type", type);
}

void problem_write(
    struct strbuf *out, int status, const char *name, const char *title, const char *detail)
{
    put_problem_type(out, name);
    put_sentence(out, "title", title);
    json_put_int(out, "status", status);
    put_sentence(out, "detail", detail != NULL && detail[0] != '\0' ? detail : title);
}

static void open_error(
    struct request *r, int status, const char *name, const char *message, const char *detail)
{
    strbuf_clear(&r->out);
    json_open(&r->out, '{');
    if (has_problems(r)) {
        problem_write(&r->out, status, name, message, detail);
        json_put_text(&r->out, "request_id", r->id);
        return;
    }
    put_sentence(&r->out, "message", message);
    if (detail != NULL && detail[0] != '\0')
        put_sentence(&r->out, "detail", detail);
}

static void close_error(struct request *r, int status)
{
    json_close(&r->out, '}');
    strbuf_addch(&r->out, '\n');
    finish(r, status, has_problems(r) ? PROBLEM_TYPE : JSON_TYPE);
}

void answer_error(struct request *r, int status, const char *message, const char *detail)
{
    open_error(r, status, NULL, message, detail);
    close_error(r, status);
}

void answer_errorf(struct request *r, int status, const char *detail, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    answer_error(r, status, message, detail);
}

void answer_invalid_named(struct request *r, int status, const char *name, const char *message,
    const char *field, const char *detail)
{
    open_error(r, status, name, message, has_problems(r) ? detail : NULL);
    json_key(&r->out, "validations");
    json_open(&r->out, '[');
    json_open(&r->out, '{');
    put_sentence(&r->out, "field", field);
    put_sentence(&r->out, "detail", detail);
    json_close(&r->out, '}');
    json_close(&r->out, ']');
    close_error(r, status);
}

void answer_invalid(
    struct request *r, int status, const char *message, const char *field, const char *detail)
{
    answer_invalid_named(r, status, NULL, message, field, detail);
}

void answer_problem(
    struct request *r, int status, const char *name, const char *title, const char *detail)
{
    open_error(r, status, name, title, detail);
    close_error(r, status);
}

void answer_not_found(struct request *r)
{
    answer_error(r, 404, refusal_row(REFUSAL_TASK_UNKNOWN)->message, NULL);
}

void answer_forbidden(struct request *r)
{
    answer_error(r, 403, "Forbidden.",
        "You don't have permission to view this content. If you believe this is a mistake, please "
        "contact your administrator or try signing in with different credentials.");
}

void answer_refusal(struct request *r, uint32_t code, const char *detail, const char *name)
{
    const struct refusal_row *row = refusal_row(code);
    const char *more = detail != NULL && detail[0] != '\0' ? detail : row->detail;
    if (row->code != REFUSAL_NAME_TAKEN) {
        open_error(r, row->http_status, row->name, row->message, more);
        close_error(r, row->http_status);
        return;
    }
    char message[128];
    snprintf(message, sizeof(message), "Workspace \"%.64s\" already exists.", name);
    answer_invalid(
        r, row->http_status, message, "name", "This value is already in use and should be unique.");
}

void answer_db_failed(struct request *r, enum err code)
{
    if (err_http_status(code) == 503)
        answer_error(r, 503, "The database cannot be reached.",
            "Check that Postgres runs and that database_url names it, then try again.");
    else
        answer_error(r, 500, "An internal server error occurred.", err_text(code));
}
