/* SPDX-License-Identifier: Apache-2.0 */
/* account.c - `stint login`, `logout`, `whoami`: who the gateway takes us for. */
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/profile.h"
#include "cli/table.h"
#include "core/base/mem.h"

/* ---- whoami ---- */

static enum err get_me(struct cli *cli, json_t **ret_user)
{
    return api_call(cli, "GET", "/api/v2/users/me", NULL, ret_user);
}

static enum err run_whoami(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *me = NULL;
    enum err e = get_me(cli, &me);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call)) {
        json_object_set_new(me, "url", json_string(cli->url));
        table_print_json(cli, me);
    } else {
        fprintf(cli->out, "%s at %s\n", table_string(me, "username"), cli->url);
    }
    return ERR_OK;
}

static const struct example whoami_examples[] = {
    EXAMPLE("User and gateway", "stint whoami"),
    EXAMPLE("In a script", "stint whoami --json | jq -r .email"),
    {0},
};

const struct command whoami_command = {
    .name = "whoami",
    .summary = "Show which user commands run as, and where.",
    .traits = COMMAND_PRINTS_DATA,
    .examples = whoami_examples,
    .run = run_whoami,
};

/* ---- login ---- */

static void take_token(struct cli *cli, char *take_token)
{
    if (cli->token != NULL)
        explicit_bzero(cli->token, strlen(cli->token));
    free(cli->token);
    cli->token = take_token;
}

static void free_secret(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}
DEFINE_SCOPED(char, free_secret)

static enum err login_by_password(struct cli *cli, const char *email, const char *password)
{
    scoped(json_unrefp) json_t *body =
        json_pack("{s:s, s:s}", "email", email, "password", password);
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = api_call_anonymous(cli, "POST", "/api/v2/users/login", body, &answer);
    if (e == ERR_UNAUTHORIZED)
        cli_hint(cli, "check e-mail and password, and try again");
    if (e != ERR_OK)
        return e;
    const char *token = table_string(answer, "session_token");
    if (token[0] == '\0')
        return cli_fail(cli, ERR_FAILED, "%s gave no token", cli->url);
    take_token(cli, mem_strdup(token));
    return ERR_OK;
}

static enum err create_first_user(
    struct cli *cli, const char *username, const char *email, const char *password)
{
    scoped(json_unrefp) json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:b}", "username", username,
        "name", "", "email", email, "password", password, "trial", 0);
    enum err e = api_call_anonymous(cli, "POST", "/api/v2/users/first", body, NULL);
    if (e == ERR_CONFLICT || e == ERR_FORBIDDEN)
        cli_hint(cli, "there is a first user already: log in without --first-user");
    return e;
}

/* The secret comes from the terminal, typed blind, or from a pipe; never from the command line. */
static enum err ask(struct cli *cli, const struct call *call, const char *flag,
    const char *question, bool secret, char **ret_text)
{
    const char *given = flag != NULL ? call_text(call, flag) : NULL;
    if (given != NULL) {
        *ret_text = mem_strdup(given);
        return ERR_OK;
    }
    if (cli->in_is_terminal || (secret && call_has(call, "password-stdin")))
        return cli_read_line(cli, question, secret, ret_text);
    (void)cli_fail(cli, ERR_USAGE, "nobody is at the terminal to ask for the %s",
        flag != NULL ? flag : "password");
    cli_hint(cli, "--email E --password-stdin <file, or STINT_TOKEN in the environment");
    return cli->code;
}

static enum err login_as_person(struct cli *cli, const struct call *call)
{
    bool first = call_has(call, "first-user");
    scoped_free char *username = NULL;
    scoped_free char *email = NULL;
    scoped(free_secretp) char *password = NULL;
    enum err e = first ? ask(cli, call, "username", "Username:", false, &username) : ERR_OK;
    if (e == ERR_OK)
        e = ask(cli, call, "email", "E-mail:", false, &email);
    if (e == ERR_OK)
        e = ask(cli, call, NULL, "Password:", true, &password);
    if (e == ERR_OK && first)
        e = create_first_user(cli, username, email, password);
    return e == ERR_OK ? login_by_password(cli, email, password) : e;
}

/* Some way to prove who one is: a token by flag, pipe or environment, else e-mail and password. */
static enum err prove(struct cli *cli, const struct call *call)
{
    char *token = NULL;
    if (call_has(call, "token"))
        token = mem_strdup(call_text(call, "token"));
    else if (call_has(call, "token-stdin")) {
        enum err e = cli_read_line(cli, "Token:", true, &token);
        if (e != ERR_OK)
            return e;
    } else {
        bool as_person = call_has(call, "first-user") || call_has(call, "email") ||
                         call_has(call, "password-stdin");
        const char *given = as_person ? NULL : getenv("STINT_TOKEN");
        if (given == NULL || given[0] == '\0')
            return login_as_person(cli, call);
        token = mem_strdup(given);
    }
    take_token(cli, token);
    return ERR_OK;
}

static enum err choose_url(struct cli *cli, const struct call *call)
{
    if (call->n_args > 0)
        return profile_set_url(cli, call->args[0], "the command line");
    return cli->url != NULL ? ERR_OK : profile_set_url(cli, CLI_URL_INITIAL, "the usual address");
}

static void warn_of_environment(struct cli *cli)
{
    const char *const names[] = {"STINT_URL", "STINT_TOKEN", "CODER_URL", "CODER_SESSION_TOKEN"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (getenv(names[i]) != NULL)
            cli_say(cli, "Note: %s is set and comes before what login stored.", names[i]);
}

static enum err run_login(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *me = NULL;
    enum err e = choose_url(cli, call);
    if (e == ERR_OK)
        e = prove(cli, call);
    if (e == ERR_OK)
        e = get_me(cli, &me);
    if (e == ERR_OK)
        e = profile_store(cli);
    if (e != ERR_OK)
        return e;
    cli_say(cli, "Logged in to %s as %s; kept in %s.", cli->url, table_string(me, "username"),
        cli->config_path);
    warn_of_environment(cli);
    return ERR_OK;
}

static const struct flag login_flags[] = {
    SWITCH(0, "token-stdin", "Read an API token from standard input."),
    FLAG(0, "token", "TOKEN",
        "An API token. Others on this machine can see it: prefer --token-stdin."),
    FLAG(0, "email", "EMAIL", "Log in by e-mail and password."),
    SWITCH(0, "password-stdin", "Read the password from standard input."),
    SWITCH(0, "first-user", "Create the first user of a new installation, its owner."),
    FLAG(0, "username", "NAME", "With --first-user: what it is called."),
    {0},
};

static const struct example login_examples[] = {
    EXAMPLE("Asks for e-mail and password", "stint login https://stint.example.com"),
    EXAMPLE("With an API token", "stint login https://stint.example.com --token-stdin <token.txt"),
    EXAMPLE(
        "On a new installation", "stint login --first-user --username ada --email ada@example.com"),
    {0},
};

const struct command login_command = {
    .name = "login",
    .summary = "Log in to a gateway and remember it.",
    .args = "[URL]",
    .args_max = 1,
    .about = "URL and token are kept in $XDG_CONFIG_HOME/stint/config.json (0600). STINT_URL and "
             "STINT_TOKEN (or CODER_URL and CODER_SESSION_TOKEN) in the environment come before "
             "it.",
    .flags = login_flags,
    .examples = login_examples,
    .run = run_login,
};

/* ---- logout ---- */

/* The stored token is dropped whatever the gateway says of it. */
static enum err run_logout(struct cli *cli, const struct call *call)
{
    (void)call;
    bool told =
        cli->token != NULL && api_call(cli, "POST", "/api/v2/users/logout", NULL, NULL) == ERR_OK;
    bool refused = cli->http_status != 0;
    cli_forgive(cli);
    enum err e = profile_forget(cli);
    if (e != ERR_OK)
        return e;
    cli_say(cli, "Logged out%s.",
        told || refused || cli->token == NULL
            ? ""
            : " on this machine; the gateway did not answer, so the token lives on there");
    return ERR_OK;
}

static const struct example logout_examples[] = {
    EXAMPLE("Forget the token, and end it at the gateway", "stint logout"),
    {0},
};

const struct command logout_command = {
    .name = "logout",
    .summary = "Forget the stored token.",
    .examples = logout_examples,
    .run = run_logout,
};
