/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_push.c - `stint template push`: a directory becomes a template's active version.
 *
 * Pack -> POST files -> POST templateversions -> the import job, with its lines as they come ->
 * POST templates, or PATCH the versions of the one there is.  Until the last step nobody sees
 * anything of it, so a push that fails half-way leaves the template as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/events.h"
#include "cli/pack.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "core/base/mem.h"
#include "core/base/text.h"

struct push {
    struct cli *cli;
    const struct call *call;
    const char *provisioner;
    char *name;
    char *organization_id;
    char *file_id;
    char *template_id; /* NULL: there is none yet */
    json_t *version;
    struct progress progress;
};

static void push_done(struct push *p)
{
    free(p->name);
    free(p->organization_id);
    free(p->file_id);
    free(p->template_id);
    json_decref(p->version);
}

/* ---- the directory ---- */

static bool has_file(const char *dir, const char *name)
{
    struct strbuf path;
    struct stat st;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", dir, name);
    bool is = stat(path.s, &st) == 0 && S_ISREG(st.st_mode);
    strbuf_done(&path);
    return is;
}

static enum err check_directory(struct push *p, const char *dir)
{
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        (void)cli_fail(p->cli, ERR_NOT_FOUND, "%s is no directory", dir);
        return p->cli->code;
    }
    p->provisioner = has_file(dir, "main.tf") ? "terraform" : "local";
    if (has_file(dir, "template.yaml") || has_file(dir, "main.tf"))
        return ERR_OK;
    (void)cli_fail(p->cli, ERR_INVALID, "%s has no template.yaml", dir);
    cli_hint(p->cli, "deploy/templates/shell/template.yaml is one to begin with");
    return p->cli->code;
}

/* --name, or what the directory is called. */
static enum err choose_name(struct push *p, const char *dir)
{
    const char *wanted = call_text(p->call, "name");
    scoped_free char *real = realpath(dir, NULL);
    const char *base = real != NULL ? strrchr(real, '/') + 1 : dir;
    p->name = mem_strdup(wanted != NULL ? wanted : base);
    if (text_is_name(p->name))
        return ERR_OK;
    (void)cli_fail(p->cli, ERR_USAGE, "\"%s\" is no name for a template", p->name);
    cli_hint(p->cli, "--name with 1 to 32 letters and digits in groups joined by single dashes");
    return p->cli->code;
}

/* ---- steps ---- */

static enum err upload(struct push *p, const char *dir)
{
    struct strbuf tar;
    scoped(json_unrefp) json_t *answer = NULL;
    strbuf_init(&tar);
    enum err e = pack_directory(p->cli, dir, &tar);
    if (e == ERR_OK)
        e = api_upload(p->cli, "/api/v2/files", "application/x-tar", tar.s, tar.len, &answer);
    if (e == ERR_OK) {
        cli_say(p->cli, "Packed %s: %zu KiB.", dir, (tar.len + 1023) / 1024);
        p->file_id = mem_strdup(table_string(answer, "hash"));
    }
    strbuf_done(&tar);
    return e;
}

static enum err find_organization(struct push *p)
{
    scoped(json_unrefp) json_t *rows = NULL;
    enum err e = api_call(p->cli, "GET", "/api/v2/users/me/organizations", NULL, &rows);
    if (e != ERR_OK)
        return e;
    const char *id = table_string(json_array_get(rows, 0), "id");
    if (id[0] == '\0')
        return cli_fail(p->cli, ERR_FORBIDDEN, "you are in no organization");
    p->organization_id = mem_strdup(id);
    return ERR_OK;
}

static enum err find_template(struct push *p)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *found = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/organizations/%s/templates/%s", p->organization_id, p->name);
    enum err e = api_call(p->cli, "GET", path.s, NULL, &found);
    strbuf_done(&path);
    if (e == ERR_NOT_FOUND) {
        cli_forgive(p->cli);
        return ERR_OK;
    }
    if (e == ERR_OK)
        p->template_id = mem_strdup(table_string(found, "id"));
    return e;
}

static enum err create_version(struct push *p)
{
    const char *message = call_text(p->call, "message");
    struct strbuf path;
    scoped(json_unrefp) json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:{}}", "storage_method", "file", "file_id", p->file_id,
            "provisioner", p->provisioner, "message", message != NULL ? message : "", "tags");
    if (p->template_id != NULL)
        json_object_set_new(body, "template_id", json_string(p->template_id));
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/organizations/%s/templateversions", p->organization_id);
    enum err e = api_call(p->cli, "POST", path.s, body, &p->version);
    strbuf_done(&path);
    return e;
}

/* ---- the import ---- */

struct import_log {
    json_int_t last_id;
    bool missing; /* this gateway has no such log */
};

static void show_line(struct push *p, const json_t *row)
{
    struct strbuf line;
    strbuf_init(&line);
    text_add_sanitized(&line, table_string(row, "output"));
    progress_clear(&p->progress);
    cli_say(p->cli, "  %s", line.s);
    strbuf_done(&line);
}

static void say_progress(struct push *p)
{
    progress_step(&p->progress, "Import: %s", table_string(p->version, "job.status"));
}

/* Lines are a kindness: a gateway that cannot show them does not stop the push. */
static void show_lines(struct push *p, struct import_log *log)
{
    struct strbuf path;
    scoped(json_unrefp) json_t *rows = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templateversions/%s/logs?after=%" JSON_INTEGER_FORMAT,
        table_string(p->version, "id"), log->last_id);
    if (!log->missing && api_call(p->cli, "GET", path.s, NULL, &rows) != ERR_OK) {
        log->missing = true;
        cli_forgive(p->cli);
    }
    strbuf_done(&path);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        json_int_t id = json_integer_value(json_object_get(row, "id"));
        if (id <= log->last_id)
            continue;
        log->last_id = id;
        show_line(p, row);
    }
}

static enum err refresh_version(struct push *p)
{
    struct strbuf path;
    json_t *next = NULL;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templateversions/%s", table_string(p->version, "id"));
    enum err e = api_call(p->cli, "GET", path.s, NULL, &next);
    strbuf_done(&path);
    if (e == ERR_OK) {
        json_decref(p->version);
        p->version = next;
    }
    return e;
}

static enum err import_outcome(struct push *p)
{
    const char *status = table_string(p->version, "job.status");
    if (strcmp(status, "succeeded") == 0)
        return ERR_OK;
    const char *error = table_string(p->version, "job.error");
    (void)cli_fail(p->cli, ERR_INVALID, "the template was not accepted: its import %s", status);
    if (error[0] != '\0')
        cli_detail(p->cli, "%s", error);
    cli_hint(p->cli, "mend it and push again; nothing was changed");
    return p->cli->code;
}

static bool import_is_over(const struct push *p)
{
    const char *status = table_string(p->version, "job.status");
    return strcmp(status, "succeeded") == 0 || strcmp(status, "failed") == 0 ||
           strcmp(status, "canceled") == 0;
}

static enum err wait_by_looking(struct push *p, struct import_log *log)
{
    struct pace pace = {0};
    enum err e = ERR_OK;
    while (e == ERR_OK && !import_is_over(p)) {
        show_lines(p, log);
        say_progress(p);
        pace_wait(&pace, p->cli);
        e = refresh_version(p);
    }
    if (e == ERR_OK)
        show_lines(p, log);
    return e;
}

/* ---- by stream ---- */

static enum err on_event(void *arg, const char *name, const json_t *data, bool *ret_done)
{
    struct push *p = arg;
    if (strcmp(name, "log") == 0)
        show_line(p, data);
    *ret_done = strcmp(name, "done") == 0;
    return ERR_OK;
}

static enum err on_tick(void *arg, bool *ret_done)
{
    (void)ret_done;
    say_progress(arg);
    return ERR_OK;
}

static void on_say(void *arg)
{
    struct push *p = arg;
    progress_clear(&p->progress);
}

static enum err wait_by_stream(struct push *p, bool *ret_exists)
{
    struct strbuf path;
    const struct events events = {
        .on_event = on_event, .on_tick = on_tick, .on_say = on_say, .arg = p};
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/templateversions/%s/logs?follow", table_string(p->version, "id"));
    enum err e = events_follow(p->cli, path.s, &events, ret_exists);
    strbuf_done(&path);
    return e == ERR_OK && *ret_exists ? refresh_version(p) : e;
}

static enum err wait_for_import(struct push *p)
{
    struct import_log log = {0};
    bool exists;
    progress_begin(&p->progress, p->cli);
    enum err e = wait_by_stream(p, &exists);
    if (e == ERR_OK && !exists)
        e = wait_by_looking(p, &log);
    progress_clear(&p->progress);
    return e == ERR_OK ? import_outcome(p) : e;
}

/* ---- the end ---- */

static enum err activate(struct push *p, json_t **ret_template)
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

static enum err (*const steps[])(struct push *) = {
    find_organization, find_template, create_version, wait_for_import};

static enum err push(struct push *p, const char *dir, json_t **ret_template)
{
    enum err e = check_directory(p, dir);
    if (e == ERR_OK)
        e = choose_name(p, dir);
    if (e == ERR_OK)
        e = upload(p, dir);
    for (size_t i = 0; i < COUNT(steps) && e == ERR_OK; i++)
        e = steps[i](p);
    return e == ERR_OK ? activate(p, ret_template) : e;
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct push p = {.cli = cli, .call = call};
    scoped(json_unrefp) json_t *template = NULL;
    enum err e = push(&p, call->args[0], &template);
    if (e == ERR_OK && call_wants_json(call))
        table_print_json(cli, template);
    else if (e == ERR_OK && call_has(call, "quiet"))
        fprintf(cli->out, "%s\n", table_string(template, "id"));
    else if (e == ERR_OK)
        fprintf(cli->out, "The template %s is ready, version %s.\n", p.name,
            table_string(p.version, "name"));
    push_done(&p);
    return e;
}

static const struct flag flags[] = {
    FLAG('n', "name", "NAME", "Name of the template; the directory's when left out."),
    FLAG('m', "message", "TEXT", "What changed, for the list of versions."),
    SWITCH('q', "quiet", "Print the template's id and nothing else."),
    SWITCH('y', "yes", "Accepted for scripts; pushing does not ask."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE(
        "Create or update the template \"shell\"", "stint template push deploy/templates/shell"),
    EXAMPLE("Under another name, with a message",
        "stint template push . --name review -m 'more memory'"),
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
