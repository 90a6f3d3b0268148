/* SPDX-License-Identifier: Apache-2.0 */
/* template_pull.c - `stint template pull`: the files of a version, into a directory. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/pack.h"
#include "cli/table.h"
#include "cli/template.h"

static enum err find_version(
    struct cli *cli, const struct call *call, const json_t *template, json_t **ret_version)
{
    const char *name = call_text(call, "version");
    return template_find_version(cli, template,
        name != NULL ? name : table_string(template, "active_version_id"), ret_version);
}

static enum err download(struct cli *cli, const json_t *version, struct strbuf *archive)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "/api/v2/files/%s", table_string(version, "job.file_id"));
    enum err e = api_download(cli, path.s, archive);
    strbuf_done(&path);
    return e;
}

/* Nothing that is there is written over. */
static enum err make_directory(struct cli *cli, const char *dir)
{
    if (mkdir(dir, 0755) == 0)
        return ERR_OK;
    (void)cli_fail(cli, errno == EEXIST ? ERR_CONFLICT : ERR_IO, "%s: %s", dir, strerror(errno));
    cli_hint(cli, "name a directory that is not there yet: stint template pull TEMPLATE DIR");
    return cli->code;
}

static enum err write_archive(struct cli *cli, const struct strbuf *archive)
{
    return fwrite(archive->s, 1, archive->len, cli->out) == archive->len
               ? ERR_OK
               : cli_fail(cli, ERR_IO, "cannot write the archive: %s", strerror(errno));
}

static enum err run(struct cli *cli, const struct call *call)
{
    struct strbuf archive;
    scoped(json_unrefp) json_t *template = NULL;
    scoped(json_unrefp) json_t *version = NULL;
    const char *dir = call->n_args > 1 ? call->args[1] : NULL;
    strbuf_init(&archive);
    enum err e = template_find(cli, call->args[0], &template);
    if (e == ERR_OK)
        e = find_version(cli, call, template, &version);
    if (e == ERR_OK)
        e = download(cli, version, &archive);
    if (e == ERR_OK && call_has(call, "archive")) {
        e = write_archive(cli, &archive);
    } else if (e == ERR_OK) {
        dir = dir != NULL ? dir : table_string(template, "name");
        e = make_directory(cli, dir);
        if (e == ERR_OK)
            e = unpack_archive(cli, dir, archive.s, archive.len);
        if (e == ERR_OK)
            fprintf(cli->out, "%s\n", dir);
        if (e == ERR_OK)
            cli_say(cli, "Version %s of %s.", table_string(version, "name"),
                table_string(template, "name"));
    }
    strbuf_done(&archive);
    return e;
}

static const struct flag flags[] = {
    FLAG(0, "version", "VERSION", "That version; the active one when left out."),
    SWITCH(0, "archive", "The archive itself on stdout, as it was uploaded."),
    SWITCH('y', "yes", "Accepted for scripts; pulling does not ask."),
    {0},
};

static const struct example examples[] = {
    EXAMPLE("Into the directory \"docker\"", "stint template pull docker"),
    EXAMPLE(
        "An older version, elsewhere", "stint template pull docker old --version version-12ab34cd"),
    EXAMPLE("For a program", "stint template pull docker --archive >docker.tar"),
    {0},
};

const struct command template_pull_command = {
    .name = "pull",
    .summary = "Fetch the files of a template.",
    .args = "TEMPLATE [DIR]",
    .args_min = 1,
    .args_max = 2,
    .about = "DIR must not be there yet; its name is the template's when left out.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
