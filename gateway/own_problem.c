/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_problem.c - problems as values.
 */
#include "gateway/own_problem.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/text.h"
#include "gateway/json_out.h"

/* What is cut to fit ends with a whole character. */
static void put(char *to, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(to, size, fmt, ap);
    if (n >= (int)size)
        to[text_utf8_prefix(to, size - 1, size - 2)] = '\0';
}

static void copy(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);
    n = text_utf8_prefix(from, n, size - 1);
    memcpy(to, from, n);
    to[n] = '\0';
}

bool own_problem_invalid(struct own_problem *p, const char *field, const char *fmt, ...)
{
    va_list ap;
    p->status = 400;
    copy(p->name, sizeof(p->name), "invalid-request");
    copy(p->title, sizeof(p->title), "The request is not valid.");
    copy(p->field, sizeof(p->field), field);
    va_start(ap, fmt);
    put(p->detail, sizeof(p->detail), fmt, ap);
    va_end(ap);
    return false;
}

bool own_problem_set(
    struct own_problem *p, int status, const char *name, const char *title, const char *fmt, ...)
{
    va_list ap;
    p->status = status;
    p->field[0] = '\0';
    copy(p->name, sizeof(p->name), name);
    copy(p->title, sizeof(p->title), title);
    va_start(ap, fmt);
    put(p->detail, sizeof(p->detail), fmt, ap);
    va_end(ap);
    return false;
}

void own_problem_refusal(
    struct own_problem *p, uint32_t code, const char *detail, const char *task_name)
{
    const struct refusal_row *row = refusal_row(code);
    const char *more = detail != NULL && detail[0] != '\0' ? detail : row->detail;
    if (row->code == REFUSAL_NAME_TAKEN) {
        own_problem_set(p, row->http_status, row->name, "A task of this name is there already.",
            "Workspace \"%.64s\" already exists.", task_name);
        copy(p->field, sizeof(p->field), "name");
        return;
    }
    own_problem_set(p, row->http_status, row->name, row->message, "%s", more);
}

void own_problem_answer(struct request *r, const struct own_problem *p)
{
    if (p->field[0] != '\0')
        answer_invalid_named(r, p->status, p->name, p->title, p->field, p->detail);
    else
        answer_problem(r, p->status, p->name, p->title, p->detail);
}

void own_problem_write(struct strbuf *out, const struct own_problem *p)
{
    json_open(out, '{');
    problem_write(out, p->status, p->name, p->title, p->detail);
    if (p->field[0] != '\0') {
        json_key(out, "validations");
        json_open(out, '[');
        json_open(out, '{');
        json_put_text(out, "field", p->field);
        json_put_text(out, "detail", p->detail);
        json_close(out, '}');
        json_close(out, ']');
    }
    json_close(out, '}');
}
