/* SPDX-License-Identifier: Apache-2.0 */
/* template_edit.c - `stint template edit`: what a template is called, and how long its tasks idle.
 */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/template.h"
#include "core/base/conf.h"

/* ---- what is to change ---- */

static const struct {
    const char *flag, *member;
} texts[] = {
    {"name",         "name"               },
    {"display-name", "display_name"       },
    {"description",  "description"        },
    {"icon",         "icon"               },
    {"deprecate",    "deprecation_message"},
};

static const struct {
    const char *flag, *member;
} durations[] = {
    {"idle-timeout",  "default_ttl_ms"  },
    {"activity-bump", "activity_bump_ms"},
};

static enum err read_duration(struct cli *cli, const char *flag, const char *text, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (strcmp(text, "never") == 0 || strcmp(text, "none") == 0)
        return ERR_OK;
    if (conf_parse_duration_ms(text, ret_ms) == ERR_OK)
        return ERR_OK;
    (void)cli_fail(cli, ERR_USAGE, "\"%s\" is no duration", text);
    cli_hint(cli, "--%s 90s, 30m, 12h, or never", flag);
    return cli->code;
}

static enum err read_changes(struct cli *cli, const struct call *call, json_t *changes)
{
    for (size_t i = 0; i < COUNT(texts); i++)
        if (call_has(call, texts[i].flag) && json_object_set_new(changes, texts[i].member,
                                                 json_string(call_text(call, texts[i].flag))) != 0)
            return cli_fail(cli, ERR_USAGE, "--%s is no UTF-8 text", texts[i].flag);
    for (size_t i = 0; i < COUNT(durations); i++) {
        int64_t ms;
        const char *text = call_text(call, durations[i].flag);
        if (text == NULL)
            continue;
        enum err e = read_duration(cli, durations[i].flag, text, &ms);
        if (e != ERR_OK)
            return e;
        json_object_set_new(changes, durations[i].member, json_integer(ms));
    }
    if (json_object_size(changes) > 0)
        return ERR_OK;
    (void)cli_fail(cli, ERR_USAGE, "nothing is to be changed");
    cli_hint(cli, "stint template edit --help");
    return cli->code;
}

/* ---- changing ---- */

/* 304 has no body: then the template is as it was found. */
static enum err change(struct cli *cli, const json_t *changes, json_t **template, bool *ret_changed)
{
    struct strbuf path;
    json_t *changed = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templates/%s", table_string(*template, "id"));
    enum err e = api_call(cli, "PATCH", path.s, changes, &changed);
    strbuf_done(&path);
    *ret_changed = e == ERR_OK;
    if (e != ERR_OK && cli->http_status == 304) {
        cli_forgive(cli);
        return ERR_OK;
    }
    if (e == ERR_OK) {
        json_decref(*template);
        *template = changed;
    }
    return e;
}

static void print(struct cli *cli, const struct call *call, const json_t *template, bool changed)
{
    if (call_wants_json(call))
        table_print_json(cli, template);
    else
        fprintf(cli->out, "The template %s %s.\n", table_string(template, "name"),
            changed ? "has been changed" : "is so already");
}

static enum err run(struct cli *cli, const struct call *call)
{
    bool changed = false;
    scoped(json_unrefp) json_t *changes = json_object();
    scoped(json_unrefp) json_t *template = NULL;
    enum err e = read_changes(cli, call, changes);
    if (e == ERR_OK)
        e = template_find(cli, call->args[0], &template);
    if (e == ERR_OK)
        e = change(cli, changes, &template, &changed);
    if (e == ERR_OK)
        print(cli, call, template, changed);
    return e;
}

static const struct flag flags[] = {
    FLAG(0, "idle-timeout", "TIME",
        "Tasks pause by themselves so long after their last activity: 90s, 30m, 12h; never."),
    FLAG(0, "activity-bump", "TIME", "How far activity pushes the pause on; none: not at all."),
    FLAG('n', "name", "NAME", "Another name."),
    FLAG(0, "display-name", "TEXT", "What people read."),
    FLAG(0, "description", "TEXT", "What it is for."),
    FLAG(0, "icon", "URL", "A picture."),
    FLAG(0, "deprecate", "WHY", "No new tasks from it; an empty text lifts that."),
    SWITCH('y', "yes", "Accepted for scripts; editing does not ask."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("Pause tasks that have idled for an hour",
        "stint template edit shell --idle-timeout 1h --activity-bump 30m"),
    EXAMPLE("Never pause them", "stint template edit shell --idle-timeout never"),
    EXAMPLE("No new tasks from it", "stint template edit old --deprecate 'use \"shell\"'"),
    {0},
};

const struct command template_edit_command = {
    .name = "edit",
    .summary = "Change a template's texts and times.",
    .args = "TEMPLATE",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about =
        "Times count for tasks that are created from now on. A task that works is never paused "
        "by its idle timeout.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
