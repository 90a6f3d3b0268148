/* SPDX-License-Identifier: Apache-2.0 */
/* user.c - `stint user list` and `create`: who there is. */
#include "cli/user.h"

#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "core/base/mem.h"

static const struct column columns_all[] = {
    {"id",           "id", COLUMN_TEXT},
    {"username",   "username", COLUMN_TEXT},
    {"name",     "name", COLUMN_TEXT},
    {"email",   "email", COLUMN_TEXT},
    {"status",         "status", COLUMN_STATUS},
    {"roles",   "role_names", COLUMN_TEXT},
    {"login type",        "login_type", COLUMN_TEXT},
    {"github user id",   "github_com_user_id", COLUMN_TEXT},
    {"last seen",       "last_seen_at", COLUMN_AGE},
    {"created", "created_at", COLUMN_AGE},
    {0       },
};

void user_add_path(struct strbuf *path, const char *user, const char *rest)
{
    strbuf_addf(path, "/api/v2/users/");
    api_add_escaped(path, user);
    strbuf_addf(path, "%s", rest);
}

void user_put_role_names(json_t *user)
{
    struct strbuf names;
    size_t i;
    json_t *role;
    strbuf_init(&names);
    json_array_foreach(json_object_get(user, "roles"), i, role)
        strbuf_addf(&names, "%s%s", i > 0 ? "," : "", table_string(role, "name"));
    json_object_set_new(user, "role_names", json_string(names.len > 0 ? names.s : "member"));
    strbuf_done(&names);
}

/* ---- list ---- */

static enum err fetch(struct cli *cli, const char *query, json_t **ret_users)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *answer = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/users?q=");
    api_add_escaped(&path, query != NULL ? query : "");
    enum err e = api_call(cli, "GET", path.s, NULL, &answer);
    strbuf_done(&path);
    if (e == ERR_OK)
        *ret_users = json_incref(json_object_get(answer, "users"));
    return e;
}

static enum err run_list(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *users = NULL;
    enum err e = table_pick(cli, columns_all,
        names != NULL ? names : "username,name,email,status,roles,last seen", columns);
    if (e == ERR_OK)
        e = fetch(cli, call->n_args > 0 ? call->args[0] : NULL, &users);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call)) {
        table_print_json(cli, users);
        return ERR_OK;
    }
    size_t i;
    json_t *user;
    json_array_foreach(users, i, user) user_put_role_names(user);
    if (json_array_size(users) > 0)
        table_print(cli, columns, users);
    else
        cli_say(cli, "No users found.");
    return ERR_OK;
}

static const struct example list_examples[] = {
    EXAMPLE("Everybody", "stint user list"),
    EXAMPLE("Whoever may do everything", "stint user list role:owner"),
    EXAMPLE("By the number that GitHub knows", "stint user list github_com_user_id:583231 --json"),
    {0},
};

const struct command user_list_command = {
    .name = "list",
    .alias = "ls",
    .summary = "List users.",
    .args = "[QUERY]",
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .about = "QUERY is a part of a name or address, or status:, role:, login_type:, "
             "github_com_user_id: with a value. Who is neither owner nor auditor sees himself.",
    .examples = list_examples,
    .run = run_list,
};

/* ---- create ---- */

enum err user_read_password(
    struct cli *cli, const struct call *call, const char *question, char **ret)
{
    if (cli->in_is_terminal || call_has(call, "password-stdin"))
        return cli_read_line(cli, question, true, ret);
    (void)cli_fail(cli, ERR_USAGE, "nobody is at the terminal to ask for a password");
    cli_hint(cli, "--password-stdin <file");
    return cli->code;
}

json_t *user_roles_of(const char *words)
{
    json_t *roles = json_array();
    for (size_t n; *words != '\0'; words += n + (words[n] == ',')) {
        n = strcspn(words, ",");
        if (n > 0)
            json_array_append_new(roles, json_stringn(words, n));
    }
    return roles;
}

static enum err read_new(struct cli *cli, const struct call *call, json_t *body)
{
    const char *email = call_text(call, "email"), *name = call_text(call, "name");
    const char *roles = call_text(call, "role"), *github = call_text(call, "github-id");
    const char *login = call_text(call, "login-type");
    if (email == NULL)
        return cli_fail(cli, ERR_USAGE, "--email is needed");
    if (json_object_set_new(body, "username", json_string(call->args[0])) != 0 ||
        json_object_set_new(body, "email", json_string(email)) != 0 ||
        json_object_set_new(body, "name", json_string(name != NULL ? name : "")) != 0)
        return cli_fail(cli, ERR_USAGE, "name or address is no UTF-8 text");
    json_object_set_new(body, "login_type", json_string(login != NULL ? login : "password"));
    json_object_set_new(body, "roles", user_roles_of(roles != NULL ? roles : ""));
    if (github != NULL)
        json_object_set_new(body, "github_com_user_id", json_integer(strtoll(github, NULL, 10)));
    if (login != NULL && strcmp(login, "password") != 0)
        return ERR_OK;
    char *password = NULL;
    enum err e = user_read_password(cli, call, "Password:", &password);
    if (e == ERR_OK)
        json_object_set_new(body, "password", json_string(password));
    user_free_secret(password);
    return e;
}

void user_free_secret(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static enum err run_create(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *body = json_object();
    scoped(json_unrefp) json_t *user = NULL;
    enum err e = read_new(cli, call, body);
    if (e == ERR_OK)
        e = api_call(cli, "POST", "/api/v2/users", body, &user);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, user);
    else
        fprintf(cli->out, "The user %s has been created.\n", table_string(user, "username"));
    return ERR_OK;
}

static const struct flag create_flags[] = {
    FLAG(0, "email", "EMAIL", "By which the user logs in."),
    FLAG(0, "name", "NAME", "As people call the user."),
    FLAG(0, "role", "ROLE,…", "owner, template-admin, auditor."),
    FLAG(0, "login-type", "TYPE", "password, oidc, or none: keys alone. Default: password."),
    FLAG(0, "github-id", "NUMBER", "The user's number at GitHub, by which programs find him."),
    SWITCH(0, "password-stdin", "Read the password from standard input."),
    {0},
};

static const struct example create_examples[] = {
    EXAMPLE("Asks for a password", "stint user create ada --email ada@example.com"),
    EXAMPLE("For a program", "stint user create ci --email ci@example.com --login-type none"),
    {0},
};

const struct command user_create_command = {
    .name = "create",
    .summary = "Make a user (owners).",
    .args = "USERNAME",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .flags = create_flags,
    .examples = create_examples,
    .run = run_create,
};
