/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c - walk a directory in order (fts) and write it as tar (libarchive). */
#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"

static const char *const left_out[] = {".git", ".DS_Store", ".terraform"};

static bool is_left_out(const FTSENT *at)
{
    for (size_t i = 0; i < COUNT(left_out); i++)
        if (strcmp(at->fts_name, left_out[i]) == 0)
            return true;
    size_t n = at->fts_namelen;
    return n > 1 &&
           (at->fts_name[n - 1] == '~' || (n > 4 && strcmp(at->fts_name + n - 4, ".swp") == 0));
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

struct pack {
    struct cli *cli;
    struct archive *tar;
    const char *name; /* within the archive */
    const FTSENT *at;
};

static enum err archive_failed(struct pack *p)
{
    return cli_fail(p->cli, ERR_IO, "cannot pack %s: %s", p->name, archive_error_string(p->tar));
}

static la_ssize_t on_write(struct archive *a, void *arg, const void *data, size_t n)
{
    struct strbuf *out = arg;
    if (out->len + n > PACK_BYTES_MAX) {
        archive_set_error(a, ENOSPC, "the template is larger than %u MiB", PACK_BYTES_MAX >> 20);
        return -1;
    }
    strbuf_add(out, data, n);
    return (la_ssize_t)n;
}

/* ---- one entry ---- */

static enum err put_head(
    struct pack *p, mode_t type, mode_t mode, int64_t bytes, const char *target)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, p->name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, mode);
    archive_entry_set_mtime(e, 0, 0);
    archive_entry_set_size(e, bytes);
    if (target != NULL)
        archive_entry_set_symlink(e, target);
    int rc = archive_write_header(p->tar, e);
    archive_entry_free(e);
    return rc == ARCHIVE_OK ? ERR_OK : archive_failed(p);
}

static enum err put_content(struct pack *p, int fd, int64_t bytes)
{
    char part[65536];
    ssize_t n;
    while ((n = read(fd, part, sizeof(part))) > 0) {
        bytes -= n;
        if (bytes < 0)
            break;
        if (archive_write_data(p->tar, part, (size_t)n) != n)
            return archive_failed(p);
    }
    if (n < 0)
        return cli_fail(p->cli, ERR_IO, "cannot read %s: %s", p->at->fts_path, strerror(errno));
    if (bytes != 0)
        return cli_fail(p->cli, ERR_CONFLICT, "%s changed while it was read", p->at->fts_path);
    return ERR_OK;
}

static enum err put_file(struct pack *p)
{
    const struct stat *st = p->at->fts_statp;
    int fd = open(p->at->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return cli_fail(p->cli, ERR_IO, "cannot read %s: %s", p->at->fts_path, strerror(errno));
    enum err e = put_head(p, AE_IFREG, st->st_mode & 0100 ? 0755 : 0644, st->st_size, NULL);
    if (e == ERR_OK)
        e = put_content(p, fd, st->st_size);
    (void)close(fd);
    return e;
}

/* Does "a/b/link" -> target stay below the top? */
static bool stays_inside(const char *name, const char *target)
{
    int depth = 0;
    if (target[0] == '/')
        return false;
    for (const char *p = name; *p != '\0'; p++)
        depth += *p == '/';
    for (const char *p = target; *p != '\0';) {
        size_t n = strcspn(p, "/");
        if (n == 2 && strncmp(p, "..", 2) == 0)
            depth--;
        else if (n > 0 && !(n == 1 && p[0] == '.'))
            depth++;
        if (depth < 0)
            return false;
        p += n + (p[n] == '/');
    }
    return true;
}

static enum err put_link(struct pack *p)
{
    char target[PATH_MAX];
    ssize_t n = readlink(p->at->fts_accpath, target, sizeof(target) - 1);
    if (n < 0)
        return cli_fail(p->cli, ERR_IO, "cannot read %s: %s", p->at->fts_path, strerror(errno));
    target[n] = '\0';
    if (!stays_inside(p->name, target)) {
        (void)cli_fail(p->cli, ERR_INVALID, "%s points outside the template", p->at->fts_path);
        cli_hint(p->cli, "copy what it points to into the template");
        return p->cli->code;
    }
    return put_head(p, AE_IFLNK, 0777, 0, target);
}

static enum err put_entry(struct pack *p)
{
    switch (p->at->fts_info) {
    case FTS_D:
        return put_head(p, AE_IFDIR, 0755, 0, NULL);
    case FTS_F:
        return put_file(p);
    case FTS_SL:
    case FTS_SLNONE:
        return put_link(p);
    case FTS_DP:
        return ERR_OK;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return cli_fail(
            p->cli, ERR_IO, "cannot read %s: %s", p->at->fts_path, strerror(p->at->fts_errno));
    default:
        return cli_fail(
            p->cli, ERR_INVALID, "%s is neither file, directory nor link", p->at->fts_path);
    }
}

/* ---- the walk ---- */

static enum err walk(struct pack *p, FTS *tree, size_t prefix)
{
    while ((p->at = fts_read(tree)) != NULL) {
        if (p->at->fts_level == FTS_ROOTLEVEL)
            continue;
        if (is_left_out(p->at)) {
            (void)fts_set(tree, (FTSENT *)(uintptr_t)p->at, FTS_SKIP);
            continue;
        }
        p->name = p->at->fts_path + prefix;
        enum err e = put_entry(p);
        if (e != ERR_OK)
            return e;
    }
    return errno == 0 ? ERR_OK
                      : cli_fail(p->cli, ERR_IO, "cannot walk the directory: %s", strerror(errno));
}

enum err pack_directory(struct cli *cli, const char *dir, struct strbuf *tar)
{
    scoped_free char *real = realpath(dir, NULL);
    if (real == NULL)
        return cli_fail(cli, ERR_NOT_FOUND, "cannot open %s: %s", dir, strerror(errno));
    char *roots[] = {real, NULL};
    struct pack p = {.cli = cli, .tar = archive_write_new(), .name = dir};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    (void)archive_write_set_format_pax_restricted(p.tar);
    (void)archive_write_set_bytes_in_last_block(p.tar, 1);
    enum err e = archive_write_open(p.tar, tar, NULL, on_write, NULL) == ARCHIVE_OK
                     ? ERR_OK
                     : archive_failed(&p);
    errno = 0;
    if (e == ERR_OK)
        e = walk(&p, tree, strlen(real) + (strcmp(real, "/") != 0));
    if (e == ERR_OK && archive_write_close(p.tar) != ARCHIVE_OK)
        e = archive_failed(&p);
    (void)fts_close(tree);
    (void)archive_write_free(p.tar);
    return e;
}
