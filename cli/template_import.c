/* SPDX-License-Identifier: Apache-2.0 */
/* template_import.c - pack, upload, create a version, and follow its import with its lines. */
#include "cli/template_import.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/events.h"
#include "cli/pack.h"
#include "cli/table.h"
#include "core/base/mem.h"
#include "core/base/text.h"

#define VARIABLES_BYTES_MAX (1024 * 1024)

void template_import_done(struct template_import *p)
{
    free(p->name);
    free(p->organization_id);
    free(p->file_id);
    free(p->template_id);
    json_decref(p->version);
    json_decref(p->values);
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

static int is_tf(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return (n > 3 && strcmp(entry->d_name + n - 3, ".tf") == 0) ||
           (n > 8 && strcmp(entry->d_name + n - 8, ".tf.json") == 0);
}

static bool has_tf_file(const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, is_tf, NULL);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return n > 0;
}

static enum err check_directory(struct template_import *p, const char *dir)
{
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        (void)cli_fail(p->cli, ERR_NOT_FOUND, "%s is no directory", dir);
        cli_hint(p->cli, "name the directory of a template; stint template init makes one");
        return p->cli->code;
    }
    p->provisioner = has_file(dir, "template.yaml") ? "local" : "terraform";
    if (has_file(dir, "template.yaml") || has_tf_file(dir))
        return ERR_OK;
    (void)cli_fail(p->cli, ERR_INVALID, "%s has neither a template.yaml nor a main.tf", dir);
    cli_hint(p->cli, "stint template init shows examples to begin with");
    return p->cli->code;
}

/* --name, or what the directory is called. */
static enum err choose_name(struct template_import *p, const char *dir)
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

static enum err upload(struct template_import *p, const char *dir)
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

static enum err find_organization(struct template_import *p)
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

static enum err find_template(struct template_import *p)
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

static enum err create_version(struct template_import *p)
{
    const char *message = call_text(p->call, "message");
    struct strbuf path;
    scoped(json_unrefp) json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:{}}", "storage_method", "file", "file_id", p->file_id,
            "provisioner", p->provisioner, "message", message != NULL ? message : "", "tags");
    if (p->template_id != NULL)
        json_object_set_new(body, "template_id", json_string(p->template_id));
    if (call_has(p->call, "version-name"))
        json_object_set_new(body, "name", json_string(call_text(p->call, "version-name")));
    if (json_array_size(p->values) > 0)
        json_object_set(body, "user_variable_values", p->values);
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

static void show_line(struct template_import *p, const json_t *row)
{
    struct strbuf line;
    strbuf_init(&line);
    text_add_sanitized(&line, table_string(row, "output"));
    progress_clear(&p->progress);
    cli_say(p->cli, "  %s", line.s);
    strbuf_done(&line);
}

static void say_progress(struct template_import *p)
{
    progress_step(&p->progress, "Import: %s", table_string(p->version, "job.status"));
}

/* Lines are a kindness: a gateway that cannot show them does not stop the push. */
static void show_lines(struct template_import *p, struct import_log *log)
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

static enum err refresh_version(struct template_import *p)
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

static enum err import_outcome(struct template_import *p)
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

static bool import_is_over(const struct template_import *p)
{
    const char *status = table_string(p->version, "job.status");
    return strcmp(status, "succeeded") == 0 || strcmp(status, "failed") == 0 ||
           strcmp(status, "canceled") == 0;
}

static enum err wait_by_looking(struct template_import *p, struct import_log *log)
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
    struct template_import *p = arg;
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
    struct template_import *p = arg;
    progress_clear(&p->progress);
}

static enum err wait_by_stream(struct template_import *p, bool *ret_exists)
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

static enum err wait_for_import(struct template_import *p)
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

/* ---- values of variables ---- */

/* NAME=VALUE; the value is never said. */
static enum err add_value(struct template_import *p, const char *text, const char *where)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return cli_fail(p->cli, ERR_USAGE, "%s is not NAME=VALUE", where);
    scoped_free char *name = mem_strndup(text, (size_t)(equals - text));
    json_t *row = json_pack("{s:s, s:s}", "name", name, "value", equals + 1);
    if (row == NULL)
        return cli_fail(p->cli, ERR_USAGE, "%s is no UTF-8 text", where);
    json_array_append_new(p->values, row);
    return ERR_OK;
}

static enum err add_file(struct template_import *p, const char *path)
{
    char where[512];
    char *text = NULL;
    size_t n, number = 1;
    enum err e = cli_read_file(p->cli, path, VARIABLES_BYTES_MAX, &text, &n);
    char *rest = text, *line;
    for (; e == ERR_OK && (line = strsep(&rest, "\n")) != NULL; number++) {
        line += strspn(line, " \t");
        snprintf(where, sizeof(where), "line %zu of %.400s", number, path);
        if (line[0] != '\0' && line[0] != '#')
            e = add_value(p, line, where);
    }
    if (text != NULL)
        explicit_bzero(text, n);
    free(text);
    return e;
}

static enum err read_values(struct template_import *p)
{
    const char *text;
    enum err e = ERR_OK;
    p->values = json_array();
    for (size_t i = 0; e == ERR_OK && (text = call_text_at(p->call, "variables-file", i)) != NULL;
         i++)
        e = add_file(p, text);
    for (size_t i = 0; e == ERR_OK && (text = call_text_at(p->call, "variable", i)) != NULL; i++)
        e = add_value(p, text, "--variable");
    return e;
}

/* ---- the whole ---- */

enum err template_import(struct template_import *p, const char *dir, bool is_for_template)
{
    enum err e = check_directory(p, dir);
    if (e == ERR_OK)
        e = read_values(p);
    if (e == ERR_OK && is_for_template)
        e = choose_name(p, dir);
    if (e == ERR_OK)
        e = upload(p, dir);
    if (e == ERR_OK)
        e = find_organization(p);
    if (e == ERR_OK && is_for_template)
        e = find_template(p);
    if (e == ERR_OK)
        e = create_version(p);
    return e == ERR_OK ? wait_for_import(p) : e;
}
