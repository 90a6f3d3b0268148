/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - into the C library's dialect, then regcomp().
 *
 * The C library's own limits are wide: it writes repeats out, so that ((a{255}){255}){255} or
 * ((((a+)+)+)+)+ would eat the machine.  So the size of a pattern written out has a bound, counted
 * in atoms.
 */
#include "core/base/pattern.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define REPEATS_MAX 1000
#define ATOMS_MAX   256
#define DEPTH_MAX   32

struct reading {
    const char *at;
    struct strbuf out;
    /* Written out: of each group that is open, and of the last atom in the innermost one, which may
     * be repeated; 0: nothing to repeat. */
    unsigned long atoms[DEPTH_MAX + 1], last;
    unsigned depth;
    struct errctx *ctx;
};

static const struct {
    char letter;
    const char *outside, *inside;
} classes[] = {
    {'d', "[0-9]",         "0-9"       },
    {'D', "[^0-9]",        NULL        },
    {'s', "[[:space:]]",   "[:space:]" },
    {'S', "[^[:space:]]",  NULL        },
    {'w', "[[:alnum:]_]",  "[:alnum:]_"},
    {'W', "[^[:alnum:]_]", NULL        },
    {'n', "\n",            "\n"        },
    {'t', "\t",            "\t"        },
};

static enum err wrong(struct reading *r, const char *why)
{
    return err_set(r->ctx, ERR_CONFIG, "%s", why);
}

/* ---- its size ---- */

static void add_atom(struct reading *r, unsigned long n)
{
    r->atoms[r->depth] += n;
    r->last = n;
}

static enum err open_group(struct reading *r)
{
    if (r->depth == DEPTH_MAX)
        return wrong(r, "its groups are nested more than 32 deep");
    r->atoms[++r->depth] = 0;
    r->last = 0;
    return ERR_OK;
}

static enum err close_group(struct reading *r)
{
    if (r->depth == 0)
        return wrong(r, ") without (; write \\) for itself");
    r->depth--;
    add_atom(r, r->atoms[r->depth + 1] + 1);
    return ERR_OK;
}

static enum err check_size(struct reading *r)
{
    return r->atoms[r->depth] > ATOMS_MAX ? wrong(r, "written out it is longer than 256 characters")
                                          : ERR_OK;
}

/* The last atom is written `n` times. */
static enum err repeat(struct reading *r, unsigned long n)
{
    if (r->last == 0)
        return wrong(r, "a repeat has nothing before it, or another repeat");
    if (n > REPEATS_MAX)
        return wrong(r, "it repeats something more than 1000 times");
    if (n > 1)
        r->atoms[r->depth] += r->last * (n - 1);
    r->last = 0;
    return check_size(r);
}

/* ---- its parts ---- */

/* What a backslash and a letter stand for; "" : nothing known. */
static const char *class_of(char letter, bool inside)
{
    for (size_t i = 0; i < COUNT(classes); i++)
        if (classes[i].letter == letter) {
            const char *text = inside ? classes[i].inside : classes[i].outside;
            return text != NULL ? text : "";
        }
    return "";
}

static bool is_mark(char c)
{
    return c != '\0' && strchr("^.[]$()|*+?{}\\/-_#@!%&=~:;,<>\"'` ", c) != NULL;
}

static enum err read_escape(struct reading *r)
{
    char c = r->at[1];
    const char *text = class_of(c, false);
    if (text[0] != '\0') {
        strbuf_addstr(&r->out, text);
    } else if (is_mark(c)) {
        if (strchr("^.[]$()|*+?{}\\", c) != NULL)
            strbuf_addch(&r->out, '\\');
        strbuf_addch(&r->out, c);
    } else {
        return wrong(r, "a backslash stands before a mark or one of d, D, s, S, w, W, n, t");
    }
    r->at += 2;
    return ERR_OK;
}

/* A bracket expression; ']', '^' and '-' that were escaped move to where they count as themselves.
 */
struct bracket {
    struct strbuf set;
    bool has_bracket, has_caret, has_dash;
};

static enum err read_element(struct reading *r, struct bracket *b)
{
    struct strbuf *set = &b->set;
    const char *text = r->at[0] == '\\' ? class_of(r->at[1], true) : "";
    if (r->at[0] == '[' && r->at[1] == ':') {
        const char *end = strstr(r->at + 2, ":]");
        if (end == NULL)
            return wrong(r, "[: without :]");
        strbuf_add(set, r->at, (size_t)(end + 2 - r->at));
        r->at = end + 2;
        return ERR_OK;
    }
    if (r->at[0] != '\\') {
        strbuf_addch(set, *r->at++);
        return ERR_OK;
    }
    if (text[0] != '\0')
        strbuf_addstr(set, text);
    else if (r->at[1] == ']')
        b->has_bracket = true;
    else if (r->at[1] == '^')
        b->has_caret = true;
    else if (r->at[1] == '-')
        b->has_dash = true;
    else if (is_mark(r->at[1]))
        strbuf_addch(set, r->at[1]);
    else
        return wrong(r, "a backslash in brackets stands before a mark or one of d, s, w, n, t");
    r->at += 2;
    return ERR_OK;
}

static void write_bracket(struct strbuf *out, const struct bracket *b, bool is_negated)
{
    bool is_caret_first = b->has_caret && !is_negated && !b->has_bracket && b->set.len == 0;
    if (is_caret_first)
        strbuf_addstr(out, b->has_dash ? "[-^]" : "\\^");
    else
        strbuf_addf(out, "[%s%s%s%s%s]", is_negated ? "^" : "", b->has_bracket ? "]" : "", b->set.s,
            b->has_caret ? "^" : "", b->has_dash ? "-" : "");
}

static enum err read_bracket(struct reading *r)
{
    struct bracket b = {.has_bracket = false};
    enum err e = ERR_OK;
    strbuf_init(&b.set);
    bool is_negated = *++r->at == '^';
    r->at += is_negated;
    if (*r->at == ']') {
        b.has_bracket = true;
        r->at++;
    }
    while (e == ERR_OK && *r->at != '\0' && *r->at != ']')
        e = read_element(r, &b);
    if (e == ERR_OK && *r->at++ == '\0')
        e = wrong(r, "[ without ]");
    if (e == ERR_OK)
        write_bracket(&r->out, &b, is_negated);
    strbuf_done(&b.set);
    return e;
}

static enum err read_repeat(struct reading *r)
{
    const char *begin = r->at;
    char *end;
    unsigned long n = strtoul(begin + 1, &end, 10);
    if (*end == ',' && end[1] != '}')
        n = strtoul(end + 1, &end, 10);
    else if (*end == ',')
        end++;
    if (end == begin + 1 || *end != '}')
        return wrong(r, "{ begins a repeat like {2} or {1,8}; write \\{ for itself");
    strbuf_add(&r->out, begin, (size_t)(end + 1 - begin));
    r->at = end + 1;
    r->at += *r->at == '?'; /* how little it takes makes no difference to whether it matches */
    return repeat(r, n);
}

static enum err read_mark(struct reading *r)
{
    char c = *r->at++;
    strbuf_addch(&r->out, c);
    switch (c) {
    case '(':
        r->at += r->at[0] == '?' ? 2 : 0;
        return open_group(r);
    case ')':
        return close_group(r);
    case '*':
    case '+':
    case '?':
        r->at += *r->at == '?';
        return repeat(r, c == '+' ? 2 : 1);
    case '|':
    case '^':
    case '$':
        r->last = 0;
        return ERR_OK;
    default:
        add_atom(r, 1);
        return ERR_OK;
    }
}

static enum err read_one(struct reading *r)
{
    if (r->at[0] == '\\' || r->at[0] == '[') {
        add_atom(r, 1);
        return r->at[0] == '[' ? read_bracket(r) : read_escape(r);
    }
    if (r->at[0] == '{')
        return read_repeat(r);
    if (r->at[0] == '(' && r->at[1] == '?' && r->at[2] != ':')
        return wrong(r, "of (?...) only (?:...) is known");
    return read_mark(r);
}

static enum err compile(const char *text, regex_t *ret, struct errctx *ctx)
{
    struct reading r = {.at = text, .ctx = ctx};
    enum err e = ERR_OK;
    char why[128];
    if (strlen(text) > PATTERN_BYTES_MAX)
        return err_set(ctx, ERR_CONFIG, "it is longer than %d bytes", PATTERN_BYTES_MAX);
    strbuf_init(&r.out);
    while (e == ERR_OK && *r.at != '\0')
        e = read_one(&r);
    if (e == ERR_OK && r.depth > 0)
        e = wrong(&r, "( without )");
    if (e == ERR_OK)
        e = check_size(&r);
    int code = e == ERR_OK ? regcomp(ret, r.out.s, REG_EXTENDED | REG_NOSUB) : 0;
    if (code != 0) {
        regerror(code, ret, why, sizeof(why));
        e = err_set(ctx, ERR_CONFIG, "%s", why);
    }
    strbuf_done(&r.out);
    return e;
}

enum err pattern_check(const char *text, struct errctx *ctx)
{
    regex_t compiled;
    enum err e = compile(text, &compiled, ctx);
    if (e == ERR_OK)
        regfree(&compiled);
    return e;
}

bool pattern_matches(const char *text, const char *value)
{
    regex_t compiled;
    struct errctx ignored = {0};
    if (compile(text, &compiled, &ignored) != ERR_OK)
        return false;
    bool matches = strlen(value) <= PATTERN_VALUE_MAX && regexec(&compiled, value, 0, NULL, 0) == 0;
    regfree(&compiled);
    return matches;
}
