/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_dir.c - lock first, then listen; sweep sockets, not locks.  So a socket without a held
 * lock is always a dead worker's.
 */
#include "worker/socket_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "worker/file.h"

struct socket_dir {
    int sockets_fd; /* <data_dir>/agents */
    int locks_fd;   /* <data_dir>/workers */
    int own_lock;
    char own_name[UUID_STR_LEN + 6];
    char *socket;
};

/* "<worker_id>.sock" as the name of its lock too. */
static void name_of(const struct uuid *id, char ret_name[static UUID_STR_LEN + 6])
{
    snprintf(ret_name, UUID_STR_LEN + 6, "%s.sock", uuid_format(id).s);
}

static enum err take_lock(struct socket_dir *d, struct errctx *ctx)
{
    d->own_lock = openat(d->locks_fd, d->own_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->own_lock < 0 || flock(d->own_lock, LOCK_EX | LOCK_NB) != 0)
        return file_errno(ctx, "cannot lock %s", d->own_name);
    return ERR_OK;
}

static enum err open_dirs(struct socket_dir *d, const char *data_dir, struct errctx *ctx)
{
    scoped_fd int data_fd = -1;
    enum err e = file_open_dir(AT_FDCWD, data_dir, &data_fd, ctx);
    if (e == ERR_OK)
        e = file_open_dir(data_fd, "agents", &d->sockets_fd, ctx);
    if (e == ERR_OK)
        e = file_make_dir(data_fd, "workers", 0700, ctx);
    if (e == ERR_OK)
        e = file_open_dir(data_fd, "workers", &d->locks_fd, ctx);
    return e;
}

enum err socket_dir_open(const char *data_dir, const struct uuid *worker_id,
    struct socket_dir **ret_dir, struct errctx *ctx)
{
    struct socket_dir *d = mem_alloc(sizeof(*d));
    *d = (struct socket_dir){.sockets_fd = -1, .locks_fd = -1, .own_lock = -1};
    name_of(worker_id, d->own_name);
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/agents/%s", data_dir, d->own_name);
    d->socket = strbuf_detach(&path);
    enum err e = open_dirs(d, data_dir, ctx);
    if (e == ERR_OK)
        e = take_lock(d, ctx);
    if (e == ERR_OK)
        *ret_dir = d;
    else
        socket_dir_close(d);
    return e;
}

void socket_dir_close(struct socket_dir *d)
{
    if (d == NULL)
        return;
    if (d->own_lock >= 0) {
        (void)unlinkat(d->sockets_fd, d->own_name, 0);
        (void)unlinkat(d->locks_fd, d->own_name, 0);
    }
    file_closep(&d->own_lock);
    file_closep(&d->locks_fd);
    file_closep(&d->sockets_fd);
    free(d->socket);
    free(d);
}

const char *socket_dir_socket(const struct socket_dir *d)
{
    return d->socket;
}

/* ---- sweep ---- */

static bool is_worker_socket(const char *name)
{
    struct uuid id;
    char text[UUID_STR_LEN + 1];
    if (strlen(name) != UUID_STR_LEN + 5 || strcmp(name + UUID_STR_LEN, ".sock") != 0)
        return false;
    memcpy(text, name, UUID_STR_LEN);
    text[UUID_STR_LEN] = '\0';
    return uuid_parse(text, &id);
}

static bool is_dead(const struct socket_dir *d, const char *name)
{
    scoped_fd int lock = openat(d->locks_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (lock < 0)
        return errno == ENOENT;
    return flock(lock, LOCK_EX | LOCK_NB) == 0;
}

void socket_dir_sweep(struct socket_dir *d)
{
    int fd = openat(d->sockets_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        if (!is_worker_socket(name) || strcmp(name, d->own_name) == 0 || !is_dead(d, name))
            continue;
        if (unlinkat(d->sockets_fd, name, 0) == 0)
            log_info("removed the socket of a dead worker socket=%s", name);
        (void)unlinkat(d->locks_fd, name, 0);
    }
    closedir(dir);
}
