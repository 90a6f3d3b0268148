/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - the command tree: rows, their parsing, their help.
 *
 * A command is a const row; a group is a row with children.  Help, completion and "did you mean"
 * are made from the same rows, so a command cannot exist without them.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/cli.h"

struct flag {
    const char *name;  /* "template"; NULL ends a table */
    char letter;       /* 't' or 0 */
    const char *value; /* what stands behind it in help, "NAME"; NULL: a switch */
    const char *help;
};

/* Rows: a flag with a value, a flag without, an example with its reason first. */
#define FLAG(letter_, name_, value_, help_) \
    {                                       \
        name_, letter_, value_, help_       \
    }
#define SWITCH(letter_, name_, help_) \
    {                                 \
        name_, letter_, NULL, help_   \
    }
#define EXAMPLE(why_, line_) \
    {                        \
        line_, why_          \
    }

struct example {
    const char *line; /* NULL ends a table */
    const char *why;
};

enum command_trait {
    COMMAND_PRINTS_DATA = 1 << 0, /* has -o/--output and --json */
    COMMAND_LISTS = 1 << 1,       /* has -c/--column too */
};

struct call;

struct command {
    const char *name;
    const char *alias;
    const char *summary;
    const char *args; /* "[PROMPT]", "TASK..."; NULL: none */
    size_t args_min, args_max;
    unsigned traits;
    const char *about; /* a paragraph for help, may be NULL */
    const struct flag *flags;
    const struct example *examples;
    enum err (*run)(struct cli *cli, const struct call *call);
    const struct command *const *children; /* NULL ends them; NULL: not a group */
};

#define CALL_FLAGS_MAX 96
#define CALL_ARGS_MAX  256
#define CALL_DEPTH_MAX 4

/* One parsed command line; borrows argv. */
struct call {
    const struct command *command;
    const struct command *path[CALL_DEPTH_MAX]; /* from the root to the command */
    size_t depth;
    struct {
        const struct flag *flag;
        const char *value;
    } given[CALL_FLAGS_MAX];
    size_t n_given;
    const char *args[CALL_ARGS_MAX];
    size_t n_args;
};

/* Find the command and sort the arguments.  ERR_USAGE with suggestion for what is unknown, missing
 * or too many; numbers of arguments are not checked when --help is given. */
enum err must_check command_parse(
    struct cli *cli, const struct command *root, int argc, char **argv, struct call *ret_call);

/* Parse and run, complain on failure; the process's exit status. */
int command_main(struct cli *cli, const struct command *root, int argc, char **argv);

/* The last value given, NULL if none ("" for a switch that was given). */
const char *call_text(const struct call *call, const char *flag);
/* The i-th value given; NULL: there are not so many. */
const char *call_text_at(const struct call *call, const char *flag, size_t i);
bool call_has(const struct call *call, const char *flag);
bool call_wants_json(const struct call *call);

/* The flags of a command: its own, then those its traits bring, then everybody's; i counts up. */
const struct flag *command_flag_at(const struct command *command, size_t i);
/* "stint task create" */
void command_add_path(struct strbuf *out, const struct call *call);
void command_help(FILE *f, const struct call *call);

/* The command tree of `stint`, and its rows, each in the file of its name. */
extern const struct command stint_root;
extern const struct command login_command, logout_command, whoami_command;
extern const struct command task_create_command, task_list_command, task_status_command;
extern const struct command task_watch_command, task_logs_command, task_send_command;
extern const struct command task_messages_command, task_unsend_command;
extern const struct command task_pause_command, task_resume_command, task_delete_command;
extern const struct command queue_command;
extern const struct command scheduler_status_command, scheduler_step_down_command;
extern const struct command job_list_command, job_show_command, job_retry_command;
extern const struct command template_push_command, template_list_command, template_edit_command;
extern const struct command template_init_command, template_pull_command, template_test_command;
extern const struct command template_versions_command, template_promote_command;
extern const struct command template_archive_command, template_migrate_command;
extern const struct command user_list_command, user_create_command, user_suspend_command;
extern const struct command user_activate_command, user_delete_command, user_roles_command;
extern const struct command user_password_command, audit_command;
extern const struct command token_create_command, token_list_command, token_revoke_command;
extern const struct command version_command, completion_command;

#endif
