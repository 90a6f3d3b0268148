/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - flags of the commands that come from Coder: rows of a table, each with variables of
 * the environment that stand in for it, and with its line of the help.
 */
#ifndef AGENT_MCP_OPTIONS_H
#define AGENT_MCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/base/err.h"

struct option_row {
    const char *flag;      /* with its dashes; "": by environment only */
    const char *variables; /* "A, B": the first one that is set and not empty counts */
    const char **value;    /* NULL (or a default) until it is given */
    const char *help;      /* "": not shown */
    bool is_switch;        /* takes no value; "true" when given */
};

struct option_words {
    const char *words[4];
    size_t n;
};

/* The environment first, then flags ("--x V", "--x=V"); what is no flag is a word. */
enum err must_check options_read(int argc, char **argv, const struct option_row *rows,
    size_t n_rows, struct option_words *ret_words, bool *ret_help, struct errctx *ctx);

void options_print(FILE *out, const struct option_row *rows, size_t n_rows);

#endif
