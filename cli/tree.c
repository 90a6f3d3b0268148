/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - the command tree of `stint`: what there is, in the order help shows it. */
#include "cli/command.h"

static const struct command *const task_commands[] = {
    &task_create_command,
    &task_list_command,
    &task_status_command,
    &task_watch_command,
    &task_logs_command,
    &task_send_command,
    &task_messages_command,
    &task_unsend_command,
    &task_pause_command,
    &task_resume_command,
    &task_delete_command,
    NULL,
};

static const struct example task_examples[] = {
    EXAMPLE(
        "Hand out work and see it done", "stint task create --template shell --watch 'make test'"),
    EXAMPLE("What is going on", "stint task list"),
    {0},
};

static const struct command task_group = {
    .name = "task",
    .alias = "tasks",
    .summary = "Hand out work, watch it, answer it.",
    .about = "TASK is a task's name, owner/name, or id.",
    .examples = task_examples,
    .children = task_commands,
};

static const struct command *const job_commands[] = {
    &job_list_command,
    &job_show_command,
    &job_retry_command,
    NULL,
};

static const struct example job_examples[] = {
    EXAMPLE("What needs a person", "stint job list --dead"),
    {0},
};

static const struct command job_group = {
    .name = "job",
    .alias = "jobs",
    .summary = "Builds and imports under way, and those that have died.",
    .examples = job_examples,
    .children = job_commands,
};

static const struct command *const template_commands[] = {
    &template_init_command,
    &template_push_command,
    &template_list_command,
    &template_versions_command,
    &template_promote_command,
    &template_archive_command,
    &template_pull_command,
    &template_test_command,
    &template_migrate_command,
    &template_edit_command,
    NULL,
};

static const struct example template_examples[] = {
    EXAMPLE("Begin from an example", "stint template init docker my-tasks"),
    EXAMPLE(
        "Create or update the template \"shell\"", "stint template push deploy/templates/shell"),
    {0},
};

static const struct command template_group = {
    .name = "template",
    .alias = "templates",
    .summary = "What tasks start from.",
    .examples = template_examples,
    .children = template_commands,
};

static const struct command *const user_commands[] = {
    &user_list_command,
    &user_create_command,
    &user_roles_command,
    &user_password_command,
    &user_suspend_command,
    &user_activate_command,
    &user_delete_command,
    NULL,
};

static const struct example user_examples[] = {
    EXAMPLE("Who there is", "stint user list"),
    {0},
};

static const struct command user_group = {
    .name = "user",
    .alias = "users",
    .summary = "People, what they may do, and their passwords.",
    .about = "USER is a username or an id.",
    .examples = user_examples,
    .children = user_commands,
};

static const struct command *const token_commands[] = {
    &token_create_command,
    &token_list_command,
    &token_revoke_command,
    NULL,
};

static const struct example token_examples[] = {
    EXAMPLE("For a pipeline", "stint token create ci"),
    {0},
};

static const struct command token_group = {
    .name = "token",
    .alias = "tokens",
    .summary = "Keys for programs.",
    .examples = token_examples,
    .children = token_commands,
};

static const struct command *const scheduler_commands[] = {
    &scheduler_status_command,
    &scheduler_step_down_command,
    NULL,
};

static const struct example scheduler_examples[] = {
    EXAMPLE("Who leads", "stint scheduler status"),
    {0},
};

static const struct command scheduler_group = {
    .name = "scheduler",
    .alias = "schedulers",
    .summary = "Who leads the cluster; a change of leaders. For owners.",
    .examples = scheduler_examples,
    .children = scheduler_commands,
};

static const struct command *const commands[] = {
    &task_group,
    &queue_command,
    &job_group,
    &template_group,
    &user_group,
    &token_group,
    &audit_command,
    &scheduler_group,
    &login_command,
    &logout_command,
    &whoami_command,
    &completion_command,
    &version_command,
    NULL,
};

static const struct example root_examples[] = {
    EXAMPLE("Once", "stint login https://stint.example.com"),
    EXAMPLE(
        "A task, followed to its end", "stint task create --template shell --watch 'echo hello'"),
    {0},
};

static const struct flag root_flags[] = {
    SWITCH('V', "version", "Show the version of this program."),
    {0},
};

static enum err run_root(struct cli *cli, const struct call *call)
{
    if (call_has(call, "version"))
        fprintf(cli->out, "stint %s\n", STINT_VERSION);
    else
        command_help(cli->out, call);
    return ERR_OK;
}

const struct command stint_root = {
    .name = "stint",
    .summary = "Run coding agents as background tasks.",
    .flags = root_flags,
    .run = run_root,
    .examples = root_examples,
    .children = commands,
};
