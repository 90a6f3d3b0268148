/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, and the few rules between them. */
#include "agent/agentapi/flags.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agentapi/hosts.h"
#include "core/base/cleanup.h"
#include "core/base/conf.h"

#define NAME_MAX_BYTES 40

enum kind { KIND_TEXT, KIND_NUMBER, KIND_SWITCH };

static const struct flag {
    enum kind kind;
    const char *name;
    char letter;
    size_t offset;
    const char *initial, *value, *help;
} rows[] = {
#define FLAG(kind, name, letter, field, initial, value, help) \
    {KIND_##kind, name, letter, offsetof(struct flags, field), initial, value, help},
#include "agent/agentapi/flag.def"
};

/* ---- one value ---- */

static enum err set_number(
    const struct flag *row, const char *from, int64_t *field, const char *value, struct errctx *ctx)
{
    char *end;
    *field = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || *field < 0 || *field > 65535)
        return err_set(
            ctx, ERR_USAGE, "%s: \"%s\" is not a number for --%s", from, value, row->name);
    return ERR_OK;
}

static enum err set(const struct flag *row, const char *from, struct flags *f, const char *value,
    struct errctx *ctx)
{
    void *field = (char *)f + row->offset;
    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)field = value;
        return ERR_OK;
    case KIND_NUMBER:
        return set_number(row, from, field, value, ctx);
    case KIND_SWITCH:
        break;
    }
    if (conf_parse_bool(value, field) != ERR_OK)
        return err_set(ctx, ERR_USAGE, "%s: \"%s\" is neither true nor false", from, value);
    return ERR_OK;
}

static void env_name(const struct flag *row, char ret_name[static NAME_MAX_BYTES])
{
    snprintf(ret_name, NAME_MAX_BYTES, "AGENTAPI_%s", row->name);
    for (char *p = ret_name; *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

static enum err set_initial(const struct flag *row, struct flags *f, struct errctx *ctx)
{
    char name[NAME_MAX_BYTES];
    env_name(row, name);
    const char *value = getenv(name);
    if (row->kind == KIND_SWITCH)
        *(int64_t *)(void *)((char *)f + row->offset) = -1;
    if (value != NULL && value[0] != '\0')
        return set(row, name, f, value, ctx);
    return row->initial != NULL ? set(row, row->name, f, row->initial, ctx) : ERR_OK;
}

/* ---- the command line ---- */

static const struct flag *find(const char *word, size_t n)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool is_long = n > 2 && word[1] == '-' && strlen(rows[i].name) == n - 2 &&
                       strncmp(word + 2, rows[i].name, n - 2) == 0;
        bool is_short = n == 2 && rows[i].letter != 0 && word[1] == rows[i].letter;
        if (is_long || is_short)
            return &rows[i];
    }
    return NULL;
}

/* *i moves to the last word that belongs to the flag. */
static enum err take_flag(int argc, char **argv, int *i, struct flags *f, struct errctx *ctx)
{
    const char *word = argv[*i];
    size_t n = strcspn(word, "=");
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        f->wants_help = true;
        return ERR_OK;
    }
    const struct flag *row = find(word, n);
    if (row == NULL)
        return err_set(ctx, ERR_USAGE, "\"%s\" is not a flag of this command, see --help", word);
    if (word[n] == '=')
        return set(row, word, f, word + n + 1, ctx);
    if (row->kind == KIND_SWITCH)
        return set(row, word, f, "true", ctx);
    if (*i + 1 >= argc)
        return err_set(ctx, ERR_USAGE, "%s needs a value", word);
    return set(row, word, f, argv[++*i], ctx);
}

static enum err take_words(int argc, char **argv, struct flags *f, struct errctx *ctx)
{
    int i = argc > 1 && strcmp(argv[1], "server") == 0 ? 2 : 1;
    for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        enum err e = take_flag(argc, argv, &i, f, ctx);
        if (e != ERR_OK)
            return e;
    }
    if (i < argc && strcmp(argv[i], "--") == 0)
        i++;
    f->command = i < argc ? argv + i : NULL;
    return ERR_OK;
}

/* ---- the rules between them ---- */

static enum err check_type(struct flags *f, struct errctx *ctx)
{
    if (f->type == NULL) {
        f->agent_type = f->command != NULL ? agent_type_of_program(f->command[0]) : AGENT_CUSTOM;
        return ERR_OK;
    }
    if (agent_type_parse(f->type, &f->agent_type))
        return ERR_OK;
    scoped(strbuf_done) struct strbuf names;
    strbuf_init(&names);
    agent_type_names(&names);
    return err_set(ctx, ERR_USAGE, "--type \"%s\" is not known; there are: %s", f->type, names.s);
}

static enum err check_state(struct flags *f, struct errctx *ctx)
{
    bool has_file = f->state_file != NULL && f->state_file[0] != '\0';
    if (!has_file && f->load_state == 1)
        return err_set(ctx, ERR_USAGE, "--load-state needs --state-file");
    if (!has_file && f->save_state == 1)
        return err_set(ctx, ERR_USAGE, "--save-state needs --state-file");
    f->load_state = has_file && f->load_state != 0;
    f->save_state = has_file && f->save_state != 0;
    return ERR_OK;
}

static enum err check(struct flags *f, struct errctx *ctx)
{
    if (f->acp == 1)
        return err_set(ctx, ERR_USAGE,
            "--experimental-acp is not supported: agents are talked to through their terminal");
    if (f->width < 10 || f->width > 1000)
        return err_set(ctx, ERR_USAGE, "--term-width must be 10 to 1000");
    if (f->height < 10 || f->height > 2000)
        return err_set(ctx, ERR_USAGE, "--term-height must be 10 to 2000");
    enum err e = check_type(f, ctx);
    if (e == ERR_OK)
        e = check_state(f, ctx);
    if (e == ERR_OK)
        e = hosts_parse(f->hosts, &f->host_list, ctx);
    if (e == ERR_OK)
        e = origins_parse(f->origins, &f->origin_list, ctx);
    if (e == ERR_OK && f->command == NULL && f->print_openapi != 1)
        e = err_set(ctx, ERR_USAGE, "which command? stint-agent agentapi -- claude; see --help");
    return e;
}

enum err flags_parse(int argc, char **argv, struct flags *f, struct errctx *ctx)
{
    enum err e = ERR_OK;
    strbuf_init(&f->host_list);
    strbuf_init(&f->origin_list);
    for (size_t i = 0; i < COUNT(rows) && e == ERR_OK; i++)
        e = set_initial(&rows[i], f, ctx);
    if (e == ERR_OK)
        e = take_words(argc, argv, f, ctx);
    return e == ERR_OK && !f->wants_help ? check(f, ctx) : e;
}

void flags_done(struct flags *f)
{
    strbuf_done(&f->host_list);
    strbuf_done(&f->origin_list);
}

/* ---- help ---- */

static void help_row(struct strbuf *out, const struct flag *row)
{
    char left[64], letter[8] = "    ";
    if (row->letter != 0)
        snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->value != NULL ? " " : "",
        row->value != NULL ? row->value : "");
    strbuf_addf(out, "  %-28s ", left);
    const char *mark = strstr(row->help, "%s");
    strbuf_add(out, row->help, mark != NULL ? (size_t)(mark - row->help) : strlen(row->help));
    if (mark != NULL) {
        agent_type_names(out);
        strbuf_addstr(out, mark + 2);
    }
    if (row->initial != NULL && row->initial[0] != '\0')
        strbuf_addf(out, " (initially %s)", row->initial);
    strbuf_addch(out, '\n');
}

void flags_help(struct strbuf *out)
{
    strbuf_addstr(out, "Usage: stint-agent agentapi [server] [flags] -- COMMAND…\n"
                       "\n"
                       "Runs a terminal agent and offers it over HTTP: GET /status, GET /messages, "
                       "POST /message,\n"
                       "POST /upload, GET /events; the API of Coder's agentapi.\n"
                       "\n");
    for (size_t i = 0; i < COUNT(rows); i++)
        help_row(out, &rows[i]);
    strbuf_addstr(out,
        "\n"
        "Each flag is also taken from AGENTAPI_<NAME>, e.g. AGENTAPI_PORT.  SIGUSR1 saves the "
        "state;\n"
        "SIGTERM, SIGINT and SIGHUP save it and end the server and the command; so does the "
        "command's "
        "end.\n"
        "\n"
        "Examples:\n"
        "  stint-agent agentapi -- claude --allowedTools \"Bash Edit\"\n"
        "  stint-agent agentapi --type codex --port 0 -- codex\n"
        "  echo \"Fix the tests\" | stint-agent agentapi --state-file ~/.state.json -- aider\n"
        "  curl -s localhost:3284/message -H 'Content-Type: application/json' \\\n"
        "      -d '{\"type\": \"user\", \"content\": \"Hello\"}'\n"
        "\n"
        "Exit status: 0 the command ended with 0, or a signal came; 64 flags; 66 no such program;\n"
        "69 the port is taken; 70 the command failed; 75 the pid file's process is alive.\n");
}
