/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_test.c - `stint template test`: would it be accepted, and what would it make?
 *
 * A version that belongs to no template is imported: for Terraform that plans a start and a stop
 * and makes nothing.  What the import found is shown; nobody sees the version.
 */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/template_import.h"

static const char *const parts[] = {"resources", "rich-parameters", "presets", "variables"};

static enum err fetch(struct template_import *p, json_t *report)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < COUNT(parts); i++) {
        struct strbuf path;
        json_t *rows = NULL;
        strbuf_init(&path);
        strbuf_addf(
            &path, "/api/v2/templateversions/%s/%s", table_string(p->version, "id"), parts[i]);
        e = api_call(p->cli, "GET", path.s, NULL, &rows);
        strbuf_done(&path);
        if (e == ERR_OK)
            json_object_set_new(report, parts[i], rows);
    }
    return e;
}

/* "docker_container.workspace, docker_volume.home" of one transition. */
static void print_resources(struct cli *cli, const json_t *report, const char *transition)
{
    const json_t *rows = json_object_get(report, "resources");
    size_t i, n = 0;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(table_string(row, "workspace_transition"), transition) != 0)
            continue;
        fprintf(cli->out, "%s%s.%s", n++ > 0 ? ", " : "", table_string(row, "type"),
            table_string(row, "name"));
    }
    fprintf(cli->out, "%s\n", n == 0 ? "nothing" : "");
}

static void print_names(
    struct cli *cli, const json_t *report, const char *title, const char *part, const char *key)
{
    const json_t *rows = json_object_get(report, part);
    size_t i;
    json_t *row;
    if (json_array_size(rows) == 0)
        return;
    fprintf(cli->out, "%s: ", title);
    json_array_foreach(rows, i, row)
        fprintf(cli->out, "%s%s%s", i > 0 ? ", " : "", table_string(row, key),
            json_is_true(json_object_get(row, "required")) ? " (required)" : "");
    fputc('\n', cli->out);
}

static void print(struct cli *cli, const json_t *report)
{
    fputs("A start makes: ", cli->out);
    print_resources(cli, report, "start");
    fputs("A stop leaves: ", cli->out);
    print_resources(cli, report, "stop");
    print_names(cli, report, "Parameters", "rich-parameters", "name");
    print_names(cli, report, "Presets", "presets", "Name");
    print_names(cli, report, "Variables", "variables", "name");
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct template_import p = {.cli = cli, .call = call};
    scoped(json_unrefp) json_t *report = json_object();
    enum err e = template_import(&p, call->args[0], false);
    if (e == ERR_OK)
        e = fetch(&p, report);
    if (e == ERR_OK && call_wants_json(call)) {
        json_object_set(report, "version", p.version);
        table_print_json(cli, report);
    } else if (e == ERR_OK) {
        fprintf(cli->out, "The template would be accepted (provisioner %s).\n", p.provisioner);
        print(cli, report);
    }
    template_import_done(&p);
    return e;
}

static const struct flag flags[] = {
    TEMPLATE_IMPORT_FLAGS,
    SWITCH('y', "yes", "Accepted for scripts; testing does not ask."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("Before a push", "stint template test my-tasks"),
    EXAMPLE("In a pipeline, with a secret",
        "stint template test . --variables-file secrets.txt --json"),
    {0},
};

const struct command template_test_command = {
    .name = "test",
    .summary = "Import a template without making it one: a start and a stop, planned.",
    .args = "DIR",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Nothing is started and no template changes; the exit status tells whether a push "
             "would be accepted.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
