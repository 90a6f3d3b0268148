/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - from argv to a command, its flags and its arguments.
 *
 * Words go down the tree until a command without children is reached; what follows are flags
 * anywhere (--name value, --name=value, -n value, -nvalue, clustered switches -qf) and arguments;
 * "--" ends the flags.  Nothing may be abbreviated: a new command must never change what an old
 * script means.
 */
#include "cli/command.h"

#include <assert.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/profile.h"
#include "cli/suggest.h"

static const struct flag every_flags[] = {
    SWITCH('h', "help", "Show this help."),
    FLAG(0, "url", "URL",
        "The gateway to speak to, instead of STINT_URL or the one of `stint login`."),
    SWITCH(0, "no-color", "No colour, like NO_COLOR=1 or output that is not a terminal."),
    {0},
};

static const struct flag data_flags[] = {
    FLAG('o', "output", "FORMAT", "table or json."),
    SWITCH(0, "json", "Short for -o json."),
    {0},
};

static const struct flag list_flags[] = {
    FLAG('c', "column", "A,B", "Columns to show, by name; an unknown one lists them all."),
    {0},
};

const struct flag *command_flag_at(const struct command *command, size_t i)
{
    const struct flag *tables[] = {
        command->flags,
        command->traits & COMMAND_LISTS ? list_flags : NULL,
        command->traits & COMMAND_PRINTS_DATA ? data_flags : NULL,
        every_flags,
    };
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct flag *f = tables[t]; f != NULL && f->name != NULL; f++)
            if (i-- == 0)
                return f;
    return NULL;
}

static const struct flag *find_flag(
    const struct command *command, const char *name, size_t length, char letter)
{
    const struct flag *f;
    for (size_t i = 0; (f = command_flag_at(command, i)) != NULL; i++) {
        if (letter != 0 && f->letter == letter)
            return f;
        if (name != NULL && strlen(f->name) == length && strncmp(f->name, name, length) == 0)
            return f;
    }
    return NULL;
}

void command_add_path(struct strbuf *out, const struct call *call)
{
    for (size_t i = 0; i < call->depth; i++)
        strbuf_addf(out, "%s%s", i > 0 ? " " : "", call->path[i]->name);
}

/* The sentence, and where help is to be had. */
static enum err usage_error(struct cli *cli, const struct call *call)
{
    struct strbuf path;
    strbuf_init(&path);
    command_add_path(&path, call);
    cli_hint(cli, "%s --help", path.s);
    strbuf_done(&path);
    return cli->code;
}

/* ---- flags ---- */

static enum err unknown_flag(
    struct cli *cli, const struct call *call, const char *word, const char *name, size_t length)
{
    char typed[64] = "";
    memcpy(typed, name, length < sizeof(typed) ? length : sizeof(typed) - 1);
    struct suggestion s = {.typed = typed};
    const struct flag *f;
    for (size_t i = 0; length > 1 && (f = command_flag_at(call->command, i)) != NULL; i++)
        suggest_offer(&s, f->name);

    int shown = word[1] == '-' ? (int)strcspn(word, "=") : (int)strlen(word);
    if (s.best != NULL)
        (void)cli_fail(
            cli, ERR_USAGE, "unknown flag %.*s, did you mean --%s?", shown, word, s.best);
    else
        (void)cli_fail(cli, ERR_USAGE, "unknown flag %.*s", shown, word);
    return usage_error(cli, call);
}

static enum err give(struct cli *cli, struct call *call, const struct flag *flag, const char *value)
{
    if (call->n_given == CALL_FLAGS_MAX)
        return cli_fail(cli, ERR_USAGE, "more than %d flags", CALL_FLAGS_MAX);
    call->given[call->n_given].flag = flag;
    call->given[call->n_given++].value = value;
    return ERR_OK;
}

/* What is left of the command line; `next` is the word after the current one. */
struct words {
    int argc;
    char **argv;
    int next;
};

static enum err give_with_value(
    struct cli *cli, struct call *call, const struct flag *flag, const char *value, struct words *w)
{
    if (value == NULL && w->next < w->argc)
        value = w->argv[w->next++];
    if (value == NULL) {
        (void)cli_fail(
            cli, ERR_USAGE, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
        return usage_error(cli, call);
    }
    return give(cli, call, flag, value);
}

static enum err parse_long(struct cli *cli, struct call *call, const char *word, struct words *w)
{
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const struct flag *flag = find_flag(call->command, name, length, 0);
    if (flag == NULL)
        return unknown_flag(cli, call, word, name, length);
    if (flag->value != NULL)
        return give_with_value(cli, call, flag, value, w);
    if (value != NULL) {
        (void)cli_fail(cli, ERR_USAGE, "--%s takes no value", flag->name);
        return usage_error(cli, call);
    }
    return give(cli, call, flag, "");
}

static enum err parse_short(struct cli *cli, struct call *call, const char *word, struct words *w)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        const struct flag *flag = find_flag(call->command, NULL, 0, *p);
        if (flag == NULL)
            return unknown_flag(cli, call, word, p, strlen(p));
        if (flag->value != NULL)
            return give_with_value(cli, call, flag, p[1] != '\0' ? p + 1 : NULL, w);
        enum err e = give(cli, call, flag, "");
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

/* ---- words ---- */

static const struct command *find_child(const struct command *parent, const char *name)
{
    for (const struct command *const *c = parent->children; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0 ||
            ((*c)->alias != NULL && strcmp((*c)->alias, name) == 0))
            return *c;
    return NULL;
}

static enum err unknown_command(struct cli *cli, const struct call *call, const char *word)
{
    struct suggestion s = {.typed = word};
    for (const struct command *const *c = call->command->children; *c != NULL; c++)
        suggest_offer(&s, (*c)->name);

    struct strbuf path;
    strbuf_init(&path);
    command_add_path(&path, call);
    if (s.best != NULL)
        (void)cli_fail(cli, ERR_USAGE, "unknown command \"%s\", did you mean \"%s %s\"?", word,
            path.s, s.best);
    else
        (void)cli_fail(cli, ERR_USAGE, "unknown command \"%s\"", word);
    strbuf_done(&path);
    return usage_error(cli, call);
}

static enum err enter(struct cli *cli, struct call *call, const struct command *child)
{
    if (call->depth == CALL_DEPTH_MAX)
        return cli_fail(cli, ERR_INTERNAL, "the command tree is deeper than %d", CALL_DEPTH_MAX);
    call->path[call->depth++] = child;
    call->command = child;
    return ERR_OK;
}

static enum err parse_word(struct cli *cli, struct call *call, const char *word)
{
    if (call->command->children != NULL) {
        const struct command *child = find_child(call->command, word);
        return child != NULL ? enter(cli, call, child) : unknown_command(cli, call, word);
    }
    if (call->n_args == CALL_ARGS_MAX)
        return cli_fail(cli, ERR_USAGE, "more than %d arguments", CALL_ARGS_MAX);
    call->args[call->n_args++] = word;
    return ERR_OK;
}

static enum err check_numbers(struct cli *cli, const struct call *call)
{
    const struct command *c = call->command;
    if (call_has(call, "help") || c->children != NULL)
        return ERR_OK;
    if (call->n_args < c->args_min)
        (void)cli_fail(cli, ERR_USAGE, "an argument is missing: %s", c->args);
    else if (call->n_args > c->args_max && c->args_max == 0)
        (void)cli_fail(cli, ERR_USAGE, "unexpected argument \"%s\"", call->args[0]);
    else if (call->n_args > c->args_max)
        (void)cli_fail(cli, ERR_USAGE, "unexpected argument \"%s\"; put text with spaces in quotes",
            call->args[c->args_max]);
    else
        return ERR_OK;
    return usage_error(cli, call);
}

static enum err check_format(struct cli *cli, const struct call *call)
{
    const char *format =
        find_flag(call->command, "output", 6, 0) ? call_text(call, "output") : NULL;
    if (format == NULL || strcmp(format, "table") == 0 || strcmp(format, "json") == 0)
        return ERR_OK;
    (void)cli_fail(cli, ERR_USAGE, "-o %s is not known; it is table or json", format);
    return usage_error(cli, call);
}

enum err command_parse(
    struct cli *cli, const struct command *root, int argc, char **argv, struct call *ret_call)
{
    struct words w = {.argc = argc, .argv = argv, .next = 1};
    bool only_args = false;
    *ret_call = (struct call){0};
    enum err e = enter(cli, ret_call, root);
    while (e == ERR_OK && w.next < w.argc) {
        const char *word = argv[w.next++];
        if (only_args || word[0] != '-' || word[1] == '\0')
            e = parse_word(cli, ret_call, word);
        else if (strcmp(word, "--") == 0)
            only_args = true;
        else if (word[1] == '-')
            e = parse_long(cli, ret_call, word, &w);
        else
            e = parse_short(cli, ret_call, word, &w);
    }
    if (e == ERR_OK)
        e = check_numbers(cli, ret_call);
    if (e == ERR_OK)
        e = check_format(cli, ret_call);
    return e;
}

const char *call_text(const struct call *call, const char *name)
{
    assert(find_flag(call->command, name, strlen(name), 0) != NULL);
    for (size_t i = call->n_given; i-- > 0;)
        if (strcmp(call->given[i].flag->name, name) == 0)
            return call->given[i].value;
    return NULL;
}

const char *call_text_at(const struct call *call, const char *name, size_t i)
{
    for (size_t k = 0; k < call->n_given; k++)
        if (strcmp(call->given[k].flag->name, name) == 0 && i-- == 0)
            return call->given[k].value;
    return NULL;
}

bool call_has(const struct call *call, const char *name)
{
    return call_text(call, name) != NULL;
}

bool call_wants_json(const struct call *call)
{
    const char *format = call_text(call, "output");
    return call_has(call, "json") || (format != NULL && strcmp(format, "json") == 0);
}

/* ---- running ---- */

static enum err prepare(struct cli *cli, const struct call *call)
{
    if (call_has(call, "no-color"))
        cli->colour = cli->err_is_terminal = false;
    const char *url = call_text(call, "url");
    return url != NULL ? profile_set_url(cli, url, "--url") : ERR_OK;
}

static enum err run(struct cli *cli, const struct call *call)
{
    if (call_has(call, "help") || call->command->run == NULL) {
        bool asked = call_has(call, "help");
        command_help(asked ? cli->out : cli->err, call);
        return asked ? ERR_OK : cli_fail(cli, ERR_USAGE, "which %s command?", call->command->name);
    }
    enum err e = prepare(cli, call);
    return e == ERR_OK ? call->command->run(cli, call) : e;
}

int command_main(struct cli *cli, const struct command *root, int argc, char **argv)
{
    struct call call;
    enum err e = command_parse(cli, root, argc, argv, &call);
    if (e == ERR_OK)
        e = run(cli, &call);
    if (fflush(cli->out) != 0 && e == ERR_OK)
        e = cli_fail(cli, ERR_IO, "cannot write the output");
    if (e == ERR_OK)
        return cli->exit_status;
    if (interrupt_seen())
        return INTERRUPT_EXIT_STATUS;
    cli_complain(cli);
    return err_exit_status(e);
}
