/* SPDX-License-Identifier: Apache-2.0 */
/* template_versions.c - `stint template versions`, `promote` and `archive`. */
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/template.h"

static const struct column columns_all[] = {
    {"name",       "name", COLUMN_TEXT},
    {"id", "id", COLUMN_TEXT},
    {"active",         "active", COLUMN_TEXT},
    {"status", "job.status", COLUMN_TEXT},
    {"archived",     "archived_word", COLUMN_TEXT},
    {"message", "message", COLUMN_TEXT},
    {"created by",     "created_by.username", COLUMN_TEXT},
    {"created at", "created_at", COLUMN_TEXT},
    {"created",   "created_at", COLUMN_AGE},
    {"error", "job.error", COLUMN_TEXT},
    {0   },
};

/* ---- looking up ---- */

static enum err fetch(struct cli *cli, const json_t *template, json_t **ret_rows)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(
        &path, "/api/v2/templates/%s/versions?include_archived=true", table_string(template, "id"));
    enum err e = api_call(cli, "GET", path.s, NULL, ret_rows);
    strbuf_done(&path);
    return e;
}

/* By name or id. */
enum err template_find_version(
    struct cli *cli, const json_t *template, const char *name, json_t **ret_version)
{
    scoped(json_unrefp) json_t *rows = NULL;
    struct suggestion s = {.typed = name};
    enum err e = fetch(cli, template, &rows);
    if (e != ERR_OK)
        return e;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(table_string(row, "name"), name) == 0 ||
            strcmp(table_string(row, "id"), name) == 0) {
            *ret_version = json_incref(row);
            return ERR_OK;
        }
        suggest_offer(&s, table_string(row, "name"));
    }
    (void)cli_fail(cli, ERR_NOT_FOUND, "the template %s has no version \"%s\"%s%s%s",
        table_string(template, "name"), name, s.best != NULL ? ", did you mean \"" : "",
        s.best != NULL ? s.best : "", s.best != NULL ? "\"?" : "");
    cli_hint(cli, "stint template versions %s", table_string(template, "name"));
    return cli->code;
}

/* ---- versions ---- */

static void add_words(json_t *rows, const json_t *template)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        bool active =
            strcmp(table_string(row, "id"), table_string(template, "active_version_id")) == 0;
        json_object_set_new(row, "active", json_string(active ? "active" : ""));
        json_object_set_new(row, "archived_word",
            json_string(json_is_true(json_object_get(row, "archived")) ? "archived" : ""));
    }
}

static enum err run_versions(struct cli *cli, const struct call *call)
{
    struct column columns[COLUMNS_MAX + 1];
    const char *names = call_text(call, "column");
    scoped(json_unrefp) json_t *template = NULL;
    scoped(json_unrefp) json_t *rows = NULL;
    enum err e = table_pick(cli, columns_all,
        names != NULL ? names : "name,active,status,archived,created,created by,message", columns);
    if (e == ERR_OK)
        e = template_find(cli, call->args[0], &template);
    if (e == ERR_OK)
        e = fetch(cli, template, &rows);
    if (e != ERR_OK)
        return e;
    if (call_wants_json(call)) {
        table_print_json(cli, rows);
        return ERR_OK;
    }
    add_words(rows, template);
    table_print(cli, columns, rows);
    return ERR_OK;
}

static const struct example versions_examples[] = {
    EXAMPLE("Which version do tasks start from?", "stint template versions docker"),
    EXAMPLE("What was wrong with one", "stint template versions docker -c name,status,error"),
    {0},
};

const struct command template_versions_command = {
    .name = "versions",
    .summary = "List the versions of a template, newest first.",
    .args = "TEMPLATE",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA | COMMAND_LISTS,
    .examples = versions_examples,
    .run = run_versions,
};

/* ---- promote ---- */

static enum err promote(struct cli *cli, const json_t *template, const json_t *version)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *body = json_pack("{s:s}", "id", table_string(version, "id"));
    if (strcmp(table_string(version, "job.status"), "succeeded") != 0) {
        (void)cli_fail(cli, ERR_INVALID, "the version %s cannot be used: its import %s",
            table_string(version, "name"), table_string(version, "job.status"));
        cli_hint(cli, "mend the template and push it again");
        return cli->code;
    }
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templates/%s/versions", table_string(template, "id"));
    enum err e = api_call(cli, "PATCH", path.s, body, NULL);
    strbuf_done(&path);
    return e;
}

static enum err run_promote(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *template = NULL;
    scoped(json_unrefp) json_t *version = NULL;
    enum err e = template_find(cli, call->args[0], &template);
    if (e == ERR_OK)
        e = template_find_version(cli, template, call->args[1], &version);
    if (e == ERR_OK)
        e = promote(cli, template, version);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, version);
    else if (e == ERR_OK)
        fprintf(cli->out, "New tasks of %s start from version %s.\n",
            table_string(template, "name"), table_string(version, "name"));
    return e;
}

static const struct example promote_examples[] = {
    EXAMPLE("Back to an older one", "stint template promote docker version-12ab34cd"),
    {0},
};

const struct command template_promote_command = {
    .name = "promote",
    .summary = "Make a version the one that new tasks start from.",
    .args = "TEMPLATE VERSION",
    .args_min = 2,
    .args_max = 2,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Tasks that there are keep their version.",
    .examples = promote_examples,
    .run = run_promote,
};

/* ---- archive ---- */

static enum err archive_one(
    struct cli *cli, const json_t *template, const char *name, bool lift, json_t *done)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *version = NULL;
    enum err e = template_find_version(cli, template, name, &version);
    if (e != ERR_OK)
        return e;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templateversions/%s/%s", table_string(version, "id"),
        lift ? "unarchive" : "archive");
    e = api_call(cli, "POST", path.s, NULL, NULL);
    strbuf_done(&path);
    if (e == ERR_OK)
        json_array_append(done, json_object_get(version, "id"));
    return e;
}

/* Those that no task uses and that are not active. */
static enum err archive_unused(struct cli *cli, const json_t *template, bool all, json_t **ret_done)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *answer = NULL;
    scoped(json_unrefp) json_t *body = json_pack("{s:b}", "all", (int)all);
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templates/%s/versions/archive", table_string(template, "id"));
    enum err e = api_call(cli, "POST", path.s, body, &answer);
    strbuf_done(&path);
    if (e == ERR_OK)
        *ret_done = json_incref(json_object_get(answer, "archived_ids"));
    return e;
}

static enum err run_archive(struct cli *cli, const struct call *call)
{
    scoped(json_unrefp) json_t *template = NULL;
    scoped(json_unrefp) json_t *done = json_array();
    bool lift = call_has(call, "undo");
    enum err e = template_find(cli, call->args[0], &template);
    if (e == ERR_OK && call->n_args == 1 && lift) {
        (void)cli_fail(cli, ERR_USAGE, "--undo needs the versions by name");
        cli_hint(cli, "stint template versions %s", call->args[0]);
        return cli->code;
    }
    if (e == ERR_OK && call->n_args == 1) {
        json_decref(steal(done));
        e = archive_unused(cli, template, call_has(call, "all"), &done);
    }
    for (size_t i = 1; e == ERR_OK && i < call->n_args; i++)
        e = archive_one(cli, template, call->args[i], lift, done);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, done);
    else if (e == ERR_OK)
        fprintf(cli->out, "%zu version%s of %s %s.\n", json_array_size(done),
            json_array_size(done) == 1 ? "" : "s", table_string(template, "name"),
            lift ? "brought back" : "archived");
    return e;
}

static const struct flag archive_flags[] = {
    SWITCH(0, "all", "Without VERSION: all that no task uses, not only those that failed."),
    SWITCH(0, "undo", "Bring them back."),
    SWITCH('y', "yes", "Accepted for scripts; archiving does not ask."),
    {0},
};

static const struct example archive_examples[] = {
    EXAMPLE("One", "stint template archive docker version-12ab34cd"),
    EXAMPLE("All that failed to import", "stint template archive docker"),
    EXAMPLE("All that nothing needs any more", "stint template archive docker --all"),
    {0},
};

const struct command template_archive_command = {
    .name = "archive",
    .summary = "Put versions away that nobody is to start tasks from.",
    .args = "TEMPLATE [VERSION...]",
    .args_min = 1,
    .args_max = CALL_ARGS_MAX,
    .traits = COMMAND_PRINTS_DATA,
    .about = "The active version and those that tasks use stay.",
    .flags = archive_flags,
    .examples = archive_examples,
    .run = run_archive,
};
