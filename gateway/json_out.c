/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_out.c - the writer.  What needs no escape, which is nearly everything, is copied in runs.
 */
#include "gateway/json_out.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"

#define ZERO_TIME "0001-01-01T00:00:00Z"

static void separate(struct strbuf *b)
{
    char last = b->len > 0 ? b->s[b->len - 1] : '[';
    if (last != '{' && last != '[' && last != ':')
        strbuf_addch(b, ',');
}

void json_open(struct strbuf *b, char bracket)
{
    separate(b);
    strbuf_addch(b, bracket);
}

void json_close(struct strbuf *b, char bracket)
{
    strbuf_addch(b, bracket);
}

/* The escape of a character, NULL when it stands for itself. */
static const char *escape_of(unsigned char c, char ret_hex[static 7])
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    if (c >= 0x20 && c != '<' && c != '>' && c != '&')
        return NULL;
    memcpy(ret_hex, "\\u00", 4);
    ret_hex[4] = hex[c >> 4];
    ret_hex[5] = hex[c & 15];
    ret_hex[6] = '\0';
    return ret_hex;
}

/* U+2028 and U+2029 end a line in JavaScript. */
static bool is_line_separator(const char *s, size_t n)
{
    return n >= 3 && memcmp(s, "\xe2\x80", 2) == 0 && ((unsigned char)s[2] & 0xfe) == 0xa8;
}

/* 0: no character, such as one that was cut. */
static size_t size_of_char(const char *s, size_t n)
{
    unsigned char c = (unsigned char)*s;
    size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return size <= n && text_is_utf8(s, size) ? size : 0;
}

void json_textn(struct strbuf *b, const char *s, size_t n)
{
    separate(b);
    strbuf_addch(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char hex[7];
        const char *escape = NULL;
        size_t size = 1;
        if (c < 0x60)
            escape = escape_of(c, hex);
        else if (c == '\\')
            escape = "\\\\";
        else if (c == 0xe2 && is_line_separator(s + i, n - i))
            escape = ((unsigned char)s[i + 2] == 0xa8) ? "\\u2028" : "\\u2029", size = 3;
        else if (c >= 0x80 && (size = size_of_char(s + i, n - i)) == 0)
            escape = "\\ufffd", size = 1;
        if (escape == NULL) {
            i += size - 1;
            continue;
        }
        strbuf_add(b, s + from, i - from);
        strbuf_addstr(b, escape);
        i += size - 1;
        from = i + 1;
    }
    strbuf_add(b, s + from, n - from);
    strbuf_addch(b, '"');
}

void json_text(struct strbuf *b, const char *s)
{
    json_textn(b, s, strlen(s));
}

void json_int(struct strbuf *b, int64_t v)
{
    separate(b);
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (v < 0)
        digits[--at] = '-';
    strbuf_add(b, digits + at, sizeof(digits) - at);
}

void json_uuid(struct strbuf *b, const struct uuid *u)
{
    separate(b);
    struct uuid_str text = uuid_format(u);
    strbuf_addch(b, '"');
    strbuf_add(b, text.s, UUID_STR_LEN);
    strbuf_addch(b, '"');
}

void json_raw(struct strbuf *b, const char *s, size_t n)
{
    separate(b);
    strbuf_add(b, s, n);
}

void json_key(struct strbuf *b, const char *key)
{
    separate(b);
    strbuf_addch(b, '"');
    strbuf_addstr(b, key);
    strbuf_add(b, "\":", 2);
}

void json_put_text(struct strbuf *b, const char *key, const char *s)
{
    json_key(b, key);
    json_text(b, s);
}

void json_put_text_if(struct strbuf *b, const char *key, const char *s)
{
    if (s[0] != '\0')
        json_put_text(b, key, s);
}

void json_put_int(struct strbuf *b, const char *key, int64_t v)
{
    json_key(b, key);
    json_int(b, v);
}

void json_put_bool(struct strbuf *b, const char *key, bool v)
{
    json_key(b, key);
    strbuf_addstr(b, v ? "true" : "false");
}

void json_put_null(struct strbuf *b, const char *key)
{
    json_key(b, key);
    strbuf_add(b, "null", 4);
}

void json_put_uuid(struct strbuf *b, const char *key, const struct uuid *u)
{
    json_key(b, key);
    json_uuid(b, u);
}

void json_put_uuid_or_null(struct strbuf *b, const char *key, const struct uuid *u)
{
    if (uuid_is_nil(u))
        json_put_null(b, key);
    else
        json_put_uuid(b, key, u);
}

void json_put_time(struct strbuf *b, const char *key, int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE] = ZERO_TIME;
    if (wall_us != INT64_MIN)
        clock_format(wall_us, text);
    json_key(b, key);
    json_text(b, text);
}

void json_put_time_if(struct strbuf *b, const char *key, int64_t wall_us)
{
    if (wall_us != INT64_MIN)
        json_put_time(b, key, wall_us);
}

void json_put_time_or_null(struct strbuf *b, const char *key, int64_t wall_us)
{
    if (wall_us != INT64_MIN)
        json_put_time(b, key, wall_us);
    else
        json_put_null(b, key);
}
