/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etag.c - hashes, and lists of tags as headers have them: "a.b", W/"c.d", *
 */
#include "gateway/etag.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

struct etag_half etag_of(const void *data, size_t n)
{
    struct etag_half half;
    unsigned char hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof(hash), data, n, NULL, 0);
    sodium_bin2hex(half.s, sizeof(half.s), hash, ETAG_HALF / 2);
    return half;
}

/* `s` begins behind the opening quote and has n bytes. */
static bool is_tag(const char *s, size_t n, const char *object, const char *shown)
{
    size_t half = strlen(object);
    if (n <= half || memcmp(s, object, half) != 0 || s[half] != '.')
        return false;
    return shown == NULL ||
           (n == half + 1 + strlen(shown) && memcmp(s + half + 1, shown, n - half - 1) == 0);
}

/* A weak tag is never equal where equality is for changes, and ours are never weak. */
bool etag_list_has(const char *list, const char *object, const char *shown)
{
    const char *s = list + strspn(list, " \t,");
    if (strcmp(s, "*") == 0)
        return true;
    while (*s != '\0') {
        bool is_weak = strncmp(s, "W/", 2) == 0;
        s += is_weak ? 2 : 0;
        if (*s != '"')
            return false;
        size_t n = strcspn(++s, "\"");
        if ((!is_weak || shown != NULL) && is_tag(s, n, object, shown))
            return true;
        s += n + (s[n] == '"');
        s += strspn(s, " \t,");
    }
    return false;
}

void etag_answer(struct request *r, int status, struct etag_half object)
{
    char tag[ETAG_SIZE];
    struct etag_half shown = etag_of(r->out.s, r->out.len);
    snprintf(tag, sizeof(tag), "\"%s.%s\"", object.s, shown.s);
    answer_header(r, "etag:", tag);
    answer_header(r, "cache-control:", "private, no-cache");
    bool has_it = status == 200 && r->method == METHOD_GET && r->if_none_match != NULL &&
                  etag_list_has(r->if_none_match, object.s, shown.s);
    if (has_it)
        answer_empty(r, 304);
    else
        answer_json(r, status);
}

bool etag_check(struct request *r, struct etag_half object)
{
    if (r->if_match == NULL || etag_list_has(r->if_match, object.s, NULL))
        return true;
    etag_answer_changed(r);
    return false;
}

void etag_answer_changed(struct request *r)
{
    answer_problem(r, 412, "precondition-failed", "The object is not in the state you have seen.",
        "Read it again, and send its ETag as If-Match.");
}
