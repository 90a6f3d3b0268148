/*
 * log.c - a line is built on the stack and leaves in one write, so lines of several threads and
 * processes that share stderr never mix.
 */
#include "core/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

#define LINE_MAX_BYTES 4096

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
            buf[n++] = c < 0x20 ? ' ' : (char)c;
        }
    }
    buf[n++] = '"';
    buf[n] = '\0';
    return buf;
}

/* Where the fields begin: the space before the first key=, or the end. */
static const char *fields_of(const char *text)
{
    for (const char *p = strchr(text, ' '); p != NULL; p = strchr(p + 1, ' ')) {
        size_t key = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");
        if (key > 0 && p[1 + key] == '=')
            return p;
    }
    return text + strlen(text);
}

static size_t put_json_fields(char *out, size_t size, const char *p)
{
    size_t n = 0;
    while (*p == ' ' && n + 8 < size) {
        size_t key = strcspn(++p, "=");
        n += (size_t)snprintf(out + n, size - n, ",\"%.*s\":", (int)key, p);
        p += key + (p[key] == '=');
        if (n + 8 >= size)
            break;
        if (*p == '"') { /* already quoted by log_quote(), whose escapes JSON shares */
            const char *end = p + 1;
            while (*end != '\0' && *end != '"')
                end += *end == '\\' && end[1] != '\0' ? 2 : 1;
            end += *end == '"';
            n += (size_t)snprintf(out + n, size - n, "%.*s", (int)(end - p), p);
            p = end;
        } else {
            size_t len = strcspn(p, " ");
            n += (size_t)snprintf(out + n, size - n, "\"%.*s\"", (int)len, p);
            p += len;
        }
    }
    return n < size ? n : size - 1;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load(&log_threshold))
        return;

    char text[LINE_MAX_BYTES - 256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    char at[CLOCK_TEXT_SIZE], msg[1024], line[LINE_MAX_BYTES];
    clock_format(clock_wall_us(), at);
    const char *fields = fields_of(text);
    char head[512];
    snprintf(head, sizeof(head), "%.*s", (int)(fields - text), text);
    log_quote(msg, sizeof(msg), head);

    size_t n;
    if (atomic_load(&log_as_json)) {
        n = (size_t)snprintf(line, sizeof(line),
            "{\"ts\":\"%s\",\"level\":\"%s\",\"part\":\"%s\",\"msg\":%s", at, level_names[level],
            log_part, msg);
        n += put_json_fields(line + n, sizeof(line) - n - 3, fields);
        line[n++] = '}';
    } else {
        n = (size_t)snprintf(line, sizeof(line) - 2, "ts=%s level=%s part=%s msg=%s%s", at,
            level_names[level], log_part, msg, fields);
        if (n > sizeof(line) - 2)
            n = sizeof(line) - 2;
    }
    line[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
