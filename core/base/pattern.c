/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.c - into the C library's dialect, then regcomp().
 *
 * The C library's own limits are wide: nested repeats like ((a{255}){255}){255} would eat the
 * machine.  So the repeats of a pattern, multiplied whether nested or not, have a bound.
 */
#include "core/base/pattern.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define REPEATS_MAX 1000

struct reading {
    const char *at;
    struct strbuf out;
    unsigned long repeats; /* all of them multiplied */
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

/* One element of a bracket expression; ']' and '-' that were escaped move to where they count as
 * themselves. */
static enum err read_element(
    struct reading *r, struct strbuf *set, bool *has_bracket, bool *has_dash)
{
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
        *has_bracket = true;
    else if (r->at[1] == '-')
        *has_dash = true;
    else if (is_mark(r->at[1]))
        strbuf_addch(set, r->at[1]);
    else
        return wrong(r, "a backslash in brackets stands before a mark or one of d, s, w, n, t");
    r->at += 2;
    return ERR_OK;
}

static enum err read_bracket(struct reading *r)
{
    scoped(strbuf_done) struct strbuf set;
    strbuf_init(&set);
    enum err e = ERR_OK;
    bool has_bracket = false, has_dash = false;
    bool is_negated = *++r->at == '^';
    r->at += is_negated;
    if (*r->at == ']') {
        has_bracket = true;
        r->at++;
    }
    while (e == ERR_OK && *r->at != '\0' && *r->at != ']')
        e = read_element(r, &set, &has_bracket, &has_dash);
    if (e != ERR_OK)
        return e;
    if (*r->at++ == '\0')
        return wrong(r, "[ without ]");
    strbuf_addf(&r->out, "[%s%s%s%s]", is_negated ? "^" : "", has_bracket ? "]" : "", set.s,
        has_dash ? "-" : "");
    return ERR_OK;
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
    r->repeats *= n > 1 ? n : 1;
    if (n > REPEATS_MAX || r->repeats > REPEATS_MAX)
        return wrong(r, "its repeats multiply to more than 1000");
    strbuf_add(&r->out, begin, (size_t)(end + 1 - begin));
    r->at = end + 1;
    return ERR_OK;
}

static enum err read_one(struct reading *r)
{
    if (r->at[0] == '\\')
        return read_escape(r);
    if (r->at[0] == '[')
        return read_bracket(r);
    if (r->at[0] == '{')
        return read_repeat(r);
    if (r->at[0] == '(' && r->at[1] == '?' && r->at[2] != ':')
        return wrong(r, "of (?...) only (?:...) is known");
    strbuf_addch(&r->out, *r->at);
    r->at += r->at[0] == '(' && r->at[1] == '?' ? 3 : 1;
    return ERR_OK;
}

static enum err compile(const char *text, regex_t *ret, struct errctx *ctx)
{
    struct reading r = {.at = text, .repeats = 1, .ctx = ctx};
    enum err e = ERR_OK;
    char why[128];
    if (strlen(text) > PATTERN_BYTES_MAX)
        return err_set(ctx, ERR_CONFIG, "it is longer than %d bytes", PATTERN_BYTES_MAX);
    strbuf_init(&r.out);
    while (e == ERR_OK && *r.at != '\0')
        e = read_one(&r);
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
    bool matches = regexec(&compiled, value, 0, NULL, 0) == 0;
    regfree(&compiled);
    return matches;
}
