/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h - which handler answers which path.  The table is route.def; this finds a row of it.
 */
#ifndef GATEWAY_ROUTE_H
#define GATEWAY_ROUTE_H

#include <stddef.h>

struct request;

enum http_method {
    METHOD_GET,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
};

enum route_prefix {
    PREFIX_ROOT = 1 << 0,
    PREFIX_V2 = 1 << 1,
    PREFIX_EXPERIMENTAL = 1 << 2,
    PREFIX_STINT = 1 << 3,
};

/* Who may call: anybody, a person with a token, a person with the role owner, an agent. */
enum route_auth { AUTH_NONE, AUTH_USER, AUTH_OWNER, AUTH_AGENT };

#define ROUTE_PARAMS_MAX 3

struct route {
    enum http_method method;
    unsigned prefixes; /* enum route_prefix */
    const char *pattern;
    enum route_auth auth;
    size_t body_max;
    void (*handler)(struct request *r);
};

/* Where in the path the segments stand that matched a {word}, in order. */
struct route_params {
    struct {
        unsigned short at, n;
    } v[ROUTE_PARAMS_MAX];
    size_t n;
};

enum route_found { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_OTHER_METHOD };

/* The prefix that a path has; ret_skip (may be NULL) is its length. */
enum route_prefix route_prefix_of(const char *path, size_t *ret_skip);

/* `path` has no query and is URL-decoded. */
enum route_found route_find(enum http_method method, const char *path,
    const struct route **ret_route, struct route_params *ret_params);

/* The methods that `path` has, as a header names them: "GET, HEAD, POST". */
#define ROUTE_ALLOWED_SIZE 48
void route_allowed(const char *path, char ret_methods[static ROUTE_ALLOWED_SIZE]);

#define ROUTE(method, prefixes, pattern, auth, limit, handler) void handler(struct request *r);
#include "gateway/route.def"

#endif
