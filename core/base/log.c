/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - a line is built on the stack and leaves in one write, so lines of several threads and
 * processes that share stderr never mix.
 *
 * Whatever is logged, a line stays one line of valid UTF-8, and its JSON form stays JSON: control
 * characters become spaces, stray bytes '?', and a field that does not fit any more is left out.
 */
#include "core/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"

#define LINE_MAX_BYTES 4096
#define TEXT_MAX_BYTES 3072
#define KEY_CHARACTERS "abcdefghijklmnopqrstuvwxyz_0123456789"

static const char *log_part = "stint";
static _Atomic int log_threshold = LOG_INFO;
static atomic_bool log_as_json;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *part)
{
    log_part = part;
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_threshold, (int)level);
}

void log_set_json(bool json)
{
    atomic_store(&log_as_json, json);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

enum err log_configure(const char *level, const char *format, struct errctx *ctx)
{
    enum log_level threshold;
    bool is_json = strcmp(format, "json") == 0;
    if (!log_level_parse(level, &threshold))
        return err_set(
            ctx, ERR_CONFIG, "log_level is \"%s\": use debug, info, warn or error", level);
    if (!is_json && strcmp(format, "logfmt") != 0)
        return err_set(ctx, ERR_CONFIG, "log_format is \"%s\": use logfmt or json", format);
    log_set_level(threshold);
    log_set_json(is_json);
    return ERR_OK;
}

const char *log_quote(char *buf, size_t size, const char *text)
{
    size_t n = 0;
    buf[n++] = '"';
    for (; text != NULL && *text != '\0' && n + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            buf[n++] = '\\';
            buf[n++] = (char)c;
        } else if (c == '\n') {
            buf[n++] = '\\';
            buf[n++] = 'n';
        } else {
            buf[n++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
        }
    }
    buf[n++] = '"';
    buf[n] = '\0';
    return buf;
}

/* One line of valid UTF-8, in place. */
static void tidy(char *text)
{
    bool plain = true;
    for (char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f)
            *p = ' ';
        plain &= c < 0x80;
    }
    if (plain || text_is_utf8(text, strlen(text)))
        return;
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
}

/* Where the fields begin: the space before the first key=, or the end. */
static const char *fields_of(const char *text)
{
    for (const char *p = strchr(text, ' '); p != NULL; p = strchr(p + 1, ' ')) {
        size_t key = strspn(p + 1, KEY_CHARACTERS);
        if (key > 0 && p[1 + key] == '=')
            return p;
    }
    return text + strlen(text);
}

/* ---- a line under construction ---- */

struct line {
    char s[LINE_MAX_BYTES];
    size_t n;
    bool full;
};

static void put(struct line *l, const char *s, size_t n)
{
    if (l->full || n > sizeof(l->s) - l->n - 2) { /* room for the brace and the line's end */
        l->full = true;
        return;
    }
    memcpy(l->s + l->n, s, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* `n` bytes as a JSON string.  Control characters are gone already. */
static void put_json(struct line *l, const char *s, size_t n)
{
    put(l, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            put(l, "\\", 1);
        put(l, s + i, 1);
    }
    put(l, "\"", 1);
}

/* A value as log_quote() made it, whose escapes JSON shares; returns where it ends. */
static const char *put_quoted(struct line *l, const char *p)
{
    const char *end = p + 1;
    while (*end != '\0' && *end != '"')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end == '\0') { /* was cut, or never closed */
        put_json(l, p + 1, (size_t)(end - p - 1));
        return end;
    }
    for (const char *c = p; c < end; c++) {
        if (*c != '\\') {
            put(l, c, 1);
        } else if (strchr("\"\\n", c[1]) != NULL) {
            put(l, c++, 2);
        } else { /* an escape of somebody else's */
            put(l, "\\\\", 2);
        }
    }
    put(l, "\"", 1);
    return end + 1;
}

/* " key=value": adds ,"key":"value" and returns where it ends. */
static const char *put_json_field(struct line *l, const char *p)
{
    p += strspn(p, " ");
    size_t key = strcspn(p, "= ");
    put(l, ",", 1);
    put_json(l, p, key);
    put(l, ":", 1);
    p += key + (p[key] == '=');
    if (*p == '"')
        return put_quoted(l, p);
    size_t n = strcspn(p, " ");
    put_json(l, p, n);
    return p + n;
}

static void put_json_line(
    struct line *l, enum log_level level, const char *at, const char *text, const char *fields)
{
    put_str(l, "{\"ts\":\"");
    put_str(l, at);
    put_str(l, "\",\"level\":\"");
    put_str(l, level_names[level]);
    put_str(l, "\",\"part\":\"");
    put_str(l, log_part);
    put_str(l, "\",\"msg\":");
    put_json(l, text, (size_t)(fields - text));
    while (*fields != '\0' && !l->full) {
        size_t before = l->n;
        fields = put_json_field(l, fields);
        if (l->full)
            l->n = before;
    }
    l->s[l->n++] = '}';
}

static void put_logfmt_line(
    struct line *l, enum log_level level, const char *at, const char *text, const char *fields)
{
    put_str(l, "ts=");
    put_str(l, at);
    put_str(l, " level=");
    put_str(l, level_names[level]);
    put_str(l, " part=");
    put_str(l, log_part);
    put_str(l, " msg=");
    put_json(l, text, (size_t)(fields - text));
    put_str(l, fields);
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&log_threshold, memory_order_relaxed))
        return;

    char text[TEXT_MAX_BYTES], at[CLOCK_TEXT_SIZE];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(text))
        text[text_utf8_prefix(text, sizeof(text), sizeof(text) - 1)] = '\0';
    tidy(text);
    const char *fields = fields_of(text);
    if (fields - text > TEXT_MAX_BYTES / 2) /* doubled by escapes it must still fit */
        text[TEXT_MAX_BYTES / 2] = '\0', fields = text + TEXT_MAX_BYTES / 2;

    struct line line;
    line.n = 0;
    line.full = false;
    clock_format(clock_wall_us(), at);
    if (atomic_load_explicit(&log_as_json, memory_order_relaxed))
        put_json_line(&line, level, at, text, fields);
    else
        put_logfmt_line(&line, level, at, text, fields);
    line.s[line.n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line.s, line.n);
    (void)ignored;
}
