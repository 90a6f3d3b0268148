/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - the table of routes, and matching by segments.
 */
#include "gateway/route.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/text.h"

#define PREFIXES_ROOT  PREFIX_ROOT
#define PREFIXES_V2    PREFIX_V2
#define PREFIXES_BOTH  (PREFIX_V2 | PREFIX_EXPERIMENTAL)
#define PREFIXES_STINT PREFIX_STINT

/* A prompt may arrive with every byte escaped. */
#define LIMIT_NONE   (64 * 1024)
#define LIMIT_SMALL  (64 * 1024)
#define LIMIT_PROMPT (6 * PROMPT_BYTES_MAX + 64 * 1024)
#define LIMIT_BULK   (16 * 1024 * 1024)
#define LIMIT_FILE   (32 * 1024 * 1024)

static const struct route routes[] = {
#define ROUTE(method, prefixes, pattern, auth, limit, handler) \
    {METHOD_##method, PREFIXES_##prefixes, pattern, AUTH_##auth, LIMIT_##limit, handler},
#include "gateway/route.def"
};

static const struct {
    const char *text;
    enum route_prefix prefix;
} prefixes[] = {
    {"/api/v2",           PREFIX_V2          },
    {"/api/experimental", PREFIX_EXPERIMENTAL},
    {"/api/stint/v1",     PREFIX_STINT       },
};

enum route_prefix route_prefix_of(const char *path, size_t *ret_skip)
{
    size_t skip = 0;
    enum route_prefix prefix = PREFIX_ROOT;
    for (size_t i = 0; i < COUNT(prefixes) && skip == 0; i++) {
        size_t n = strlen(prefixes[i].text);
        if (strncmp(path, prefixes[i].text, n) == 0 && (path[n] == '/' || path[n] == '\0')) {
            skip = n;
            prefix = prefixes[i].prefix;
        }
    }
    if (ret_skip != NULL)
        *ret_skip = skip;
    return prefix;
}

/* One segment after its '/'; a parameter is not empty. */
static bool match_segment(
    const char *path, const char **at, const char *pattern, size_t n, struct route_params *params)
{
    size_t have = strcspn(*at, "/");
    if (pattern[0] != '{') {
        if (have != n || memcmp(*at, pattern, n) != 0)
            return false;
    } else {
        size_t offset = (size_t)(*at - path);
        if (have == 0 || offset + have > USHRT_MAX)
            return false;
        params->v[params->n].at = (unsigned short)offset;
        params->v[params->n++].n = (unsigned short)have;
    }
    *at += have;
    return true;
}

static bool match(const char *path, size_t skip, const char *pattern, struct route_params *params)
{
    const char *at = path + skip;
    params->n = 0;
    while (*pattern == '/' && *at == '/') {
        pattern++, at++;
        size_t n = strcspn(pattern, "/");
        if (!match_segment(path, &at, pattern, n, params))
            return false;
        pattern += n;
    }
    return *pattern == '\0' && *at == '\0';
}

/* What one of our own patterns names word for word is no other one's {word}: /tasks/bulk. */
static bool is_named(enum route_prefix prefix, const char *rest)
{
    for (size_t i = 0; prefix == PREFIX_STINT && i < COUNT(routes); i++)
        if ((routes[i].prefixes & prefix) != 0 && strcmp(routes[i].pattern, rest) == 0)
            return true;
    return false;
}

enum route_found route_find(enum http_method method, const char *path,
    const struct route **ret_route, struct route_params *ret_params)
{
    size_t skip;
    enum route_prefix prefix = route_prefix_of(path, &skip);
    enum route_found found = ROUTE_UNKNOWN;
    for (size_t i = 0; i < COUNT(routes); i++) {
        if ((routes[i].prefixes & prefix) == 0 || !match(path, skip, routes[i].pattern, ret_params))
            continue;
        found = ROUTE_OTHER_METHOD;
        if (routes[i].method == method && (ret_params->n == 0 || !is_named(prefix, path + skip))) {
            *ret_route = &routes[i];
            return ROUTE_FOUND;
        }
    }
    return found;
}

void route_allowed(const char *path, char ret_methods[static ROUTE_ALLOWED_SIZE])
{
    static const char *const names[] = {[METHOD_GET] = "GET, HEAD",
        [METHOD_POST] = "POST",
        [METHOD_PUT] = "PUT",
        [METHOD_PATCH] = "PATCH",
        [METHOD_DELETE] = "DELETE"};
    const struct route *route;
    struct route_params params;
    size_t n = 0;
    ret_methods[0] = '\0';
    for (size_t i = 0; i < COUNT(names); i++)
        if (route_find((enum http_method)i, path, &route, &params) == ROUTE_FOUND)
            n += (size_t)snprintf(
                ret_methods + n, ROUTE_ALLOWED_SIZE - n, "%s%s", n > 0 ? ", " : "", names[i]);
}
