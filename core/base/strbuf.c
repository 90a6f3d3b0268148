/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf.c - grows by half, so that adding byte by byte stays linear.
 */
#include "core/base/strbuf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static char empty[1];

void strbuf_init(struct strbuf *b)
{
    *b = (struct strbuf){.s = empty};
}

void strbuf_done(struct strbuf *b)
{
    if (b->room > 0)
        free(b->s);
    strbuf_init(b);
}

void strbuf_clear(struct strbuf *b)
{
    b->len = 0;
    if (b->room > 0)
        b->s[0] = '\0';
}

void strbuf_reserve(struct strbuf *b, size_t extra)
{
    assert(extra < SIZE_MAX - b->len - 1);
    size_t need = b->len + extra + 1;
    if (need <= b->room)
        return;
    size_t room = b->room < 64 ? 64 : b->room + b->room / 2;
    if (room < need)
        room = need;
    char *s = b->room > 0 ? b->s : NULL;
    s = mem_realloc(s, room);
    if (b->room == 0)
        s[0] = '\0';
    b->s = s;
    b->room = room;
}

void strbuf_add(struct strbuf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    strbuf_reserve(b, n);
    memcpy(b->s + b->len, data, n);
    b->len += n;
    b->s[b->len] = '\0';
}

void strbuf_addstr(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_addch(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n <= 0)
        return;
    strbuf_reserve(b, (size_t)n);
    vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(b, fmt, ap);
    va_end(ap);
}

void strbuf_consume(struct strbuf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return;
    memmove(b->s, b->s + n, b->len - n + 1);
    b->len -= n;
}

char *strbuf_detach(struct strbuf *b)
{
    strbuf_reserve(b, 0);
    char *s = b->s;
    strbuf_init(b);
    return s;
}
