/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the new begins: at the first line that the old screen does not have anywhere, because
 * screens scroll and redraw.  But when the screen has only grown, and the message's echo stands
 * where it first differs, it begins there: a question asked twice may get the same answer twice.
 */
#include "agent/agentapi/answer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* The echo of what was said is looked for in so many lines, by so many characters. */
#define ECHO_LINES  6
#define ECHO_PREFIX 6
/* Characters that a program may leave out, or add, inside an echo. */
#define ECHO_SKIP 5

/* ---- where the new begins ---- */

static int compare(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n > 0 ? memcmp(x->s, y->s, n) : 0;
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static size_t first_unknown(const struct lines *before, const struct lines *now, size_t from)
{
    struct lines sorted = {0};
    if (before->n == 0)
        return from;
    for (size_t i = 0; i < before->n; i++)
        *vec_push(&sorted) = before->v[i];
    qsort(sorted.v, sorted.n, sizeof(*sorted.v), compare);
    while (from < now->n &&
           bsearch(&now->v[from], sorted.v, sorted.n, sizeof(*sorted.v), compare) != NULL)
        from++;
    lines_done(&sorted);
    return from;
}

static size_t first_different(const struct lines *before, const struct lines *now, size_t from)
{
    while (from < before->n && from < now->n && line_equals(before->v[from], now->v[from]))
        from++;
    return from;
}

/* ---- the echo ---- */

/* A place in some lines, at a character that is not blank nor drawn around an echo. */
struct cursor {
    const struct lines *lines;
    size_t line, at; /* of the character's first byte */
    size_t next;     /* behind it */
    uint32_t c;      /* 0: at the end */
};

static bool is_decoration(uint32_t c)
{
    return c <= ' ' || c == 0xa0 || c == 0x2502 || c == 0x2503 || c == '|';
}

static void cursor_move(struct cursor *c)
{
    for (; c->line < c->lines->n; c->line++, c->next = 0) {
        struct line l = c->lines->v[c->line];
        while (c->next < l.n) {
            c->at = c->next;
            c->c = line_char(l, &c->next);
            if (!is_decoration(c->c))
                return;
        }
    }
    c->c = 0;
}

static struct cursor cursor_begin(const struct lines *lines, size_t line)
{
    struct cursor c = {.lines = lines, .line = line};
    cursor_move(&c);
    return c;
}

/* Do the first characters of what was said stand here? */
static bool echo_begins(struct cursor shown, struct cursor said)
{
    size_t n = 0;
    for (; n < ECHO_PREFIX && said.c != 0 && said.line == 0; n++) {
        if (shown.c != said.c)
            return false;
        cursor_move(&shown);
        cursor_move(&said);
    }
    return n > 0;
}

/* Go to the next characters that agree, or leave things as they are. */
static bool resync(struct cursor *shown, struct cursor *said)
{
    struct cursor a = *said;
    for (int i = 0; i < ECHO_SKIP && a.c != 0; i++, cursor_move(&a)) {
        struct cursor b = *shown;
        for (int j = 0; j < ECHO_SKIP && b.c != 0; j++, cursor_move(&b)) {
            if (a.c != b.c)
                continue;
            *said = a;
            *shown = b;
            return true;
        }
    }
    return false;
}

/* The line behind the echo that begins at `shown`. */
static size_t echo_end(struct cursor shown, struct cursor said)
{
    size_t last = shown.line;
    while (said.c != 0 && shown.c != 0 && resync(&shown, &said)) {
        last = shown.line;
        cursor_move(&shown);
        cursor_move(&said);
    }
    return last + 1;
}

/* Of a box around the echo, the line that closes it. */
static bool closes_box(struct line l)
{
    l = line_trim(l);
    return (line_begins(l, "╰") && line_has(l, "╯")) || (line_begins(l, "└") && line_has(l, "┘"));
}

/* May an echo begin behind this?  Behind a prompt ("> ", "│ ❯", "( O)>", "You:"), not in a
 * sentence. */
static bool may_precede_echo(struct line l)
{
    l = line_trim(l);
    if (l.n == 0 || l.s[l.n - 1] == '>')
        return true;
    if (l.s[l.n - 1] == ':')
        return l.n < 8 && (line_has(l, "You") || line_has(l, "you") || line_has(l, "ser"));
    for (size_t i = 0; i < l.n; i++)
        if (isalnum((unsigned char)l.s[i]))
            return false;
    return true;
}

/* The line behind the echo of `said` near `from`; `from` itself when there is none. */
static size_t behind_echo(const struct lines *now, size_t from, const struct lines *said)
{
    struct cursor words = cursor_begin(said, 0);
    for (struct cursor c = cursor_begin(now, from); c.c != 0 && c.line < from + ECHO_LINES;
         cursor_move(&c)) {
        if (!may_precede_echo((struct line){now->v[c.line].s, c.at}) || !echo_begins(c, words))
            continue;
        size_t end = echo_end(c, words);
        return end < now->n && closes_box(now->v[end]) ? end + 1 : end;
    }
    return from;
}

/* ---- reports ---- */

/* Claude Code shows the tool calls by which it reports:
 *
 *   ● coder - coder_report_task (MCP)(state: "working", …
 *             more of it)
 *     ⎿  {"message":"Thanks for reporting!"}
 *
 * or as "Called coder (ctrl+o to expand)".  They are told to people another way.  True while `l`
 * belongs to one. */
static bool in_report(struct line l, bool was_in)
{
    struct line t = line_trim(l);
    if (line_begins(t, "❯") || line_begins(t, ">"))
        return false;
    if (line_has(t, "coder_report_task (MCP)") || line_begins(t, "Called coder (ctrl+o"))
        return true;
    return was_in && t.n > 0 && l.s[0] == ' ';
}

static void add_without_reports(struct strbuf *out, struct lines *now, size_t from, size_t to)
{
    size_t kept = from;
    bool is_in = false, after = false;
    for (size_t i = from; i < to; i++) {
        bool was_in = is_in;
        is_in = in_report(now->v[i], was_in);
        if (is_in)
            continue;
        after = was_in || (after && line_is_blank(now->v[i]));
        if (!after || !line_is_blank(now->v[i])) /* one blank line, not the two around it */
            now->v[kept++] = now->v[i];
    }
    lines_add(out, now, from, kept);
}

/* ---- all of it ---- */

static size_t begin_of_new(enum agent_type type, const struct lines *before,
    const struct lines *now, const struct lines *said)
{
    size_t header = agent_type_header(type);
    size_t from = header < now->n ? header : now->n;
    size_t different = first_different(before, now, from);
    size_t behind = said->n > 0 ? behind_echo(now, different, said) : different;
    if (different > from && behind > different)
        return behind;
    size_t unknown = first_unknown(before, now, from);
    return said->n > 0 ? behind_echo(now, unknown, said) : unknown;
}

void answer_tell(enum agent_type type, const struct strbuf *before, const struct strbuf *now,
    const char *said, struct strbuf *out)
{
    struct lines old = {0}, new = {0}, words = {0};
    if (before != NULL)
        lines_split(&old, before->s, before->len);
    lines_split(&new, now->s, now->len);
    if (said != NULL && said[0] != '\0')
        lines_split(&words, said, strlen(said));
    size_t from = begin_of_new(type, &old, &new, &words);
    /* Above, what looks like a box is the echo. */
    struct lines rest = {.v = new.v + from, .n = new.n - from};
    size_t to = from + agent_type_box(type, &rest);
    if (from < to)
        add_without_reports(out, &new, from, to);
    lines_done(&old);
    lines_done(&new);
    lines_done(&words);
}
