/* SPDX-License-Identifier: Apache-2.0 */
/* Names are compared without case and without a port; "[::1]" and "::1" are one name. */
#include "agent/agentapi/hosts.h"

#include <string.h>
#include <strings.h>

#define SEPARATORS ", \t\n"

/* The next word of a list, *p behind it; n 0 at its end. */
static const char *next_word(const char **p, size_t *ret_n)
{
    *p += strspn(*p, SEPARATORS);
    const char *word = *p;
    *ret_n = strcspn(word, SEPARATORS);
    *p += *ret_n;
    return word;
}

static bool is(const char *word, size_t n, const char *text)
{
    return n == strlen(text) && strncasecmp(word, text, n) == 0;
}

/* ---- reading lists ---- */

static enum err check_host(const char *word, size_t n, struct errctx *ctx)
{
    if (memmem(word, n, "://", 3) != NULL)
        return err_set(ctx, ERR_USAGE,
            "the allowed host \"%.*s\" must not include http:// or https://", (int)n, word);
    const char *behind = word[0] == '[' ? memchr(word, ']', n) : word;
    if (behind == NULL || memchr(word, '/', n) != NULL)
        return err_set(ctx, ERR_USAGE, "\"%.*s\" is not a host", (int)n, word);
    size_t rest = n - (size_t)(behind - word);
    const char *colon = memchr(behind, ':', rest);
    bool is_bare_v6 =
        colon != NULL && memchr(colon + 1, ':', rest - (size_t)(colon + 1 - behind)) != NULL;
    if (colon != NULL && !is_bare_v6)
        return err_set(
            ctx, ERR_USAGE, "the allowed host \"%.*s\" must not include a port", (int)n, word);
    return ERR_OK;
}

static enum err check_origin(const char *word, size_t n, struct errctx *ctx)
{
    const char *behind = memmem(word, n, "://", 3);
    if (behind == NULL || behind == word || (size_t)(behind + 3 - word) == n)
        return err_set(ctx, ERR_USAGE, "\"%.*s\" is not an origin; one is http://localhost:3284",
            (int)n, word);
    return ERR_OK;
}

static enum err parse(const char *list, struct strbuf *out, const char *what,
    enum err (*check)(const char *, size_t, struct errctx *), struct errctx *ctx)
{
    size_t n, begin = out->len;
    const char *word;
    while ((word = next_word(&list, &n)), n > 0) {
        if (is(word, n, "*")) {
            strbuf_consume(out, out->len);
            strbuf_addstr(out, "*");
            return ERR_OK;
        }
        enum err e = check(word, n, ctx);
        if (e != ERR_OK)
            return e;
        while (n > 1 && word[n - 1] == '/')
            n--;
        strbuf_addstr(out, out->len > begin ? ", " : "");
        strbuf_add(out, word, n);
    }
    if (out->len == begin)
        return err_set(ctx, ERR_USAGE, "the list of allowed %s must not be empty", what);
    return ERR_OK;
}

enum err hosts_parse(const char *list, struct strbuf *out, struct errctx *ctx)
{
    return parse(list, out, "hosts", check_host, ctx);
}

enum err origins_parse(const char *list, struct strbuf *out, struct errctx *ctx)
{
    return parse(list, out, "origins", check_origin, ctx);
}

/* ---- asking them ---- */

/* "[::1]:80" -> "::1", "localhost:80" -> "localhost" */
static const char *host_name(const char *host, size_t *n)
{
    if (*n > 0 && host[0] == '[') {
        const char *end = memchr(host, ']', *n);
        *n = end != NULL ? (size_t)(end - host - 1) : 0;
        return host + 1;
    }
    const char *colon = memchr(host, ':', *n);
    if (colon != NULL && memchr(colon + 1, ':', *n - (size_t)(colon + 1 - host)) == NULL)
        *n = (size_t)(colon - host);
    return host;
}

bool hosts_allow(const char *list, const char *header)
{
    if (strcmp(list, "*") == 0)
        return true;
    size_t asked_n = header != NULL ? strlen(header) : 0, n;
    const char *asked = header != NULL ? host_name(header, &asked_n) : "", *word;
    if (asked_n == 0)
        return false;
    while ((word = next_word(&list, &n)), n > 0) {
        word = host_name(word, &n);
        if (n == asked_n && strncasecmp(word, asked, n) == 0)
            return true;
    }
    return false;
}

bool origins_allow(const char *list, const char *origin)
{
    size_t n;
    const char *word;
    while ((word = next_word(&list, &n)), n > 0)
        if (is(word, n, "*") || is(word, n, origin))
            return true;
    return false;
}
