/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.c - libarchive reads, and every name is walked and made here, one component at a time and
 * never through a link.  When all is there the kernel itself (openat2, RESOLVE_BENEATH) is asked of
 * each link whether it stays inside.
 */
#include "worker/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/vec.h"
#include "worker/file.h"

#define OPEN_TRIES 1000

struct unpack {
    struct archive *archive;
    int root_fd;
    const struct unpack_limit *limit;
    struct errctx *ctx;
    size_t n_entries;
    int64_t bytes;
    VEC(char *) links; /* paths of the symbolic links that were made */
};

static void archive_donep(struct archive **a)
{
    if (*a != NULL)
        archive_read_free(*a);
}

/* ---- names ---- */

/* `path` with "." and empty components left out; NULL when it is absolute or has "..". */
static char *clean_path(const char *path)
{
    if (path == NULL || path[0] == '/')
        return NULL;
    char *clean = mem_alloc(strlen(path) + 1);
    size_t n = 0;
    for (const char *p = path; *p != '\0';) {
        size_t len = strcspn(p, "/");
        if (len == 2 && p[0] == '.' && p[1] == '.') {
            free(clean);
            return NULL;
        }
        if (len > 0 && !(len == 1 && p[0] == '.')) {
            if (n > 0)
                clean[n++] = '/';
            memcpy(clean + n, p, len);
            n += len;
        }
        p += len + (p[len] == '/');
    }
    clean[n] = '\0';
    return clean;
}

/* The directory that holds `path`, made where it is missing; *ret_name is the last component. */
static enum err open_parent(struct unpack *u, char *path, int *ret_fd, const char **ret_name)
{
    scoped_fd int fd = openat(u->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *name = path;
    for (char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        *slash = '\0';
        bool made = mkdirat(fd, name, 0755) == 0 || errno == EEXIST;
        int next = !made ? -1 : openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        *slash = '/';
        if (next < 0 && (errno == ENOTDIR || errno == ELOOP))
            return err_set(u->ctx, ERR_INVALID,
                "the archive puts %s below something that is no directory", path);
        if (next < 0)
            return file_errno(u->ctx, "cannot unpack %s", path);
        close(fd);
        fd = next;
    }
    *ret_fd = fd;
    fd = -1;
    *ret_name = name;
    return ERR_OK;
}

/* ---- one entry ---- */

static enum err copy_data(struct unpack *u, int fd, const char *path)
{
    const void *data;
    size_t n;
    la_int64_t offset;
    for (int rc; (rc = archive_read_data_block(u->archive, &data, &n, &offset)) != ARCHIVE_EOF;) {
        if (rc < ARCHIVE_WARN)
            return err_set(u->ctx, ERR_INVALID, "the archive is damaged: %s",
                archive_error_string(u->archive));
        u->bytes += (int64_t)n;
        if (u->bytes > u->limit->bytes_max || offset > u->limit->bytes_max)
            return err_set(u->ctx, ERR_TOO_LARGE, "the archive unpacks to more than %lld MiB",
                (long long)(u->limit->bytes_max >> 20));
        for (size_t done = 0; done < n;) {
            ssize_t written = pwrite(fd, (const char *)data + done, n - done, offset + (off_t)done);
            if (written < 0 && errno != EINTR)
                return file_errno(u->ctx, "cannot unpack %s", path);
            done += written > 0 ? (size_t)written : 0;
        }
    }
    return ERR_OK;
}

static enum err make_file(
    struct unpack *u, int dir_fd, const char *name, struct archive_entry *entry, const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    scoped_fd int fd = openat(dir_fd, name, flags, 0600);
    if (fd < 0 && errno == EEXIST && unlinkat(dir_fd, name, 0) == 0) /* the later entry counts */
        fd = openat(dir_fd, name, flags, 0600);
    if (fd < 0)
        return file_errno(u->ctx, "cannot unpack %s", path);
    enum err e = copy_data(u, fd, path);
    if (e != ERR_OK)
        return e;
    mode_t mode = (archive_entry_perm(entry) & 0111) != 0 ? 0755 : 0644;
    if (fchmod(fd, mode) != 0 || fsync(fd) != 0)
        return file_errno(u->ctx, "cannot unpack %s", path);
    return ERR_OK;
}

static enum err make_symlink(
    struct unpack *u, int dir_fd, const char *name, struct archive_entry *entry, const char *path)
{
    const char *target = archive_entry_symlink(entry);
    if (target == NULL || target[0] == '\0' || target[0] == '/')
        return err_set(
            u->ctx, ERR_INVALID, "the archive has a link that leads out of it: %s", path);
    (void)unlinkat(dir_fd, name, 0);
    if (symlinkat(target, dir_fd, name) != 0)
        return file_errno(u->ctx, "cannot unpack %s", path);
    *vec_push(&u->links) = mem_strdup(path);
    return ERR_OK;
}

static enum err make_hardlink(
    struct unpack *u, int dir_fd, const char *name, struct archive_entry *entry, const char *path)
{
    scoped_free char *from = clean_path(archive_entry_hardlink(entry));
    if (from == NULL || from[0] == '\0')
        return err_set(
            u->ctx, ERR_INVALID, "the archive has a link that leads out of it: %s", path);
    scoped_fd int from_fd = -1;
    const char *from_name;
    enum err e = open_parent(u, from, &from_fd, &from_name);
    if (e != ERR_OK)
        return e;
    (void)unlinkat(dir_fd, name, 0);
    if (linkat(from_fd, from_name, dir_fd, name, 0) == 0)
        return ERR_OK;
    if (errno == ENOENT || errno == EPERM)
        return err_set(
            u->ctx, ERR_INVALID, "the archive links %s to %s, which it does not have", path, from);
    return file_errno(u->ctx, "cannot unpack %s", path);
}

static enum err make_dir(struct unpack *u, int dir_fd, const char *name, const char *path)
{
    struct stat st;
    if (mkdirat(dir_fd, name, 0755) == 0)
        return ERR_OK;
    if (errno == EEXIST && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode))
        return ERR_OK;
    return file_errno(u->ctx, "cannot unpack %s", path);
}

static enum err unpack_entry(struct unpack *u, struct archive_entry *entry)
{
    if (++u->n_entries > u->limit->entries_max)
        return err_set(
            u->ctx, ERR_TOO_LARGE, "the archive has more than %zu entries", u->limit->entries_max);
    const char *raw = archive_entry_pathname(entry);
    scoped_free char *path = clean_path(raw);
    if (path == NULL)
        return err_set(u->ctx, ERR_INVALID, "the archive has a path that leads out of it: %.80s",
            raw == NULL ? "(not UTF-8)" : raw);
    if (path[0] == '\0') /* the top directory itself */
        return ERR_OK;

    scoped_fd int dir_fd = -1;
    const char *name;
    enum err e = open_parent(u, path, &dir_fd, &name);
    if (e != ERR_OK)
        return e;
    if (archive_entry_hardlink(entry) != NULL)
        return make_hardlink(u, dir_fd, name, entry, path);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return make_file(u, dir_fd, name, entry, path);
    case AE_IFDIR:
        return make_dir(u, dir_fd, name, path);
    case AE_IFLNK:
        return make_symlink(u, dir_fd, name, entry, path);
    default:
        return err_set(u->ctx, ERR_INVALID,
            "the archive has something that is neither file, directory nor link: %s", path);
    }
}

/* ---- the whole ---- */

/* -1 with EAGAIN: something was renamed somewhere on this machine while the kernel followed a "..",
 * and it does not know any more whether that led out. */
static int open_beneath(int root_fd, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = -1;
    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

/* A link may point at nothing, but not outside. */
static enum err check_links(struct unpack *u)
{
    for (size_t i = 0; i < u->links.n; i++) {
        scoped_fd int fd = open_beneath(u->root_fd, u->links.v[i]);
        if (fd < 0 && errno == EAGAIN)
            return file_errno(u->ctx, "cannot follow the link %s", u->links.v[i]);
        if (fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENOTDIR)
            return err_set(u->ctx, ERR_INVALID, "the archive has a link that leads out of it: %s",
                u->links.v[i]);
    }
    return ERR_OK;
}

static struct archive *reader_new(void)
{
    struct archive *a = archive_read_new();
    archive_read_support_format_tar(a);
    archive_read_support_format_zip(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    return a;
}

static enum err unpack_all(struct unpack *u, int archive_fd)
{
    if (archive_read_open_fd(u->archive, archive_fd, 64 * 1024) != ARCHIVE_OK)
        return err_set(u->ctx, ERR_INVALID, "this is neither a tar nor a zip archive: %s",
            archive_error_string(u->archive));
    struct archive_entry *entry;
    for (int rc; (rc = archive_read_next_header(u->archive, &entry)) != ARCHIVE_EOF;) {
        if (rc < ARCHIVE_WARN)
            return err_set(u->ctx, ERR_INVALID, "the archive is damaged: %s",
                archive_error_string(u->archive));
        enum err e = unpack_entry(u, entry);
        if (e != ERR_OK)
            return e;
    }
    if (u->n_entries == 0)
        return err_set(u->ctx, ERR_INVALID, "the archive is empty");
    return check_links(u);
}

enum err unpack_archive(
    int archive_fd, int dir_fd, const struct unpack_limit *limit, struct errctx *ctx)
{
    scoped(archive_donep) struct archive *archive = reader_new();
    struct unpack u = {.archive = archive, .root_fd = dir_fd, .limit = limit, .ctx = ctx};
    enum err e = unpack_all(&u, archive_fd);
    for (size_t i = 0; i < u.links.n; i++)
        free(u.links.v[i]);
    vec_done(&u.links);
    return e;
}
