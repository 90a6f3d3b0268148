/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c - parameters of queries, by type.  What is empty counts as not given.
 */
#include "gateway/query.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

#define INVALID "Query parameters have invalid values."

static const char *given(const struct request *r, const char *key)
{
    const char *value = request_query(r, key);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool refuse(struct request *r, const char *key, const char *wanted)
{
    char detail[192];
    snprintf(detail, sizeof(detail), "Query param \"%s\" must be %s", key, wanted);
    answer_invalid(r, 400, INVALID, key, detail);
    return false;
}

bool query_int(struct request *r, const char *key, int64_t otherwise, int64_t *ret_value)
{
    const char *text = given(r, key);
    *ret_value = otherwise;
    if (text == NULL)
        return true;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < 0 || value > INT32_MAX)
        return refuse(r, key, "a valid 32-bit positive integer");
    *ret_value = value;
    return true;
}

bool query_uuid(struct request *r, const char *key, struct uuid *ret_id)
{
    const char *text = given(r, key);
    *ret_id = (struct uuid){0};
    return text == NULL || uuid_parse(text, ret_id) || refuse(r, key, "a valid uuid");
}

int query_bool_of(const char *word)
{
    static const char *const words[][6] = {
        {"0", "f", "F", "false", "FALSE", "False"},
        {"1", "t", "T", "true",  "TRUE",  "True" },
    };
    for (int value = 0; value < 2; value++)
        for (size_t i = 0; i < COUNT(words[value]); i++)
            if (strcmp(word, words[value][i]) == 0)
                return value;
    return -1;
}

bool query_bool(struct request *r, const char *key, bool *ret_value)
{
    const char *text = given(r, key);
    int value = text != NULL ? query_bool_of(text) : 0;
    *ret_value = value > 0;
    return value >= 0 || refuse(r, key, "a valid boolean");
}

bool query_time(struct request *r, const char *key, int64_t *ret_at)
{
    const char *text = given(r, key);
    *ret_at = INT64_MIN;
    return text == NULL || clock_parse(text, ret_at) ||
           refuse(r, key, "a valid date format (RFC 3339)");
}

bool query_uuids(struct request *r, const char *key, struct uuid *ret_ids, size_t *ret_n)
{
    const char *text = given(r, key);
    *ret_n = 0;
    for (size_t n; text != NULL && *text != '\0'; text += n + (text[n] == ',')) {
        char word[40];
        n = strcspn(text, ",");
        snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : 0), text);
        if (*ret_n == QUERY_IDS_MAX || !uuid_parse(word, &ret_ids[(*ret_n)++]))
            return refuse(r, key, "a list of at most 100 valid uuids");
    }
    return true;
}

bool query_page(struct request *r, int64_t limit, int64_t limit_max, struct query_page *ret_page)
{
    if (!query_int(r, "limit", limit, &ret_page->limit) ||
        !query_int(r, "offset", 0, &ret_page->offset) ||
        !query_uuid(r, "after_id", &ret_page->after_id))
        return false;
    if (ret_page->limit == 0 || ret_page->limit > limit_max)
        ret_page->limit = limit_max;
    return true;
}
