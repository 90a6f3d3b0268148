/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.c - an archive into a directory, by libarchive's own guards and ours. */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pack.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"

#define BLOCK_BYTES (64 * 1024)
struct unpack {
    struct cli *cli;
    const char *dir;
    struct archive *in, *out;
    size_t bytes;
};

static enum err bad(struct unpack *u, const char *name, const char *what)
{
    return cli_fail(u->cli, ERR_INVALID, "the archive cannot be unpacked: %s: %s", name, what);
}

static bool leads_out(const char *name)
{
    if (name[0] == '/')
        return true;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += part[0] == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return true;
    }
    return false;
}

static enum err check_entry(struct unpack *u, struct archive_entry *e)
{
    const char *name = archive_entry_pathname(e), *link = archive_entry_symlink(e);
    mode_t type = archive_entry_filetype(e);
    if (name == NULL || leads_out(name))
        return bad(u, name != NULL ? name : "?", "the name leads out of it");
    if (archive_entry_hardlink(e) != NULL || (link != NULL && leads_out(link)))
        return bad(u, name, "a link that points out of it");
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
        return bad(u, name, "neither a file nor a directory");
    return ERR_OK;
}

static enum err copy(struct unpack *u, const char *name)
{
    char block[BLOCK_BYTES];
    la_ssize_t n;
    while ((n = archive_read_data(u->in, block, sizeof(block))) > 0) {
        u->bytes += (size_t)n;
        if (u->bytes > PACK_BYTES_MAX)
            return bad(u, name, "it is larger than a template can be");
        if (archive_write_data(u->out, block, (size_t)n) != n)
            return bad(u, name, archive_error_string(u->out));
    }
    return n < 0 ? bad(u, name, archive_error_string(u->in)) : ERR_OK;
}

static enum err unpack_entry(struct unpack *u, struct archive_entry *e)
{
    enum err code = check_entry(u, e);
    if (code != ERR_OK)
        return code;
    scoped_free char *name = mem_strdup(archive_entry_pathname(e));
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s", u->dir, name);
    archive_entry_set_pathname(e, path.s);
    archive_entry_set_perm(e, archive_entry_filetype(e) == AE_IFDIR ? 0755
                              : (archive_entry_perm(e) & 0100) != 0 ? 0755
                                                                    : 0644);
    if (archive_write_header(u->out, e) != ARCHIVE_OK)
        code = bad(u, name, archive_error_string(u->out));
    else if (archive_entry_filetype(e) == AE_IFREG)
        code = copy(u, name);
    strbuf_done(&path);
    return code;
}

enum err unpack_archive(struct cli *cli, const char *dir, const void *data, size_t n)
{
    struct unpack u = {
        .cli = cli, .dir = dir, .in = archive_read_new(), .out = archive_write_disk_new()};
    struct archive_entry *entry;
    enum err e = ERR_OK;
    int rc = ARCHIVE_OK;
    (void)archive_read_support_format_tar(u.in);
    (void)archive_read_support_format_zip(u.in);
    (void)archive_write_disk_set_options(u.out, ARCHIVE_EXTRACT_PERM);
    if (archive_read_open_memory(u.in, data, n) != ARCHIVE_OK)
        e = bad(&u, dir, archive_error_string(u.in));
    while (e == ERR_OK && (rc = archive_read_next_header(u.in, &entry)) == ARCHIVE_OK)
        e = unpack_entry(&u, entry);
    if (e == ERR_OK && rc != ARCHIVE_EOF)
        e = bad(&u, dir, archive_error_string(u.in));
    (void)archive_read_free(u.in);
    (void)archive_write_free(u.out);
    return e;
}
