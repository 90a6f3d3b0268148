/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - JSON objects as lines of text.
 *
 * A column is a row: its name, where its value lies in the object ("current_state.state"), and how
 * it is written.  Whatever comes from a server is cleaned of control characters before it reaches a
 * terminal.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <jansson.h>

#include "cli/cli.h"
#include "core/base/strbuf.h"

enum column_kind {
    COLUMN_TEXT,
    COLUMN_AGE,          /* a time: "2m ago" */
    COLUMN_STATUS,       /* in colour */
    COLUMN_TASK_MESSAGE, /* the report's message, or the place in the queue */
    COLUMN_DURATION_MS,  /* "1h"; 0: never */
};

struct column {
    const char *name; /* NULL ends a table */
    const char *path; /* into the object; members joined by dots */
    enum column_kind kind;
};

#define COLUMNS_MAX 40

/* Pick columns by "name,status" (case ignored) from `all`; ERR_USAGE names the known ones.
 * `picked` has room for COLUMNS_MAX + 1 and is ended like a table. */
enum err must_check table_pick(
    struct cli *cli, const struct column *all, const char *names, struct column *picked);

/* One heading and one line for each object of the array `rows`. */
void table_print(struct cli *cli, const struct column *columns, const json_t *rows);

/* Without the heading. */
void table_print_rows(struct cli *cli, const struct column *columns, const json_t *rows);

/* The value of one cell as clean text. */
void table_add_cell(struct strbuf *out, const struct column *column, const json_t *row);
/* The member at "a.b"; NULL when there is none. */
const json_t *table_member(const json_t *object, const char *path);
/* The string at "a.b"; "" when there is none. */
const char *table_string(const json_t *object, const char *path);

/* "2026-11-20T16:01:02.5Z" or with an offset -> microseconds since 1970; false when it is no time.
 */
bool table_parse_time(const char *text, int64_t *ret_us);
/* 75 -> "1m", 4000 -> "1h" */
void table_add_duration(struct strbuf *out, int64_t seconds);

/* Pretty JSON and a line end. */
void table_print_json(struct cli *cli, const json_t *value);
/* All of it on one line. */
void table_print_json_line(struct cli *cli, const json_t *value);

#endif
