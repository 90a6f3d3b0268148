/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.h - what lists are asked for beside their search: ?limit=, ?offset=, ?after_id=, and other
 * parameters with a type.
 *
 * Lists are bounded: a limit of 0, or one beyond the list's own, is the list's own.
 */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include "gateway/request.h"

struct query_page {
    int64_t limit, offset;
    struct uuid after_id; /* nil: from the first */
};

/* False: a 400 has been answered, as with all of these. */
bool query_page(struct request *r, int64_t limit, int64_t limit_max, struct query_page *ret_page);

/* A whole number from 0; `otherwise` when it is not there. */
bool query_int(struct request *r, const char *key, int64_t otherwise, int64_t *ret_value);
bool query_uuid(struct request *r, const char *key, struct uuid *ret_id); /* nil: not there */
bool query_bool(struct request *r, const char *key, bool *ret_value);     /* false: not there */
/* Microseconds; INT64_MIN: not there. */
bool query_time(struct request *r, const char *key, int64_t *ret_at);

/* "true", "1", "t" and so on, as Go reads them.  -1: neither true nor false. */
int query_bool_of(const char *word);

/* Comma-separated ids, at most QUERY_IDS_MAX; `ret_ids` has room for them. */
#define QUERY_IDS_MAX 100
bool query_uuids(struct request *r, const char *key, struct uuid *ret_ids, size_t *ret_n);

#endif
