/* SPDX-License-Identifier: Apache-2.0 */
/* Views into a text. */
#include "agent/agentapi/lines.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void lines_split(struct lines *lines, const char *s, size_t n)
{
    vec_clear(lines);
    for (const char *end = s + n;;) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        *vec_push(lines) = (struct line){s, (size_t)((stop != NULL ? stop : end) - s)};
        if (stop == NULL)
            return;
        s = stop + 1;
    }
}

void lines_done(struct lines *lines)
{
    vec_done(lines);
}

struct line line_trim(struct line l)
{
    while (l.n > 0 && is_blank(l.s[l.n - 1]))
        l.n--;
    while (l.n > 0 && is_blank(l.s[0]))
        l.s++, l.n--;
    return l;
}

bool line_is_blank(struct line l)
{
    return line_trim(l).n == 0;
}

bool line_has(struct line l, const char *text)
{
    return memmem(l.s, l.n, text, strlen(text)) != NULL;
}

bool line_begins(struct line l, const char *text)
{
    size_t n = strlen(text);
    return l.n >= n && memcmp(l.s, text, n) == 0;
}

bool line_equals(struct line a, struct line b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

void lines_add(struct strbuf *out, const struct lines *lines, size_t from, size_t to)
{
    while (from < to && line_is_blank(lines->v[from]))
        from++;
    while (to > from && line_is_blank(lines->v[to - 1]))
        to--;
    for (size_t i = from; i < to; i++) {
        if (i > from)
            strbuf_addch(out, '\n');
        strbuf_add(out, lines->v[i].s, lines->v[i].n);
    }
}

uint32_t line_char(struct line l, size_t *at)
{
    unsigned char first = (unsigned char)l.s[(*at)++];
    size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    if (more > l.n - *at)
        return first;
    uint32_t c = more == 0 ? first : first & (0x3fU >> more);
    for (size_t i = 0; i < more; i++)
        c = c << 6 | ((unsigned char)l.s[*at + i] & 0x3f);
    *at += more;
    return c;
}
