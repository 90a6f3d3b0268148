/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_init.c - `stint template init`: an example as the beginning of one's own template.
 *
 * Examples are directories with a template.yaml or a main.tf in $STINT_TEMPLATES, in
 * ../share/stint/templates from this program, or, in a build tree, in deploy/templates.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/pack.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "core/base/mem.h"

static const struct column columns[] = {
    {"name",        "name", COLUMN_TEXT},
    {"provisioner",  "provisioner", COLUMN_TEXT},
    {"description", "description", COLUMN_TEXT},
    {0 },
};

/* ---- where they are ---- */

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum err find_examples(struct cli *cli, char **ret_dir)
{
    static const char *const places[] = {
        "../share/stint/templates", "../../../deploy/templates", "../../deploy/templates"};
    char self[PATH_MAX], path[PATH_MAX + 64];
    const char *named = getenv("STINT_TEMPLATES");
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    if (named != NULL && is_directory(named)) {
        *ret_dir = mem_strdup(named);
        return ERR_OK;
    }
    for (size_t i = 0; named == NULL && i < COUNT(places); i++) {
        snprintf(path, sizeof(path), "%s/%s", self, places[i]);
        if (is_directory(path)) {
            *ret_dir = mem_strdup(path);
            return ERR_OK;
        }
    }
    (void)cli_fail(cli, ERR_NOT_FOUND, "the examples are not here: %s",
        named != NULL ? named : "neither beside this program nor in a repository around it");
    cli_hint(cli, "STINT_TEMPLATES names their directory, deploy/templates of the repository");
    return cli->code;
}

/* ---- what they are ---- */

static bool has_file(const char *dir, const char *name, const char *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s/%s", dir, name, file);
    return access(path, R_OK) == 0;
}

/* The text behind "description:" of a template.yaml, or the first sentence of a main.tf's head. */
static void describe(const char *dir, const char *name, bool is_local, char *out, size_t size)
{
    char path[PATH_MAX], line[512];
    snprintf(path, sizeof(path), "%s/%s/%s", dir, name, is_local ? "template.yaml" : "main.tf");
    FILE *f = fopen(path, "re");
    out[0] = '\0';
    while (f != NULL && out[0] == '\0' && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (is_local && strncmp(line, "description:", 12) == 0)
            snprintf(out, size, "%s", line + 12 + strspn(line + 12, " \"'"));
        else if (!is_local && strncmp(line, "# ", 2) == 0 && strstr(line, "SPDX") == NULL)
            snprintf(out, size, "%s", line + 2);
    }
    if (f != NULL)
        fclose(f);
    out[strcspn(out, "\"")] = '\0';
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static json_t *list_examples(const char *dir)
{
    json_t *rows = json_array();
    struct dirent **names = NULL;
    char text[256];
    int n = scandir(dir, &names, is_shown, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        bool is_local = has_file(dir, name, "template.yaml");
        if (is_local || has_file(dir, name, "main.tf")) {
            describe(dir, name, is_local, text, sizeof(text));
            json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "name", name, "provisioner",
                                            is_local ? "local" : "terraform", "description", text));
        }
        free(names[i]);
    }
    free(names);
    return rows;
}

/* ---- copying ---- */

static enum err check_name(struct cli *cli, const json_t *rows, const char *name)
{
    struct suggestion s = {.typed = name};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(table_string(row, "name"), name) == 0)
            return ERR_OK;
        suggest_offer(&s, table_string(row, "name"));
    }
    (void)cli_fail(cli, ERR_NOT_FOUND, "no example \"%s\"%s%s%s", name,
        s.best != NULL ? ", did you mean \"" : "", s.best != NULL ? s.best : "",
        s.best != NULL ? "\"?" : "");
    cli_hint(cli, "stint template init lists them");
    return cli->code;
}

static enum err copy(struct cli *cli, const char *examples, const char *name, const char *dir)
{
    struct strbuf from, tar;
    if (mkdir(dir, 0755) != 0) {
        (void)cli_fail(
            cli, errno == EEXIST ? ERR_CONFLICT : ERR_IO, "%s: %s", dir, strerror(errno));
        cli_hint(cli, "name a directory that is not there yet: stint template init %s DIR", name);
        return cli->code;
    }
    strbuf_init(&from);
    strbuf_init(&tar);
    strbuf_addf(&from, "%s/%s", examples, name);
    enum err e = pack_directory(cli, from.s, &tar);
    if (e == ERR_OK)
        e = unpack_archive(cli, dir, tar.s, tar.len);
    strbuf_done(&tar);
    strbuf_done(&from);
    return e;
}

static enum err run(struct cli *cli, const struct call *call)
{
    scoped_free char *examples = NULL;
    enum err e = find_examples(cli, &examples);
    if (e != ERR_OK)
        return e;
    scoped(json_unrefp) json_t *rows = list_examples(examples);
    if (call->n_args == 0) {
        if (call_wants_json(call))
            table_print_json(cli, rows);
        else
            table_print(cli, columns, rows);
        return ERR_OK;
    }
    const char *dir = call->n_args > 1 ? call->args[1] : call->args[0];
    e = check_name(cli, rows, call->args[0]);
    if (e == ERR_OK)
        e = copy(cli, examples, call->args[0], dir);
    if (e == ERR_OK) {
        fprintf(cli->out, "%s\n", dir);
        cli_say(cli, "Next: look into it, then stint template test %s, stint template push %s", dir,
            dir);
    }
    return e;
}

static const struct example init_examples[] = {
    EXAMPLE("What there is", "stint template init"),
    EXAMPLE("Tasks on Docker, in a directory of their own", "stint template init docker my-tasks"),
    {0},
};

const struct command template_init_command = {
    .name = "init",
    .summary = "Begin a template from an example.",
    .args = "[EXAMPLE [DIR]]",
    .args_max = 2,
    .traits = COMMAND_PRINTS_DATA,
    .about = "Without EXAMPLE they are listed. Speaks to no gateway.",
    .examples = init_examples,
    .run = run,
};
