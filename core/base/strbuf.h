/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf.h - text or bytes that grow.
 *
 * `s` is always a NUL-terminated string of `len` bytes (NULs inside allowed), never NULL after
 * strbuf_init().  Growing aborts the process when memory runs out: callers bound what they put in.
 */
#ifndef CORE_BASE_STRBUF_H
#define CORE_BASE_STRBUF_H

#include <stdarg.h>
#include <stddef.h>

#include "core/base/err.h"

struct strbuf {
    char *s;
    size_t len;
    size_t room; /* bytes allocated, 0 while `s` is the shared empty string */
};

void strbuf_init(struct strbuf *b);
void strbuf_done(struct strbuf *b);
/* Keep the memory, forget the content. */
void strbuf_clear(struct strbuf *b);
void strbuf_reserve(struct strbuf *b, size_t extra);
void strbuf_add(struct strbuf *b, const void *data, size_t n);
void strbuf_addstr(struct strbuf *b, const char *s);
void strbuf_addch(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) printf_like(2, 3);
void strbuf_vaddf(struct strbuf *b, const char *fmt, va_list ap);
/* Drop the first n bytes. */
void strbuf_consume(struct strbuf *b, size_t n);
/* Hand the string out (caller frees with free()); the buffer is empty again. */
char *strbuf_detach(struct strbuf *b);

#endif
