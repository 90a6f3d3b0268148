/* SPDX-License-Identifier: Apache-2.0 */
/* task_create.c - `stint task create`: prompt in, task out. */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/task.h"
#include "cli/task_options.h"
#include "cli/task_watch.h"
#include "cli/template.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"

/* ---- the prompt ---- */

static enum err check_prompt(struct cli *cli, const char *prompt, size_t n)
{
    if (n > PROMPT_BYTES_MAX)
        return cli_fail(
            cli, ERR_TOO_LARGE, "the prompt is larger than %d KiB", PROMPT_BYTES_MAX / 1024);
    if (!text_is_utf8(prompt, n))
        return cli_fail(cli, ERR_INVALID, "the prompt is not UTF-8 text");
    if (prompt[strspn(prompt, " \t\r\n")] == '\0') {
        (void)cli_fail(cli, ERR_USAGE, "the prompt is empty");
        cli_hint(cli, "stint task create 'what is to be done'");
        return cli->code;
    }
    return ERR_OK;
}

enum err task_read_input(struct cli *cli, const struct call *call, size_t arg, char **ret_prompt)
{
    const char *file = call_text(call, "file");
    bool by_arg = call->n_args > arg;
    bool dash = by_arg && strcmp(call->args[arg], "-") == 0;
    bool by_stdin = call_has(call, "stdin") || dash || (file != NULL && strcmp(file, "-") == 0);
    if ((by_arg && !dash) + by_stdin + (file != NULL && strcmp(file, "-") != 0) > 1)
        return cli_fail(
            cli, ERR_USAGE, "give the text once: as an argument, by --file or by --stdin");

    size_t n = 0;
    scoped_free char *text = NULL;
    enum err e = ERR_OK;
    if (by_stdin || (!by_arg && file == NULL && !cli->in_is_terminal))
        e = cli_read_stdin(cli, PROMPT_BYTES_MAX, &text, &n);
    else if (file != NULL)
        e = cli_read_file(cli, file, PROMPT_BYTES_MAX, &text, &n);
    else {
        text = mem_strdup(by_arg ? call->args[arg] : "");
        n = strlen(text);
    }
    if (e == ERR_OK)
        e = check_prompt(cli, text, n);
    if (e == ERR_OK)
        *ret_prompt = steal(text);
    return e;
}

/* ---- the request ---- */

static const char *template_wanted(const struct call *call)
{
    static const char *const names[] = {"STINT_TEMPLATE", "CODER_TASK_TEMPLATE_NAME"};
    const char *name = call_text(call, "template");
    for (size_t i = 0; name == NULL && i < COUNT(names); i++) {
        name = getenv(names[i]);
        if (name != NULL && name[0] == '\0')
            name = NULL;
    }
    return name;
}

static enum err check_names(struct cli *cli, const struct call *call)
{
    const char *name = call_text(call, "name");
    const char *display = call_text(call, "display-name");
    if (name != NULL && !text_is_name(name)) {
        (void)cli_fail(cli, ERR_USAGE, "\"%s\" is no name for a task", name);
        cli_hint(
            cli, "1 to 32 letters and digits in groups joined by single dashes, like fix-login");
        return cli->code;
    }
    if (display != NULL && strlen(display) > TASK_DISPLAY_NAME_MAX)
        return cli_fail(
            cli, ERR_USAGE, "the display name is longer than %d bytes", TASK_DISPLAY_NAME_MAX);
    return ERR_OK;
}

static json_t *make_body(const struct call *call, const json_t *template, const char *prompt)
{
    bool own = task_options_given(call);
    const char *key = own ? "template" : "template_version_id";
    const char *value = table_string(template, own ? "id" : "active_version_id");
    json_t *body = json_pack("{s:s, s:s}", key, value, "input", prompt);
    if (call_has(call, "name"))
        json_object_set_new(body, "name", json_string(call_text(call, "name")));
    if (call_has(call, "display-name"))
        json_object_set_new(body, "display_name", json_string(call_text(call, "display-name")));
    return body;
}

static enum err post(
    struct cli *cli, const struct call *call, const json_t *body, json_t **ret_task)
{
    const char *owner = call_text(call, "owner");
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addstr(&path, "/api/v2/tasks/");
    api_add_escaped(&path, owner != NULL ? owner : "me");
    enum err e = api_call(cli, "POST", path.s, body, ret_task);
    strbuf_done(&path);
    return e;
}

/* Sent again under one key when no answer came, so that it is made once. */
static enum err post_own(struct cli *cli, const struct call *call, json_t *body, json_t **ret_task)
{
    if (call_has(call, "owner"))
        json_object_set_new(body, "owner", json_string(call_text(call, "owner")));
    enum err e = api_post_once(cli, "/api/stint/v1/tasks", body, ret_task);
    if (e == ERR_NOT_FOUND && strstr(cli->problem.s, "Route") != NULL)
        cli_hint(cli, "this gateway takes no options of a task; leave them out");
    return e;
}

static enum err create(struct cli *cli, const struct call *call, json_t **ret_task)
{
    scoped_free char *prompt = NULL;
    scoped(json_unrefp) json_t *template = NULL;
    scoped(json_unrefp) json_t *options = json_object();
    enum err e = check_names(cli, call);
    if (e == ERR_OK)
        e = task_options_read(cli, call, options);
    if (e == ERR_OK)
        e = task_read_input(cli, call, 0, &prompt);
    if (e == ERR_OK)
        e = template_find_for_task(cli, template_wanted(call), &template);
    if (e != ERR_OK)
        return e;
    scoped(json_unrefp) json_t *body = make_body(call, template, prompt);
    json_object_update(body, options);
    return task_options_given(call) ? post_own(cli, call, body, ret_task)
                                    : post(cli, call, body, ret_task);
}

/* ---- what is printed ---- */

static void print_created(struct cli *cli, const struct call *call, const json_t *task)
{
    if (call_has(call, "quiet")) {
        fprintf(cli->out, "%s\n", table_string(task, "id"));
        return;
    }
    bool follows = call_has(call, "watch") || call_has(call, "wait");
    fprintf(follows ? cli->err : cli->out, "The task %s has been created at %s!\n", task_name(task),
        table_string(task, "created_at"));
    if (json_is_object(json_object_get(task, "queue"))) {
        struct strbuf line;
        strbuf_init(&line);
        task_add_queue(&line, task);
        cli_say(cli, "It waits: %s.", line.s);
        strbuf_done(&line);
    }
    if (!follows)
        cli_say(cli, "Follow it: stint task watch %s", task_name(task));
}

static enum err run(struct cli *cli, const struct call *call)
{
    json_t *task = NULL;
    scoped(json_unrefp) json_t *last = NULL;
    enum err e = create(cli, call, &task);
    if (e != ERR_OK)
        return e;
    if (!call_wants_json(call))
        print_created(cli, call, task);
    fflush(cli->out);
    e = task_watch_if_asked(cli, call, task, (struct watch_from){0}, &last);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, last);
    return e;
}

static const struct flag flags[] = {
    FLAG('t', "template", "NAME",
        "Template to start from (STINT_TEMPLATE); may be left out when there is only one."),
    FLAG('n', "name", "NAME", "Name of the task; made from the prompt when left out."),
    FLAG(0, "display-name", "TEXT", "What people read in lists."),
    FLAG(0, "owner", "USER", "Create it for somebody else; \"me\" when left out."),
    FLAG(0, "file", "FILE", "Read the prompt from a file."),
    SWITCH(0, "stdin", "Read the prompt from standard input (as does the prompt \"-\")."),
    TASK_OPTION_FLAGS,
    SWITCH('q', "quiet", "Print the task's id and nothing else."),
    SWITCH('w', "watch", "Follow status and output until the task rests, see `stint task watch`."),
    SWITCH(0, "wait", "The same without the output."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("A script, followed to its end",
        "stint task create --template shell --watch 'uname -a; date'"),
    EXAMPLE(
        "The prompt from a file", "stint task create -t shell --name nightly --file nightly.sh"),
    EXAMPLE("Tonight, when nobody else is in a hurry",
        "stint task create --start-after 8h --priority -10 --label team=web 'make bench'"),
    EXAMPLE("In a script", "id=$(git diff | stint task create -t review --stdin -q)"),
    {0},
};

const struct command task_create_command = {
    .name = "create",
    .summary = "Create a task from a prompt.",
    .args = "[PROMPT]",
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about = "With --watch or --wait the exit status says how the task ended: 0 complete or idle, "
             "1 failed, 2 error, 3 paused, 4 deleted.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
