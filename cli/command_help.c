/* SPDX-License-Identifier: Apache-2.0 */
/* command_help.c - help made from a command's row: usage, examples, children, flags. */
#include "cli/command.h"

#include <string.h>

#define HELP_WIDTH 88

/* `text` in lines of at most HELP_WIDTH, each after the first indented. */
static void print_wrapped(FILE *f, const char *text, size_t indent, size_t column)
{
    const char *gap = "";
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (column + strlen(gap) + n > HELP_WIDTH && column > indent) {
            fprintf(f, "\n%*s", (int)indent, "");
            column = indent;
            gap = "";
        }
        fprintf(f, "%s%.*s", gap, (int)n, text);
        column += strlen(gap) + n;
        gap = " ";
        text += n + (text[n] == ' ');
    }
    fputc('\n', f);
}

static void print_usage(FILE *f, const struct call *call)
{
    struct strbuf path;
    strbuf_init(&path);
    command_add_path(&path, call);
    const struct command *c = call->command;
    fprintf(f, "%s\n\nUsage:\n  %s%s%s%s\n", c->summary, path.s,
        c->children != NULL ? " COMMAND" : "", c->args != NULL ? " " : "",
        c->args != NULL ? c->args : "");
    if (c->alias != NULL)
        fprintf(f, "  (%s may be called %s)\n", c->name, c->alias);
    strbuf_done(&path);
}

static void print_examples(FILE *f, const struct example *e)
{
    if (e == NULL)
        return;
    fputs("\nExamples:\n", f);
    for (; e->line != NULL; e++)
        fprintf(f, "  # %s\n  $ %s\n", e->why, e->line);
}

static void print_children(FILE *f, const struct command *const *c)
{
    if (c == NULL)
        return;
    fputs("\nCommands:\n", f);
    for (; *c != NULL; c++)
        fprintf(f, "  %-12s %s\n", (*c)->name, (*c)->summary);
}

static void print_flags(FILE *f, const struct command *c)
{
    const struct flag *flag;
    fputs("\nFlags:\n", f);
    for (size_t i = 0; (flag = command_flag_at(c, i)) != NULL; i++) {
        char head[64];
        char letter[8] = "    ";
        if (flag->letter != 0)
            (void)snprintf(letter, sizeof(letter), "-%c, ", flag->letter);
        (void)snprintf(head, sizeof(head), "  %s--%s%s%s", letter, flag->name,
            flag->value != NULL ? " " : "", flag->value != NULL ? flag->value : "");
        fprintf(f, "%-28s ", head);
        size_t column = strlen(head) > 28 ? strlen(head) + 1 : 29;
        print_wrapped(f, flag->help, 29, column);
    }
}

void command_help(FILE *f, const struct call *call)
{
    const struct command *c = call->command;
    print_usage(f, call);
    if (c->about != NULL) {
        fputc('\n', f);
        print_wrapped(f, c->about, 0, 0);
    }
    print_examples(f, c->examples);
    print_children(f, c->children);
    print_flags(f, c);
    if (c->children != NULL)
        fputs("\nEvery command has --help with examples of its own.\n", f);
}
