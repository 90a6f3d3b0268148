/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_query.c - one row per parameter, one pass over the query.
 */
#include "gateway/task_query.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "gateway/json_out.h"

#define CURSOR_VERSION 1

struct parser {
    struct task_query *q;
    struct task_query_error *error;
    const char *name; /* of the parameter at hand */
    const char *cursor;
};

static bool fail(struct parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    snprintf(p->error->field, sizeof(p->error->field), "%s", p->name);
    vsnprintf(p->error->detail, sizeof(p->error->detail), fmt, ap);
    va_end(ap);
    return false;
}

/* ---- values ---- */

static bool among(const char *const *words, size_t n_words, const char *s, size_t n)
{
    for (size_t i = 0; i < n_words; i++)
        if (strlen(words[i]) == n && memcmp(words[i], s, n) == 0)
            return true;
    return false;
}

/* "a,b": each of them one of `words`. */
static bool read_words(struct parser *p, const char *text, const char *const *words, size_t n_words,
    char ret[][QUERY_WORD_MAX], size_t *ret_n)
{
    for (const char *s = text;; s++) {
        size_t n = strcspn(s, ",");
        if (!among(words, n_words, s, n) || *ret_n == QUERY_WORDS_MAX)
            return fail(p, "\"%.*s\" is none of the values that \"%s\" may have.",
                (int)(n < 40 ? n : 40), s, p->name);
        memcpy(ret[*ret_n], s, n);
        ret[(*ret_n)++][n] = '\0';
        s += n;
        if (*s == '\0')
            return true;
    }
}

static bool read_status(struct parser *p, const char *text)
{
    static const char *const words[] = {
        "pending", "initializing", "active", "paused", "unknown", "error"};
    return read_words(p, text, words, COUNT(words), p->q->statuses, &p->q->n_statuses);
}

static bool read_state(struct parser *p, const char *text)
{
    static const char *const words[] = {"working", "idle", "complete", "failed"};
    return read_words(p, text, words, COUNT(words), p->q->states, &p->q->n_states);
}

static bool read_name(struct parser *p, const char *text, const char **ret)
{
    if (text[0] == '\0' || strlen(text) > QUERY_NAME_MAX)
        return fail(p, "\"%s\" must have 1 to %d bytes.", p->name, QUERY_NAME_MAX);
    *ret = text;
    return true;
}

static bool read_owner(struct parser *p, const char *text)
{
    return read_name(p, text, &p->q->owner);
}

static bool read_organization(struct parser *p, const char *text)
{
    return read_name(p, text, &p->q->organization);
}

static bool read_template(struct parser *p, const char *text)
{
    return read_name(p, text, &p->q->template);
}

static bool read_prefix(struct parser *p, const char *text)
{
    return read_name(p, text, &p->q->name_prefix);
}

/* "team:web", or "team" whatever its value. */
static bool read_label(struct parser *p, const char *text)
{
    size_t n = strcspn(text, ":");
    if (n == 0 || n > 63 || strlen(text) > 63 + 1 + 255)
        return fail(p, "A label is asked for as \"name:value\" or \"name\"; a name has 1 to 63 "
                       "bytes, a value at most 255.");
    if (p->q->n_labels == QUERY_LABELS_MAX)
        return fail(p, "At most %d labels can be asked for at once.", QUERY_LABELS_MAX);
    p->q->labels[p->q->n_labels].name = text;
    p->q->labels[p->q->n_labels].n = n;
    p->q->labels[p->q->n_labels++].value = text[n] == ':' ? text + n + 1 : NULL;
    return true;
}

static bool read_time(struct parser *p, const char *text, int64_t *ret)
{
    return clock_parse(text, ret) ||
           fail(p, "\"%s\" must be a time such as 2026-11-20T16:01:02Z.", p->name);
}

static bool read_after(struct parser *p, const char *text)
{
    return read_time(p, text, &p->q->created_after);
}

static bool read_before(struct parser *p, const char *text)
{
    return read_time(p, text, &p->q->created_before);
}

static bool read_has_error(struct parser *p, const char *text)
{
    p->q->has_error = strcmp(text, "true") == 0;
    return p->q->has_error == 1 || strcmp(text, "false") == 0 ||
           fail(p, "\"has_error\" must be true or false.");
}

static bool read_order(struct parser *p, const char *text)
{
    static const char *const orders[] = {
        [ORDER_CREATED] = "created", [ORDER_UPDATED] = "updated", [ORDER_PRIORITY] = "priority"};
    for (size_t i = 0; i < COUNT(orders); i++) {
        if (strcmp(text, orders[i]) == 0) {
            p->q->order = (enum task_order)i;
            return true;
        }
    }
    return fail(p, "\"order\" must be created, updated or priority.");
}

bool page_limit_parse(const char *text, int64_t *ret_limit)
{
    *ret_limit = PAGE_LIMIT;
    if (text == NULL)
        return true;
    size_t n = strlen(text);
    *ret_limit = n > 0 && n <= 4 && strspn(text, "0123456789") == n ? atoi(text) : 0;
    return *ret_limit >= 1 && *ret_limit <= PAGE_LIMIT_MAX;
}

static bool read_limit(struct parser *p, const char *text)
{
    return page_limit_parse(text, &p->q->limit) ||
           fail(p, "\"limit\" must be a number from 1 to %d.", PAGE_LIMIT_MAX);
}

static bool read_fields(struct parser *p, const char *text)
{
    char unknown[32];
    return task_fields_parse(text, &p->q->fields, unknown) ||
           fail(p, "\"%s\" is no member of a task.", unknown);
}

static bool read_cursor(struct parser *p, const char *text)
{
    p->cursor = text;
    return true;
}

static bool ignore(struct parser *p, const char *text)
{
    (void)p, (void)text;
    return true;
}

/* is_filter: another value makes another list, which a cursor does not fit. */
static const struct {
    const char *name;
    bool (*read)(struct parser *p, const char *text);
    bool is_filter, many;
} parameters[] = {
    {"status",              read_status,       true,  false},
    {"state",               read_state,        true,  false},
    {"owner",               read_owner,        true,  false},
    {"organization",        read_organization, true,  false},
    {"template",            read_template,     true,  false},
    {"label",               read_label,        true,  true },
    {"name_prefix",         read_prefix,       true,  false},
    {"created_after",       read_after,        true,  false},
    {"created_before",      read_before,       true,  false},
    {"has_error",           read_has_error,    true,  false},
    {"order",               read_order,        true,  false},
    {"limit",               read_limit,        false, false},
    {"fields",              read_fields,       false, false},
    {"cursor",              read_cursor,       false, false},
    {"access_token",        ignore,            false, false},
    {"coder_session_token", ignore,            false, false},
};

/* ---- cursors ---- */

static void put_int(uint8_t *to, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_int(const uint8_t *from, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

void task_cursor_format(const struct task_query *q, const struct task_place *last,
    char ret_text[static TASK_CURSOR_SIZE])
{
    uint8_t b[TASK_CURSOR_BYTES] = {CURSOR_VERSION, (uint8_t)q->order};
    put_int(b + 2, q->hash, 4);
    put_int(b + 6, (uint64_t)last->key, 8);
    put_int(b + 14, (uint64_t)last->created_us, 8);
    memcpy(b + 22, last->id.b, sizeof(last->id.b));
    sodium_bin2base64(
        ret_text, TASK_CURSOR_SIZE, b, sizeof(b), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static bool parse_cursor(struct parser *p)
{
    struct task_query *q = p->q;
    uint8_t b[TASK_CURSOR_BYTES];
    size_t n = 0;
    p->name = "cursor";
    if (sodium_base642bin(b, sizeof(b), p->cursor, strlen(p->cursor), NULL, &n, NULL,
            sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        n != sizeof(b) || b[0] != CURSOR_VERSION)
        return fail(p, "This is no cursor; take next_cursor of an answer as it is.");
    if (b[1] != q->order || get_int(b + 2, 4) != q->hash)
        return fail(p, "The cursor belongs to a list with other filters or another order.");
    q->has_cursor = true;
    q->after.key = (int64_t)get_int(b + 6, 8);
    q->after.created_us = (int64_t)get_int(b + 14, 8);
    memcpy(q->after.id.b, b + 22, sizeof(q->after.id.b));
    return true;
}

/* FNV-1a */
static uint32_t hash_text(uint32_t hash, const char *s)
{
    do
        hash = (hash ^ (uint8_t)*s) * 16777619u;
    while (*s++ != '\0');
    return hash;
}

/* ---- the query ---- */

static bool read_one(struct parser *p, const char *word, uint32_t *seen)
{
    size_t n = strcspn(word, "=");
    for (size_t i = 0; i < COUNT(parameters); i++) {
        if (strlen(parameters[i].name) != n || memcmp(parameters[i].name, word, n) != 0)
            continue;
        p->name = parameters[i].name;
        if ((*seen & 1u << i) != 0 && !parameters[i].many)
            return fail(p, "\"%s\" may be given once.", p->name);
        *seen |= 1u << i;
        if (parameters[i].is_filter) /* in any order */
            p->q->hash += hash_text(2166136261u, word);
        return parameters[i].read(p, word[n] == '=' ? word + n + 1 : "");
    }
    char name[32];
    snprintf(name, sizeof(name), "%.*s", (int)text_utf8_prefix(word, n, 31), word);
    p->name = name;
    return fail(p, "There is no parameter \"%s\".", name);
}

bool task_query_parse(
    const char *query, size_t n, struct task_query *ret_query, struct task_query_error *ret_error)
{
    *ret_query = (struct task_query){.limit = PAGE_LIMIT,
        .has_error = -1,
        .created_after = INT64_MIN,
        .created_before = INT64_MIN};
    struct parser p = {.q = ret_query, .error = ret_error};
    uint32_t seen = 0;
    for (const char *s = query; s < query + n; s += strlen(s) + 1)
        if (!read_one(&p, s, &seen))
            return false;
    return p.cursor == NULL || parse_cursor(&p);
}

/* ---- members ---- */

const char *const task_fields[] = {"id", "organization_id", "owner_id", "owner_name",
    "owner_avatar_url", "name", "display_name", "template_id", "template_version_id",
    "template_name", "template_display_name", "template_icon", "workspace_id", "workspace_name",
    "workspace_status", "workspace_build_number", "workspace_agent_id", "workspace_agent_lifecycle",
    "workspace_agent_health", "workspace_app_id", "initial_prompt", "status", "current_state",
    "created_at", "updated_at", "error", "priority", "labels", "parameters",
    "template_version_preset_id", "start_after", "time_limit_ms", "ttl_ms", "revision", "queue",
    NULL};

static bool find_field(const char *s, size_t n, uint64_t *ret_bit)
{
    for (size_t i = 0; task_fields[i] != NULL; i++) {
        if (strlen(task_fields[i]) == n && memcmp(task_fields[i], s, n) == 0) {
            *ret_bit = UINT64_C(1) << i;
            return true;
        }
    }
    return false;
}

bool task_fields_parse(const char *text, uint64_t *ret_fields, char ret_unknown[static 32])
{
    *ret_fields = 0;
    for (const char *s = text;; s++) {
        size_t n = strcspn(s, ",");
        uint64_t bit;
        if (!find_field(s, n, &bit)) {
            snprintf(ret_unknown, 32, "%.*s", (int)text_utf8_prefix(s, n, 31), s);
            return false;
        }
        *ret_fields |= bit;
        s += n;
        if (*s == '\0')
            return true;
    }
}

/* Behind a string that begins here. */
static const char *skip_string(const char *s)
{
    for (s++; *s != '"'; s++)
        s += *s == '\\';
    return s + 1;
}

/* To the comma or bracket that ends the value that begins here. */
static const char *skip_value(const char *s)
{
    for (int depth = 0;; s++) {
        while (*s == '"')
            s = skip_string(s);
        if (depth == 0 && (*s == ',' || *s == '}'))
            return s;
        depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
    }
}

void task_fields_select(struct strbuf *out, const char *json, size_t n, uint64_t fields)
{
    const char *s = json + 1, *end = json + n;
    json_open(out, '{');
    while (s < end && *s == '"') {
        const char *colon = skip_string(s), *next = skip_value(colon + 1);
        uint64_t bit;
        if (find_field(s + 1, (size_t)(colon - s) - 2, &bit) && (fields & bit) != 0)
            json_raw(out, s, (size_t)(next - s));
        s = next + 1;
    }
    json_close(out, '}');
}
