/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - a text as lines, without copying it.
 *
 * The text has to outlive the lines.
 */
#ifndef AGENT_AGENTAPI_LINES_H
#define AGENT_AGENTAPI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/vec.h"

struct line {
    const char *s; /* n bytes, no NUL */
    size_t n;
};

struct lines {
    struct line *v;
    size_t n;
    size_t room;
};

/* Fill `lines` (zeroed, or filled before) with what '\n' separates. */
void lines_split(struct lines *lines, const char *s, size_t n);
void lines_done(struct lines *lines);

bool line_is_blank(struct line l);
bool line_has(struct line l, const char *text);
bool line_begins(struct line l, const char *text);
bool line_equals(struct line a, struct line b);
/* Without blanks at both ends. */
struct line line_trim(struct line l);

/* Append lines[from..to) joined by '\n', without blank ones at the begin and the end. */
void lines_add(struct strbuf *out, const struct lines *lines, size_t from, size_t to);

/* The character at *at (UTF-8; a byte that is none counts as itself), *at moves behind it. */
uint32_t line_char(struct line l, size_t *at);

#endif
