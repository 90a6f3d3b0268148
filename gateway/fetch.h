/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - asking other servers over HTTP, on threads: a few at once, a few more wait.
 */
#ifndef GATEWAY_FETCH_H
#define GATEWAY_FETCH_H

#include "core/base/strbuf.h"
#include "gateway/gateway.h"

/* For one answer, and how long it may be; redirects are not followed. */
#define FETCH_SECONDS   10
#define FETCH_BYTES_MAX (256 * 1024)

struct fetch_question {
    const char *url;
    const char *form;            /* POST it, urlencoded; NULL: GET */
    const char *user, *password; /* of HTTP Basic; NULL: none */
};

/* `status` 0: there is no answer, and `body` says why. */
typedef void (*fetch_fn)(void *arg, int status, const struct strbuf *body);

/* Copies the question.  False: too many wait already. */
bool fetch(struct gateway *gw, const struct fetch_question *q, fetch_fn done, void *arg);

/* With all but letters, digits and -._~ as %XX. */
void fetch_add_escaped(struct strbuf *b, const char *text);
/* name=value for forms and queries, with & before all but the first. */
void fetch_add_field(struct strbuf *b, const char *name, const char *value);

#endif
