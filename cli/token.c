/* SPDX-License-Identifier: Apache-2.0 */
/* token.c - `stint token create`, `list`, `revoke`: keys for programs. */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "core/base/conf.h"

#define TOKENS "/api/v2/users/me/keys/tokens"

/* ---- create ---- */

/* A lifetime is told in nanoseconds. */
static enum err read_lifetime(struct cli *cli, const char *text, json_t *body)
{
    int64_t ms;
    if (text == NULL)
        return ERR_OK;
    if (conf_parse_duration_ms(text, &ms) != ERR_OK || ms <= 0 || ms > INT64_MAX / 1000000) {
        (void)cli_fail(cli, ERR_USAGE, "\"%s\" is no duration", text);
        cli_hint(cli, "--lifetime 12h, or 720h for a month");
        return cli->code;
    }
    json_object_set_new(body, "lifetime", json_integer(ms * 1000000));
    return ERR_OK;
}

static enum err run_create(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *body = json_object();
    scoped(json_unrefp) json_t *answer = NULL;
    const char *scope = call_text(call, "scope");
    if (call->n_args > 0)
        json_object_set_new(body, "token_name", json_string(call->args[0]));
    if (scope != NULL)
        json_object_set_new(body, "scope", json_string(scope));
    enum err e = read_lifetime(cli, call_text(call, "lifetime"), body);
    if (e == ERR_OK)
        e = api_call(cli, "POST", TOKENS, body, &answer);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, answer);
    else
        fprintf(cli->out, "%s\n", table_string(answer, "key"));
    cli_say(cli, "Keep it: it is not shown again.");
    return ERR_OK;
}

static const struct flag create_flags[] = {
    FLAG(0, "lifetime", "TIME", "When it ends: 12h, 720h. Default: 30 days."),
    FLAG(0, "scope", "SCOPE",
        "all; read: GETs alone; application_connect: read tasks and talk to their apps."),
    {0},
};

static const struct example create_examples[] = {
    EXAMPLE("For a pipeline, for a year", "stint token create ci --lifetime 8760h"),
    EXAMPLE("For something that only looks", "stint token create board --scope read >token.txt"),
    {0},
};

const struct command token_create_command = {
    .name = "create",
    .summary = "Make a token and print it.",
    .args = "[NAME]",
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .flags = create_flags,
    .examples = create_examples,
    .run = run_create,
};

/* ---- list ---- */

static const struct column columns_all[] = {
    {"id",         "id", COLUMN_TEXT},
    {"name", "token_name", COLUMN_TEXT},
    {"user",       "username", COLUMN_TEXT},
    {"scope", "scope", COLUMN_TEXT},
    {"last used",       "last_used", COLUMN_AGE},
    {"created", "created_at", COLUMN_AGE},
    {"expires",      "expires_at", COLUMN_TEXT},
    {0},
};

static enum err run_list(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    bool all = call_has(call, "all");
    const char *names = call_text(call, "column");
    const char *usual =
        all ? "id,name,user,scope,last used,expires" : "id,name,scope,last used,expires";
    scoped(json_unrefp) json_t *tokens = NULL;
    enum err e = table_pick(cli, columns_all, names != NULL ? names : usual, columns);
    if (e == ERR_OK)
        e = api_call(cli, "GET", all ? TOKENS "?include_all=true" : TOKENS, NULL, &tokens);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, tokens);
    else if (json_array_size(tokens) > 0)
        table_print(cli, columns, tokens);
    else
        cli_say(cli, "No tokens found.");
    return ERR_OK;
}

static const struct flag list_flags[] = {
    SWITCH('a', "all", "Those of everybody (owners)."),
    {0},
};

static const struct example list_examples[] = {
    EXAMPLE("Whether it is still used", "stint token list"),
    {0},
};

const struct command token_list_command = {
    .name = "list",
    .alias = "ls",
    .summary = "List tokens.",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .flags = list_flags,
    .examples = list_examples,
    .run = run_list,
};

/* ---- revoke ---- */

/* By name, or as it is: then it is an id. */
static enum err find_id(struct cli *cli, const char *word, struct strbuf *id)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *token = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, TOKENS "/");
    api_add_escaped(&path, word);
    enum err e = api_call(cli, "GET", path.s, NULL, &token);
    strbuf_done(&path);
    if (e != ERR_OK && e != ERR_NOT_FOUND)
        return e;
    cli_forgive(cli);
    strbuf_addf(id, "%s", e == ERR_OK ? table_string(token, "id") : word);
    return ERR_OK;
}

static enum err revoke(struct cli *cli, const char *word)
{
    struct strbuf id, path;
    strbuf_init(&id), strbuf_init(&path);
    enum err e = find_id(cli, word, &id);
    if (e == ERR_OK) {
        strbuf_addf(&path, "/api/v2/users/me/keys/");
        api_add_escaped(&path, id.s);
        e = api_call(cli, "DELETE", path.s, NULL, NULL);
    }
    if (e == ERR_OK)
        cli_say(cli, "The token %s has ended.", word);
    if (e == ERR_NOT_FOUND)
        cli_hint(cli, "stint token list");
    strbuf_done(&id), strbuf_done(&path);
    return e;
}

static enum err run_revoke(struct cli *cli, const struct call *call)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < call->n_args && e == ERR_OK; i++)
        e = revoke(cli, call->args[i]);
    return e;
}

static const struct example revoke_examples[] = {
    EXAMPLE("By its name or its id", "stint token revoke ci"),
    {0},
};

const struct command token_revoke_command = {
    .name = "revoke",
    .alias = "rm",
    .summary = "End tokens, at once and everywhere.",
    .args = "TOKEN...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .examples = revoke_examples,
    .run = run_revoke,
};
