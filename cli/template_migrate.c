/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_migrate.c - `stint template migrate`: what a template made for Coder needs, usually
 * nothing.
 *
 * It reads the text, not the meaning: the import has the last word (stint template test).
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/table.h"
#include "core/base/mem.h"

#define FILE_BYTES_MAX (4u * 1024 * 1024)

static const struct finding {
    const char *level, *needle, *text;
} findings[] = {
#define FINDING(level_, needle_, text_) {#level_, needle_, text_},
#include "cli/template_migrate.def"
};

struct migrate {
    struct cli *cli;
    struct strbuf code; /* of all files, without comments */
    json_t *rows;
    unsigned n_must;
};

static void add(struct migrate *m, const char *level, const char *where, const char *text)
{
    json_array_append_new(
        m->rows, json_pack("{s:s, s:s, s:s}", "level", level, "where", where, "text", text));
    m->n_must += strcmp(level, "MUST") == 0;
}

/* ---- the text ---- */

/* Comments become blanks; lines stay where they are.  A heredoc's or a string's "#" stays. */
static void blank_comments(char *text)
{
    bool in_string = false, in_line = false, in_block = false;
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\n')
            in_line = in_string = false;
        else if (in_block && p[0] == '*' && p[1] == '/')
            in_block = false, p[0] = p[1] = ' ';
        else if (in_line || in_block)
            *p = ' ';
        else if (*p == '\\' && in_string && p[1] != '\0')
            p++;
        else if (*p == '"')
            in_string = !in_string;
        else if (!in_string && (*p == '#' || (p[0] == '/' && p[1] == '/')))
            in_line = true, *p = ' ';
        else if (!in_string && p[0] == '/' && p[1] == '*')
            in_block = true, *p = ' ';
    }
}

static unsigned line_of(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static void look_for(struct migrate *m, const struct finding *f, const char *file, const char *text)
{
    char where[PATH_MAX];
    const char *at = strchr(f->needle, '!') == NULL ? strstr(text, f->needle) : NULL;
    if (at == NULL)
        return;
    snprintf(where, sizeof(where), "%s:%u", file, line_of(text, at));
    add(m, f->level, where, f->text);
}

/* "what!where": in the whole template there is `where` without `what`. */
static void miss(struct migrate *m, const struct finding *f)
{
    const char *mark = strchr(f->needle, '!');
    if (mark == NULL || strstr(m->code.s, mark + 1) == NULL)
        return;
    scoped_free char *what = mem_strndup(f->needle, (size_t)(mark - f->needle));
    if (strstr(m->code.s, what) == NULL)
        add(m, f->level, "", f->text);
}

static enum err read_file(struct migrate *m, const char *dir, const char *name)
{
    char path[PATH_MAX];
    char *text = NULL;
    size_t n;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    enum err e = cli_read_file(m->cli, path, FILE_BYTES_MAX, &text, &n);
    if (e == ERR_OK) {
        blank_comments(text);
        for (size_t i = 0; i < COUNT(findings); i++)
            look_for(m, &findings[i], name, text);
        strbuf_addstr(&m->code, text);
    }
    free(text);
    return e;
}

/* ---- the whole ---- */

static int is_tf(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 3 && strcmp(entry->d_name + n - 3, ".tf") == 0;
}

static enum err read_files(struct migrate *m, const char *dir)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, is_tf, alphasort);
    enum err e = ERR_OK;
    if (n <= 0) {
        (void)cli_fail(m->cli, ERR_NOT_FOUND, "%s has no file that ends with .tf", dir);
        cli_hint(m->cli, "name the directory of a Coder template; stint template pull fetches one");
        e = m->cli->code;
    }
    for (int i = 0; i < n; i++) {
        if (e == ERR_OK)
            e = read_file(m, dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return e;
}

static void judge(struct migrate *m)
{
    if (strstr(m->code.s, "coder_ai_task") == NULL)
        add(m, "MUST", "",
            "Nothing declares coder_ai_task: resource \"coder_ai_task\" \"task\" { app_id = "
            "coder_app.NAME.id } makes it a template for tasks.");
    if (strstr(m->code.s, "coder_agent") == NULL)
        add(m, "MUST", "", "Nothing declares coder_agent: a task needs one.");
    for (size_t i = 0; i < COUNT(findings); i++)
        miss(m, &findings[i]);
}

static void print(struct cli *cli, const struct migrate *m)
{
    size_t i;
    json_t *row;
    json_array_foreach(m->rows, i, row)
    {
        const char *where = table_string(row, "where");
        fprintf(cli->out, "%-6s  %s%s%s\n", table_string(row, "level"), where,
            where[0] != '\0' ? ": " : "", table_string(row, "text"));
    }
    fputs(m->n_must > 0 ? "Not ready yet: see MUST.\n" : "Nothing has to be changed.\n", cli->out);
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct migrate m = {.cli = cli, .rows = json_array()};
    strbuf_init(&m.code);
    enum err e = read_files(&m, call->args[0]);
    if (e == ERR_OK) {
        judge(&m);
        if (call_wants_json(call))
            table_print_json(cli, m.rows);
        else
            print(cli, &m);
        if (m.n_must > 0)
            cli->exit_status = 1;
        else
            cli_say(cli, "Next: stint template test %s", call->args[0]);
    }
    strbuf_done(&m.code);
    json_decref(m.rows);
    return e;
}

static const struct example examples[] = {
    EXAMPLE("Is my template ready?", "stint template migrate ./tasks-docker"),
    {0},
};

const struct command template_migrate_command = {
    .name = "migrate",
    .summary = "What a template made for Coder needs; usually nothing.",
    .args = "DIR",
    .args_min = 1,
    .args_max = 1,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Looks at the files alone and changes nothing. MUST: tasks do not work before that is "
             "changed (exit status 1). SHOULD: they do, but not all of it. NOTE: good to know.",
    .examples = examples,
    .run = run,
};
