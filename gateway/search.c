/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.c - one pass over the query: cut a word at a space outside quotes, cut it at its colon,
 * put key and value, without their quotes and stray commas, into the search's own text.
 */
#include "gateway/search.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct parser {
    struct search *out;
    size_t used; /* of out->text */
    struct search_error *error;
    const char *default_key;
    size_t bare; /* index + 1 of the term that the last bare word went to */
};

static bool fail(struct parser *p, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct parser *p, const char *field, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    p->error->field = field;
    vsnprintf(p->error->detail, sizeof(p->error->detail), fmt, ap);
    va_end(ap);
    return false;
}

/* Bytes up to `end` outside of double quotes, or to the end. */
static size_t span(const char *s, size_t n, char end)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < n && (quoted || s[i] != end); i++)
        quoted ^= s[i] == '"';
    return i;
}

static void trim(const char **s, size_t *n, char c)
{
    while (*n > 0 && (*s)[0] == c)
        (*s)++, (*n)--;
    while (*n > 0 && (*s)[*n - 1] == c)
        (*n)--;
}

static const char *keep(struct parser *p, const char *s, size_t n)
{
    char *text = p->out->text + p->used;
    for (size_t i = 0; i < n; i++)
        text[i] = (char)tolower((unsigned char)s[i]);
    text[n] = '\0';
    p->used += n + 1;
    return text;
}

static bool add(struct parser *p, const char *key, const char *value)
{
    for (size_t i = 0; i < p->out->n_terms; i++)
        if (strcmp(p->out->terms[i].key, key) == 0)
            return fail(
                p, "q", "Query parameter \"%.64s\" provided more than once, found 2 times", key);
    if (p->out->n_terms == SEARCH_TERMS_MAX)
        return fail(p, "q", "More than %d terms", SEARCH_TERMS_MAX);
    p->out->terms[p->out->n_terms++] = (struct search_term){key, value};
    return true;
}

/* Bare words that follow each other are one value. */
static bool add_bare(struct parser *p, const char *s, size_t n)
{
    trim(&s, &n, '"');
    trim(&s, &n, ',');
    if (n == 0)
        return true;
    if (p->bare > 0) {
        p->out->text[p->used - 1] = ' ';
        keep(p, s, n);
        return true;
    }
    p->bare = p->out->n_terms + 1;
    return add(p, p->default_key, keep(p, s, n));
}

static bool add_word(struct parser *p, const char *s, size_t n)
{
    trim(&s, &n, ',');
    if (n == 0)
        return true;
    if (s[0] == ':' || s[n - 1] == ':')
        return fail(p, "q", "Query element \"%.*s\" cannot start or end with ':'", (int)n, s);
    size_t colon = span(s, n, ':');
    if (colon == n)
        return add_bare(p, s, n);
    p->bare = 0;
    const char *value = s + colon + 1;
    size_t value_n = n - colon - 1;
    while (value_n > 0 && value[0] == ':')
        value++, value_n--;
    if (span(value, value_n, ':') != value_n)
        return fail(p, "q", "Query element \"%.*s\" can only contain 1 ':'", (int)n, s);
    const char *key = s;
    trim(&key, &colon, '"');
    trim(&value, &value_n, '"');
    trim(&value, &value_n, ',');
    const char *kept = keep(p, key, colon);
    return add(p, kept, keep(p, value, value_n));
}

static bool check_keys(struct parser *p, const char *const *keys)
{
    for (size_t i = 0; i < p->out->n_terms; i++) {
        const char *key = p->out->terms[i].key;
        size_t k = 0;
        while (keys[k] != NULL && strcmp(keys[k], key) != 0)
            k++;
        if (keys[k] == NULL)
            return fail(p, key, "\"%.64s\" is not a valid query param", key);
    }
    return true;
}

bool search_parse(const char *query, const char *default_key, const char *const *keys,
    struct search *ret_search, struct search_error *ret_error)
{
    struct parser p = {.out = ret_search, .error = ret_error, .default_key = default_key};
    ret_search->n_terms = 0;
    size_t n = strlen(query);
    if (n > SEARCH_BYTES_MAX)
        return fail(&p, "q", "Longer than %d bytes", SEARCH_BYTES_MAX);
    while (n > 0) {
        size_t word = span(query, n, ' ');
        if (word > 0 && !add_word(&p, query, word))
            return false;
        size_t step = word < n ? word + 1 : word;
        query += step;
        n -= step;
    }
    return check_keys(&p, keys);
}

const char *search_get(const struct search *s, const char *key)
{
    for (size_t i = 0; i < s->n_terms; i++)
        if (strcmp(s->terms[i].key, key) == 0)
            return s->terms[i].value[0] != '\0' ? s->terms[i].value : NULL;
    return NULL;
}
