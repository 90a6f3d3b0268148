/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - the language of `?q=`: key:value pairs, quotes, bare words.
 *
 *   owner:"me" status:active          quoted or not, separated by spaces
 *   owner:bob, status:active          commas at the ends of words are dropped
 *   my first template                 bare words, joined, are the value of the default key
 *
 * All of it is lower-cased first.  Errors are Coder's, word for word where clients show them.
 */
#ifndef GATEWAY_SEARCH_H
#define GATEWAY_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#define SEARCH_TERMS_MAX 16
#define SEARCH_BYTES_MAX 1024

struct search_error {
    const char *field; /* "q", or the key: points into the search */
    char detail[320];
};

struct search {
    /* In order; keys are unique; both point into `text`. */
    struct search_term {
        const char *key, *value;
    } terms[SEARCH_TERMS_MAX];
    size_t n_terms;
    char text[2 * SEARCH_BYTES_MAX];
};

/* `keys` ends with NULL.  False: ret_error is filled. */
bool search_parse(const char *query, const char *default_key, const char *const *keys,
    struct search *ret_search, struct search_error *ret_error);

/* NULL when the query does not name it, or gives it no value. */
const char *search_get(const struct search *s, const char *key);

#endif
