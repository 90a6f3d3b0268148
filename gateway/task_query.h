/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_query.h - what a list of /api/stint/v1/tasks is asked by: filters, order, members, cursor.
 *
 *   ?status=active,paused&label=team:web&created_after=2026-11-20T00:00:00Z&order=priority&limit=50
 *
 * A cursor says after which task of which query a page begins.  It holds that task's place in the
 * order (not its number), so that pages neither repeat nor skip a task when others are made or
 * deleted meanwhile.  It is the base64url of
 *
 *   version 1 byte | order 1 | hash of the filters 4 | key 8 | creation 8 | id 16
 *
 * Pure; strings point into the query that was parsed.
 */
#ifndef GATEWAY_TASK_QUERY_H
#define GATEWAY_TASK_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/uuid.h"

#define PAGE_LIMIT        100
#define PAGE_LIMIT_MAX    1000
#define QUERY_WORDS_MAX   8
#define QUERY_LABELS_MAX  8
#define TASK_CURSOR_BYTES 38
#define TASK_CURSOR_SIZE  64 /* its text with a NUL */
#define QUERY_NAME_MAX    64
#define QUERY_WORD_MAX    16
#define QUERY_FIELDS_MAX  64

enum task_order { ORDER_CREATED, ORDER_UPDATED, ORDER_PRIORITY };

/* Where a page begins: behind this task. */
struct task_place {
    int64_t key;        /* microseconds, or the priority */
    int64_t created_us; /* tells tasks of one priority apart */
    struct uuid id;
};

struct task_query {
    const char *owner, *organization, *template, *name_prefix; /* NULL: any */
    char statuses[QUERY_WORDS_MAX][QUERY_WORD_MAX];
    char states[QUERY_WORDS_MAX][QUERY_WORD_MAX]; /* as the API names them */
    size_t n_statuses, n_states;
    struct {
        const char *name; /* n bytes; the value follows the colon */
        size_t n;
        const char *value; /* NULL: any */
    } labels[QUERY_LABELS_MAX];
    size_t n_labels;
    int64_t created_after, created_before; /* INT64_MIN: no bound */
    int has_error;                         /* -1: either */
    enum task_order order;
    int64_t limit;
    uint64_t fields; /* bits of task_fields[]; 0: all */
    bool has_cursor;
    struct task_place after;
    uint32_t hash; /* of the filters */
};

struct task_query_error {
    char field[32];
    char detail[256];
};

/* `query` is "key=value" NUL "key=value" NUL ..., `n` bytes.  False: ret_error is filled. */
bool task_query_parse(
    const char *query, size_t n, struct task_query *ret_query, struct task_query_error *ret_error);

/* What all pages share: ?limit= (NULL: the default).  False: it is none. */
bool page_limit_parse(const char *text, int64_t *ret_limit);

void task_cursor_format(const struct task_query *q, const struct task_place *last,
    char ret_text[static TASK_CURSOR_SIZE]);

/* Members of a task, in the order in which they are shown; ends with NULL. */
extern const char *const task_fields[];
/* "id,name": false when one is unknown, whose name is copied to ret_unknown. */
bool task_fields_parse(const char *text, uint64_t *ret_fields, char ret_unknown[static 32]);
/* Append the chosen members of a JSON object of ours to `out`. */
void task_fields_select(struct strbuf *out, const char *json, size_t n, uint64_t fields);

#endif
