/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_push.c - `stint template push`: a directory becomes a template's active version.
 *
 * The import (template_import.h) -> POST templates, or PATCH the versions of the one there is.
 * Until the last step nobody sees anything of it, so a push that fails half-way leaves the template
 * as it was.
 */
#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/template.h"
#include "cli/template_import.h"

static enum err activate(struct template_import *p, json_t **ret_template)
{
    struct strbuf path;
    const char *version = table_string(p->version, "id");
    strbuf_init(&path);
    enum err e;
    if (p->template_id == NULL) {
        scoped(json_unrefp) json_t *body =
            json_pack("{s:s, s:s}", "name", p->name, "template_version_id", version);
        strbuf_addf(&path, "/api/v2/organizations/%s/templates", p->organization_id);
        e = api_call(p->cli, "POST", path.s, body, ret_template);
    } else {
        scoped(json_unrefp) json_t *body = json_pack("{s:s}", "id", version);
        strbuf_addf(&path, "/api/v2/templates/%s/versions", p->template_id);
        e = api_call(p->cli, "PATCH", path.s, body, NULL);
        strbuf_clear(&path);
        strbuf_addf(&path, "/api/v2/organizations/%s/templates/%s", p->organization_id, p->name);
        if (e == ERR_OK)
            e = api_call(p->cli, "GET", path.s, NULL, ret_template);
    }
    strbuf_done(&path);
    return e;
}

/* Imported, and left to `stint template promote`. */
static enum err leave_inactive(struct template_import *p, json_t **ret_template)
{
    if (p->template_id == NULL) {
        (void)cli_fail(
            p->cli, ERR_USAGE, "there is no template \"%s\" yet to add a version to", p->name);
        cli_hint(p->cli, "push it without --no-activate first");
        return p->cli->code;
    }
    return template_find(p->cli, p->name, ret_template);
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct template_import p = {.cli = cli, .call = call};
    scoped(json_unrefp) json_t *template = NULL;
    bool activates = !call_has(call, "no-activate");
    enum err e = template_import(&p, call->args[0], true);
    if (e == ERR_OK)
        e = activates ? activate(&p, &template) : leave_inactive(&p, &template);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, template);
    else if (e == ERR_OK && call_has(call, "quiet"))
        fprintf(cli->out, "%s\n", table_string(template, "id"));
    else if (e == ERR_OK)
        fprintf(cli->out,
            activates ? "The template %s is ready, version %s.\n"
                      : "The template %s has a new version %s, which is not active yet.\n",
            p.name, table_string(p.version, "name"));
    if (e == ERR_OK && !activates)
        cli_say(cli, "Make it so: stint template promote %s %s", p.name,
            table_string(p.version, "name"));
    template_import_done(&p);
    return e;
}

static const struct flag flags[] = {
    FLAG('n', "name", "NAME", "Name of the template; the directory's when left out."),
    TEMPLATE_IMPORT_FLAGS,
    SWITCH(0, "no-activate", "Import it, but let tasks start from the old version still."),
    SWITCH('q', "quiet", "Print the template's id and nothing else."),
    SWITCH('y', "yes", "Accepted for scripts; pushing does not ask."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE(
        "Create or update the template \"shell\"", "stint template push deploy/templates/shell"),
    EXAMPLE("Under another name, with a message",
        "stint template push . --name review -m 'more memory'"),
    EXAMPLE("A Terraform template with a secret",
        "stint template push tasks-docker --variables-file secrets.txt"),
    EXAMPLE("First look, then switch", "stint template push . --no-activate"),
    {0},
};

const struct command template_push_command = {
    .name = "push",
    .summary = "Make a directory a template's active version.",
    .args = "DIR",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Waits for the import; a template that is not accepted changes nothing. Tasks that "
             "run keep their version.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
