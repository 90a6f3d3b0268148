/* SPDX-License-Identifier: Apache-2.0 */
/* user_change.c - `stint user suspend`, `activate`, `delete`, `roles`, `password`. */
#include <string.h>

#include "cli/table.h"
#include "cli/user.h"

static enum err call_user(struct cli *cli, const char *method, const char *user, const char *rest,
    const json_t *body, json_t **ret)
{
    struct strbuf path;
    strbuf_init(&path);
    user_add_path(&path, user, rest);
    enum err e = api_call(cli, method, path.s, body, ret);
    strbuf_done(&path);
    return e;
}

/* For each USER of the command line; stops at the first that fails. */
static enum err for_each(struct cli *cli, const struct call *call, const char *method,
    const char *rest, const char *said)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < call->n_args && e == ERR_OK; i++) {
        e = call_user(cli, method, call->args[i], rest, NULL, NULL);
        if (e == ERR_OK)
            cli_say(cli, "The user %s %s.", call->args[i], said);
    }
    return e;
}

/* ---- suspend, activate, delete ---- */

static enum err run_suspend(struct cli *cli, const struct call *call)
{
    return for_each(cli, call, "PUT", "/status/suspend", "is suspended: no key of his is good");
}

static enum err run_activate(struct cli *cli, const struct call *call)
{
    return for_each(cli, call, "PUT", "/status/activate", "is active");
}

static enum err run_delete(struct cli *cli, const struct call *call)
{
    enum err e = ERR_OK;
    if (!call_has(call, "yes"))
        e = cli_confirm(cli, call->n_args == 1 ? "Delete the user?" : "Delete these users?");
    return e == ERR_OK ? for_each(cli, call, "DELETE", "", "has been deleted") : e;
}

static const struct example suspend_examples[] = {
    EXAMPLE("From now on nothing is let in for bob", "stint user suspend bob"),
    {0},
};
static const struct example activate_examples[] = {
    EXAMPLE("His keys are good again", "stint user activate bob"),
    {0},
};
static const struct example delete_examples[] = {
    EXAMPLE("Without being asked", "stint user delete bob -y"),
    {0},
};
static const struct flag delete_flags[] = {
    SWITCH('y', "yes", "Do not ask."),
    {0},
};

const struct command user_suspend_command = {
    .name = "suspend",
    .summary = "Lock users out (owners).",
    .args = "USER...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .about = "Their tasks live on. Keys and passwords are refused at once.",
    .examples = suspend_examples,
    .run = run_suspend,
};

const struct command user_activate_command = {
    .name = "activate",
    .summary = "Let suspended users in again (owners).",
    .args = "USER...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .examples = activate_examples,
    .run = run_activate,
};

const struct command user_delete_command = {
    .name = "delete",
    .alias = "rm",
    .summary = "Delete users that have no tasks (owners).",
    .args = "USER...",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .flags = delete_flags,
    .examples = delete_examples,
    .run = run_delete,
};

/* ---- roles ---- */

static void print_roles(struct cli *cli, const struct call *call, const json_t *roles)
{
    size_t i;
    json_t *role;
    if (call_wants_json(call)) {
        table_print_json(cli, roles);
        return;
    }
    json_array_foreach(roles, i, role) fprintf(cli->out, "%s\n", json_string_value(role));
}

static enum err run_roles(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *answer = NULL;
    enum err e = ERR_OK;
    if (call->n_args > 1) {
        scoped(json_unrefp) json_t *roles = json_array();
        for (size_t i = 1; i < call->n_args; i++)
            json_array_append_new(roles, json_string(call->args[i]));
        scoped(json_unrefp) json_t *body = json_pack("{s:O}", "roles", roles);
        e = call_user(cli, "PUT", call->args[0], "/roles", body, NULL);
    }
    if (e == ERR_OK)
        e = call_user(cli, "GET", call->args[0], "/roles", NULL, &answer);
    if (e == ERR_OK)
        print_roles(cli, call, json_object_get(answer, "roles"));
    return e;
}

static const struct example roles_examples[] = {
    EXAMPLE("What bob may do", "stint user roles bob"),
    EXAMPLE("He reads everything, and the audit log", "stint user roles bob auditor"),
    EXAMPLE("Nothing but his own again", "stint user roles bob member"),
    {0},
};

const struct command user_roles_command = {
    .name = "roles",
    .summary = "Show a user's roles, or set them (owners).",
    .args = "USER [ROLE...]",
    .args_min = 1,
    .args_max = 8,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Roles are owner, template-admin, auditor and member; those given replace those there "
             "were.",
    .examples = roles_examples,
    .run = run_roles,
};

/* ---- password ---- */

static enum err run_password(struct cli *cli, const struct call *call)
{
    const char *user = call->n_args > 0 ? call->args[0] : "me";
    bool own = strcmp(user, "me") == 0;
    char *old = NULL, *new = NULL;
    enum err e = own ? user_read_password(cli, call, "Old password:", &old) : ERR_OK;
    if (e == ERR_OK)
        e = user_read_password(cli, call, "New password:", &new);
    if (e == ERR_OK) {
        scoped(json_unrefp) json_t *body =
            json_pack("{s:s, s:s}", "old_password", old != NULL ? old : "", "password", new);
        e = call_user(cli, "PUT", user, "/password", body, NULL);
    }
    user_free_secret(old);
    user_free_secret(new);
    if (e == ERR_OK)
        cli_say(cli, "The password has been changed; all logins and tokens have ended%s.",
            own ? ": log in again" : "");
    return e;
}

static const struct flag password_flags[] = {
    SWITCH(0, "password-stdin", "Read it from standard input; one's own after the old one."),
    {0},
};

static const struct example password_examples[] = {
    EXAMPLE("One's own", "stint user password"),
    EXAMPLE("Somebody's, as an owner", "stint user password bob --password-stdin <file"),
    {0},
};

const struct command user_password_command = {
    .name = "password",
    .summary = "Change a password.",
    .args = "[USER]",
    .args_max = 1,
    .flags = password_flags,
    .examples = password_examples,
    .run = run_password,
};
