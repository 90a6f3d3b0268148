/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - environment, then flags, then what is left. */
#include "agent/mcp/options.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

static void read_environment(const struct option_row *row)
{
    char name[64];
    for (const char *p = row->variables; *p != '\0'; p += strspn(p, ", ")) {
        size_t n = strcspn(p, ", ");
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        const char *value = getenv(name);
        if (value != NULL && value[0] != '\0') {
            *row->value = value;
            return;
        }
        p += n;
    }
}

static const struct option_row *find_row(
    const char *arg, size_t n, const struct option_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++)
        if (strlen(rows[i].flag) == n && memcmp(rows[i].flag, arg, n) == 0)
            return &rows[i];
    return NULL;
}

static enum err add_word(struct option_words *words, const char *word, struct errctx *ctx)
{
    if (words->n == COUNT(words->words))
        return err_set(ctx, ERR_USAGE, "\"%.80s\" is one word too many, see --help", word);
    words->words[words->n++] = word;
    return ERR_OK;
}

/* One flag at argv[*i], and its value. */
static enum err read_flag(
    int argc, char **argv, int *i, const struct option_row *rows, size_t n_rows, struct errctx *ctx)
{
    const char *arg = argv[*i];
    size_t n = strcspn(arg, "=");
    const struct option_row *row = find_row(arg, n, rows, n_rows);
    if (row == NULL)
        return err_set(ctx, ERR_USAGE, "\"%.80s\" is not a flag of this command, see --help", arg);
    if (arg[n] == '=')
        *row->value = arg + n + 1;
    else if (row->is_switch)
        *row->value = "true";
    else if (*i + 1 < argc)
        *row->value = argv[++*i];
    else
        return err_set(ctx, ERR_USAGE, "%s needs a value", arg);
    return ERR_OK;
}

enum err options_read(int argc, char **argv, const struct option_row *rows, size_t n_rows,
    struct option_words *ret_words, bool *ret_help, struct errctx *ctx)
{
    *ret_words = (struct option_words){0};
    *ret_help = false;
    for (size_t i = 0; i < n_rows; i++)
        read_environment(&rows[i]);
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        enum err e = ERR_OK;
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (only_words || argv[i][0] != '-')
            e = add_word(ret_words, argv[i], ctx);
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *ret_help = true;
        else
            e = read_flag(argc, argv, &i, rows, n_rows, ctx);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

void options_print(FILE *out, const struct option_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        const struct option_row *r = &rows[i];
        if (r->help[0] == '\0' || r->flag[0] == '\0')
            continue;
        fprintf(out, "  %s%s", r->flag, r->is_switch ? "" : " VALUE");
        if (r->variables[0] != '\0')
            fprintf(out, "  [%s]", r->variables);
        fprintf(out, "\n      %s\n", r->help);
    }
}
