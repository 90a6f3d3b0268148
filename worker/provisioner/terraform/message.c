/* SPDX-License-Identifier: Apache-2.0 */
/* message.c - levels, texts, diagnostics with their place in the template. */
#include "worker/provisioner/terraform/message.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

#define ERROR_BYTES 900
#define LAST_BYTES  700

void message_sum_init(struct message_sum *s)
{
    strbuf_init(&s->error);
    strbuf_init(&s->last);
    s->ai_tasks = 0;
    s->on_hook = NULL;
}

void message_sum_done(struct message_sum *s)
{
    strbuf_done(&s->error);
    strbuf_done(&s->last);
}

void message_done(struct message *m)
{
    free(m->text);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

/* "on main.tf line 3" */
static void add_place(struct strbuf *b, const json_t *diagnostic)
{
    const json_t *range = json_object_get(diagnostic, "range");
    if (!json_is_object(range))
        return;
    json_int_t line = json_integer_value(json_object_get(json_object_get(range, "start"), "line"));
    strbuf_addf(b, " (on %s line %lld", text_of(range, "filename"), (long long)line);
    const char *context = text_of(json_object_get(diagnostic, "snippet"), "context");
    if (context[0] != '\0')
        strbuf_addf(b, ", in %s", context);
    strbuf_addch(b, ')');
}

static char *diagnostic_text(const json_t *d)
{
    struct strbuf b;
    strbuf_init(&b);
    bool bad = strcmp(text_of(d, "severity"), "error") == 0;
    strbuf_addf(&b, "%s: %s", bad ? "Error" : "Warning", text_of(d, "summary"));
    add_place(&b, d);
    const char *detail = text_of(d, "detail");
    if (detail[0] != '\0')
        strbuf_addf(&b, ": %s", detail);
    for (char *p = b.s; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    return strbuf_detach(&b);
}

/* The first error is the cause; what follows follows from it. */
static void keep_error(struct message_sum *s, const char *text)
{
    if (s->error.len > 0)
        return;
    size_t n = strlen(text);
    strbuf_add(&s->error, text, n < ERROR_BYTES ? n : ERROR_BYTES);
}

static char *take_diagnostic(struct message_sum *s, const json_t *d, enum log_level *ret_level)
{
    char *text = diagnostic_text(d);
    *ret_level = strcmp(text_of(d, "severity"), "error") == 0 ? LOG_ERROR : LOG_WARN;
    if (*ret_level == LOG_ERROR)
        keep_error(s, text);
    return text;
}

static void count_ai_tasks(struct message_sum *s, const json_t *o)
{
    if (strcmp(text_of(o, "type"), "planned_change") != 0)
        return;
    const json_t *change = json_object_get(o, "change");
    const char *action = text_of(change, "action");
    if (strcmp(text_of(json_object_get(change, "resource"), "resource_type"), "coder_ai_task") ==
            0 &&
        (strcmp(action, "create") == 0 || strcmp(action, "replace") == 0))
        s->ai_tasks++;
}

static void tell_hook(const struct message_sum *s, const json_t *o)
{
    const json_t *hook = json_object_get(o, "hook");
    if (s->on_hook != NULL && json_is_object(hook))
        s->on_hook(s->arg, text_of(o, "type"), text_of(json_object_get(hook, "resource"), "addr"),
            text_of(hook, "action"));
}

static void take_json(struct message_sum *s, const json_t *o, struct message *ret)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {
        {"error", LOG_ERROR},
        {"warn",  LOG_WARN },
        {"debug", LOG_DEBUG},
        {"trace", LOG_DEBUG},
    };
    const json_t *diagnostic = json_object_get(o, "diagnostic");
    count_ai_tasks(s, o);
    tell_hook(s, o);
    ret->level = LOG_INFO;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(text_of(o, "@level"), levels[i].name) == 0)
            ret->level = levels[i].level;
    if (json_is_object(diagnostic))
        ret->text = take_diagnostic(s, diagnostic, &ret->level);
    else if (strcmp(text_of(o, "type"), "version") != 0)
        ret->text = mem_strdup(text_of(o, "@message"));
}

static void keep_last(struct message_sum *s, const char *line)
{
    if (s->last.len > 0)
        strbuf_addch(&s->last, ' ');
    strbuf_addstr(&s->last, line);
    if (s->last.len > LAST_BYTES)
        strbuf_consume(&s->last, s->last.len - LAST_BYTES);
}

void message_read(struct message_sum *s, const char *line, struct message *ret)
{
    *ret = (struct message){.level = LOG_INFO};
    line += strspn(line, " \t\r");
    if (line[0] == '\0')
        return;
    json_t *o = line[0] == '{' ? json_loads(line, 0, NULL) : NULL;
    if (json_is_object(o) && json_object_get(o, "@level") != NULL) {
        take_json(s, o, ret);
    } else {
        keep_last(s, line);
        ret->text = mem_strdup(line);
    }
    json_decref(o);
}

void message_read_document(struct message_sum *s, const char *json)
{
    json_t *o = json_loads(json, 0, NULL);
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(o, "diagnostics"), i, d)
    {
        enum log_level level;
        free(take_diagnostic(s, d, &level));
    }
    json_decref(o);
}
