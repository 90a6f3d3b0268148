/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - `stint template list`, and how a task finds its template. */
#include "cli/template.h"

#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "core/base/mem.h"

static const struct column columns_all[] = {
    {"id",                "id", COLUMN_TEXT},
    {"name",        "name", COLUMN_TEXT},
    {"display name",              "display_name", COLUMN_TEXT},
    {"description",        "description", COLUMN_TEXT},
    {"icon",      "icon", COLUMN_TEXT},
    {"provisioner",        "provisioner", COLUMN_TEXT},
    {"organization name",       "organization_name", COLUMN_TEXT},
    {"active version id",        "active_version_id", COLUMN_TEXT},
    {"created by",              "created_by_name", COLUMN_TEXT},
    {"created at",        "created_at", COLUMN_TEXT},
    {"updated at",       "updated_at", COLUMN_TEXT},
    {"updated",        "updated_at", COLUMN_AGE},
    {"idle timeout", "default_ttl_ms", COLUMN_DURATION_MS},
    {"activity bump",        "activity_bump_ms", COLUMN_DURATION_MS},
    {"deprecated", "deprecation_message", COLUMN_TEXT},
    {0       },
};

static enum err fetch(struct cli *cli, bool only_for_tasks, json_t **ret_rows)
{
    const char *path =
        only_for_tasks ? "/api/v2/templates?q=has-ai-task%3Atrue" : "/api/v2/templates";
    enum err e = api_call(cli, "GET", path, NULL, ret_rows);
    if (e == ERR_OK && !json_is_array(*ret_rows)) {
        json_decref(steal(*ret_rows));
        return cli_fail(cli, ERR_FAILED, "the gateway's list of templates is not a list");
    }
    return e;
}

/* ---- for task create ---- */

static void add_names(struct strbuf *out, const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
        strbuf_addf(out, "%s%s", i > 0 ? ", " : "", table_string(row, "name"));
}

static enum err none_fits(struct cli *cli, const json_t *rows, const char *name)
{
    struct suggestion s = {.typed = name != NULL ? name : ""};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) suggest_offer(&s, table_string(row, "name"));
    struct strbuf names;
    strbuf_init(&names);
    add_names(&names, rows);
    if (json_array_size(rows) == 0) {
        (void)cli_fail(cli, ERR_NOT_FOUND, "there is no template to start a task from");
        cli_hint(cli, "push one: stint template push deploy/templates/shell");
    } else if (name == NULL) {
        (void)cli_fail(cli, ERR_USAGE, "there are several templates, say which");
        cli_hint(cli, "--template with one of: %s", names.s);
    } else {
        (void)cli_fail(cli, ERR_NOT_FOUND, "no template \"%s\" for tasks%s%s%s", name,
            s.best != NULL ? ", did you mean \"" : "", s.best != NULL ? s.best : "",
            s.best != NULL ? "\"?" : "");
        cli_hint(cli, "--template is one of: %s", names.s);
    }
    strbuf_done(&names);
    return cli->code;
}

enum err template_find_for_task(struct cli *cli, const char *name, json_t **ret_template)
{
    scoped(json_unrefp) json_t *rows = NULL;
    enum err e = fetch(cli, true, &rows);
    if (e != ERR_OK)
        return e;
    json_t *found = name == NULL && json_array_size(rows) == 1 ? json_array_get(rows, 0) : NULL;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i,
        row) if (name != NULL && strcasecmp(table_string(row, "name"), name) == 0) found = row;
    if (found == NULL)
        return none_fits(cli, rows, name);
    *ret_template = json_incref(found);
    return ERR_OK;
}

/* ---- for template edit ---- */

enum err template_find(struct cli *cli, const char *name, json_t **ret_template)
{
    scoped(json_unrefp) json_t *rows = NULL;
    struct suggestion s = {.typed = name};
    enum err e = fetch(cli, false, &rows);
    if (e != ERR_OK)
        return e;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcasecmp(table_string(row, "name"), name) == 0 ||
            strcasecmp(table_string(row, "id"), name) == 0) {
            *ret_template = json_incref(row);
            return ERR_OK;
        }
        suggest_offer(&s, table_string(row, "name"));
    }
    (void)cli_fail(cli, ERR_NOT_FOUND, "no template \"%s\"%s%s%s", name,
        s.best != NULL ? ", did you mean \"" : "", s.best != NULL ? s.best : "",
        s.best != NULL ? "\"?" : "");
    cli_hint(cli, "stint template list");
    return cli->code;
}

/* ---- list ---- */

static enum err run_list(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *rows = NULL;
    enum err e = table_pick(
        cli, columns_all, names != NULL ? names : "name,display name,updated,description", columns);
    if (e == ERR_OK)
        e = fetch(cli, false, &rows);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call))
        table_print_json(cli, rows);
    else if (json_array_size(rows) > 0)
        table_print(cli, columns, rows);
    else
        cli_say(cli, "No templates found. Push one: stint template push deploy/templates/shell");
    return ERR_OK;
}

static const struct example list_examples[] = {
    EXAMPLE("What tasks can start from", "stint template list"),
    EXAMPLE("Chosen columns", "stint template list -c name,'active version id'"),
    {0},
};

const struct command template_list_command = {
    .name = "list",
    .alias = "ls",
    .summary = "List templates.",
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .examples = list_examples,
    .run = run_list,
};
