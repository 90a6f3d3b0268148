/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etag.h - validators of single objects, and the conditions of requests.
 *
 * A tag is strong: "<object>.<shown>", two hashes.  The first is of the object itself, the second
 * of the answer's bytes, which may show less (?fields=) or more (its place in the queue).
 * If-None-Match compares the whole tag: is what you have what you would get?  If-Match compares the
 * first half: is the object still what you have seen?  So a task that moves up in the queue can
 * still be changed.
 */
#ifndef GATEWAY_ETAG_H
#define GATEWAY_ETAG_H

#include "gateway/request.h"

#define ETAG_HALF 16
/* With quotes, the dot and a NUL. */
#define ETAG_SIZE (2 * ETAG_HALF + 4)

/* The first half, as text. */
struct etag_half {
    char s[ETAG_HALF + 1];
};
struct etag_half etag_of(const void *data, size_t n);

/* Does a header's list of tags name this one?  "*" does.  By its first half when `shown` is NULL.
 */
bool etag_list_has(const char *list, const char *object, const char *shown);

/* Answer with r->out, which shows an object, as JSON and with its tag; or with 304. */
void etag_answer(struct request *r, int status, struct etag_half object);
/* False: If-Match named another state of the object, and 412 has been answered. */
bool etag_check(struct request *r, struct etag_half object);
/* It changed while it was being changed. */
void etag_answer_changed(struct request *r);

#endif
