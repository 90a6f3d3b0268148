/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - aligned columns for people, JSON for programs. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <wchar.h>

#include "cli/suggest.h"
#include "cli/task.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* ---- values ---- */

const json_t *table_member(const json_t *object, const char *path)
{
    char name[64];
    while (object != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");
        if (n >= sizeof(name))
            return NULL;
        memcpy(name, path, n);
        name[n] = '\0';
        object = json_object_get(object, name);
        path += n + (path[n] == '.');
    }
    return object;
}

const char *table_string(const json_t *object, const char *path)
{
    const char *s = json_string_value(table_member(object, path));
    return s != NULL ? s : "";
}

/* strptime leaves a fraction and a zone to us. */
bool table_parse_time(const char *text, int64_t *ret_us)
{
    struct tm tm = {0};
    const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (p == NULL)
        return false;
    int64_t us = (int64_t)timegm(&tm) * 1000000;
    if (*p == '.') {
        int64_t unit = 100000;
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            us += (*p - '0') * unit;
    }
    int hours = 0, minutes = 0;
    char sign = *p;
    if ((sign == '+' || sign == '-') && sscanf(p + 1, "%2d:%2d", &hours, &minutes) == 2)
        us -= (sign == '+' ? 1 : -1) * ((int64_t)hours * 3600 + minutes * 60) * 1000000;
    else if (strcmp(p, "Z") != 0)
        return false;
    *ret_us = us;
    return true;
}

void table_add_duration(struct strbuf *out, int64_t s)
{
    if (s < 60)
        strbuf_addf(out, "%ds", (int)(s > 0 ? s : 0));
    else if (s < 3600)
        strbuf_addf(out, "%dm", (int)(s / 60));
    else if (s < 2 * 86400)
        strbuf_addf(out, "%dh", (int)(s / 3600));
    else
        strbuf_addf(out, "%dd", (int)(s / 86400));
}

static void add_age(struct strbuf *out, const char *text)
{
    int64_t us;
    if (!table_parse_time(text, &us))
        return;
    table_add_duration(out, (clock_wall_us() - us) / 1000000);
    strbuf_addstr(out, " ago");
}

static void add_duration_ms(struct strbuf *out, const json_t *value)
{
    if (json_integer_value(value) > 0)
        table_add_duration(out, json_integer_value(value) / 1000);
    else if (json_is_integer(value))
        strbuf_addstr(out, "never");
}

static void add_value(struct strbuf *out, const json_t *value)
{
    if (json_is_string(value))
        text_add_sanitized(out, json_string_value(value));
    else if (json_is_integer(value))
        strbuf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        strbuf_addstr(out, json_is_true(value) ? "true" : "false");
    else if (value != NULL && !json_is_null(value)) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        text_add_sanitized(out, text);
        free(text);
    }
}

void table_add_cell(struct strbuf *out, const struct column *column, const json_t *row)
{
    if (column->kind == COLUMN_AGE)
        add_age(out, table_string(row, column->path));
    else if (column->kind == COLUMN_DURATION_MS)
        add_duration_ms(out, table_member(row, column->path));
    else if (column->kind == COLUMN_TASK_MESSAGE && json_object_get(row, "queue") != NULL)
        task_add_queue(out, row);
    else
        add_value(out, table_member(row, column->path));
}

/* ---- picking ---- */

static const struct column *find_column(const struct column *all, const char *name, size_t n)
{
    for (const struct column *c = all; c->name != NULL; c++)
        if (strlen(c->name) == n && strncasecmp(c->name, name, n) == 0)
            return c;
    return NULL;
}

static enum err unknown_column(
    struct cli *cli, const struct column *all, const char *name, size_t n)
{
    scoped_free char *typed = mem_strndup(name, n);
    struct suggestion s = {.typed = typed};
    struct strbuf known;
    strbuf_init(&known);
    for (const struct column *c = all; c->name != NULL; c++) {
        suggest_offer(&s, c->name);
        strbuf_addf(&known, "%s%s", known.len > 0 ? ", " : "", c->name);
    }
    if (s.best != NULL)
        (void)cli_fail(
            cli, ERR_USAGE, "unknown column \"%s\", did you mean \"%s\"?", typed, s.best);
    else
        (void)cli_fail(cli, ERR_USAGE, "unknown column \"%s\"", typed);
    cli_hint(cli, "the columns are: %s", known.s);
    strbuf_done(&known);
    return cli->code;
}

enum err table_pick(
    struct cli *cli, const struct column *all, const char *names, struct column *picked)
{
    size_t n_picked = 0;
    while (*names != '\0') {
        names += strspn(names, " ,");
        size_t n = strcspn(names, ",");
        size_t length = n;
        while (length > 0 && names[length - 1] == ' ')
            length--;
        const struct column *c = find_column(all, names, length);
        if (c == NULL)
            return unknown_column(cli, all, names, length);
        if (n_picked == COLUMNS_MAX)
            return cli_fail(cli, ERR_USAGE, "more than %d columns", COLUMNS_MAX);
        picked[n_picked++] = *c;
        names += n;
    }
    if (n_picked == 0)
        return unknown_column(cli, all, "", 0);
    picked[n_picked] = (struct column){0};
    return ERR_OK;
}

/* ---- printing ---- */

/* Columns of a terminal that UTF-8 text takes; by the locale, bytes where it has no idea. */
static size_t text_width(const char *s)
{
    size_t width = 0;
    mbstate_t state = {0};
    wchar_t wc;
    for (size_t n; (n = mbrtowc(&wc, s, MB_CUR_MAX, &state)) != 0; s += n) {
        if (n >= (size_t)-2)
            return width + strlen(s);
        int w = wcwidth(wc);
        width += w > 0 ? (size_t)w : 0;
    }
    return width;
}

/* Bytes of `s` that fit into `width` columns. */
static size_t text_fit(const char *s, size_t width)
{
    size_t bytes = 0;
    mbstate_t state = {0};
    wchar_t wc;
    for (size_t n; (n = mbrtowc(&wc, s + bytes, MB_CUR_MAX, &state)) != 0; bytes += n) {
        if (n >= (size_t)-2)
            return strlen(s) < width ? strlen(s) : width;
        int w = wcwidth(wc);
        if ((size_t)(w > 0 ? w : 0) > width)
            break;
        width -= (size_t)(w > 0 ? w : 0);
    }
    return bytes;
}

static const struct {
    const char *word;
    const char *colour;
} status_colours[] = {
    {"active",       "\033[32m"},
    {"complete",     "\033[32m"},
    {"working",      "\033[36m"},
    {"initializing", "\033[36m"},
    {"pending",      "\033[33m"},
    {"idle",         "\033[33m"},
    {"paused",       "\033[2m" },
    {"error",        "\033[31m"},
    {"failed",       "\033[31m"},
    {"healthy",      "\033[32m"},
    {"unhealthy",    "\033[31m"},
    {"queued",       "\033[33m"},
    {"delivered",    "\033[32m"},
    {"refused",      "\033[31m"},
    {"withdrawn",    "\033[2m" },
};

static const char *colour_of(const struct cli *cli, const struct column *column, const char *cell)
{
    if (!cli->colour || column->kind != COLUMN_STATUS)
        return "";
    for (size_t i = 0; i < COUNT(status_colours); i++)
        if (strcmp(status_colours[i].word, cell) == 0)
            return status_colours[i].colour;
    return "";
}

struct grid {
    size_t n_columns, n_rows;
    char **cells; /* row by row */
    size_t widths[COLUMNS_MAX];
};

static void grid_fill(struct grid *g, const struct column *columns, const json_t *rows)
{
    while (columns[g->n_columns].name != NULL)
        g->n_columns++;
    g->n_rows = json_array_size(rows);
    g->cells = mem_calloc(g->n_rows * g->n_columns, sizeof(char *));
    for (size_t c = 0; c < g->n_columns; c++)
        g->widths[c] = text_width(columns[c].name);
    for (size_t i = 0; i < g->n_rows * g->n_columns; i++) {
        size_t c = i % g->n_columns;
        struct strbuf cell;
        strbuf_init(&cell);
        table_add_cell(&cell, &columns[c], json_array_get(rows, i / g->n_columns));
        size_t width = text_width(cell.s);
        g->widths[c] = width > g->widths[c] ? width : g->widths[c];
        g->cells[i] = strbuf_detach(&cell);
        strbuf_done(&cell);
    }
}

static void grid_done(struct grid *g)
{
    for (size_t i = 0; i < g->n_rows * g->n_columns; i++)
        free(g->cells[i]);
    free(g->cells);
}

/* A row's last cell is cut at the terminal's edge, the others are padded. */
static void print_cell(struct cli *cli, const struct grid *g, size_t c, bool last, size_t used,
    const struct column *column, const char *cell)
{
    const char *colour = colour_of(cli, column, cell);
    size_t bytes = strlen(cell), width = text_width(cell);
    bool cut = last && cli->width > 0 && used + width > (size_t)cli->width &&
               used + 8 < (size_t)cli->width;
    if (cut)
        bytes = text_fit(cell, (size_t)cli->width - used - 1);
    fprintf(cli->out, "%s%.*s%s%s", colour, (int)bytes, cell, cut ? "…" : "",
        colour[0] != '\0' ? "\033[0m" : "");
    if (!last)
        fprintf(cli->out, "%*s", (int)(g->widths[c] - width + 2), "");
}

static void print_row(
    struct cli *cli, const struct grid *g, const struct column *columns, char *const *cells)
{
    size_t used = 0, n = g->n_columns;
    while (n > 1 && cells[n - 1][0] == '\0')
        n--;
    for (size_t c = 0; c < n; c++) {
        print_cell(cli, g, c, c + 1 == n, used, &columns[c], cells[c]);
        used += g->widths[c] + 2;
    }
    fputc('\n', cli->out);
}

void table_print(struct cli *cli, const struct column *columns, const json_t *rows)
{
    struct grid g = {0};
    char *heads[COLUMNS_MAX] = {NULL};
    struct column plain[COLUMNS_MAX] = {{0}};
    grid_fill(&g, columns, rows);
    for (size_t c = 0; c < g.n_columns; c++) {
        heads[c] = mem_strdup(columns[c].name);
        for (char *p = heads[c]; *p != '\0'; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
        plain[c] = (struct column){.name = columns[c].name, .kind = COLUMN_TEXT};
    }
    print_row(cli, &g, plain, heads);
    for (size_t r = 0; r < g.n_rows; r++)
        print_row(cli, &g, columns, g.cells + r * g.n_columns);
    for (size_t c = 0; c < g.n_columns; c++)
        free(heads[c]);
    grid_done(&g);
}

void table_print_rows(struct cli *cli, const struct column *columns, const json_t *rows)
{
    struct grid g = {0};
    grid_fill(&g, columns, rows);
    for (size_t r = 0; r < g.n_rows; r++)
        print_row(cli, &g, columns, g.cells + r * g.n_columns);
    grid_done(&g);
}

void table_print_json_line(struct cli *cli, const json_t *value)
{
    json_dumpf(value, cli->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    fputc('\n', cli->out);
}

void table_print_json(struct cli *cli, const json_t *value)
{
    json_dumpf(value, cli->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    fputc('\n', cli->out);
}
