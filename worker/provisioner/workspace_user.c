/* SPDX-License-Identifier: Apache-2.0 */
/* workspace_user.c - numbers are handed out upwards and never again while the counter lives. */
#include "worker/provisioner/workspace_user.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"

/* Where this data directory's numbers begin: two installations on one host rarely share users. */
static uid_t first_number(const struct workspace *ws)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *p = ws->data_dir; *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    return WORKSPACE_UID_FIRST + hash % 1000000 * 1000;
}

static bool is_in_range(uid_t uid)
{
    return uid >= WORKSPACE_UID_FIRST && uid <= WORKSPACE_UID_LAST;
}

/* One above the largest in use: for a counter that was lost. */
static uid_t above_all(struct workspace *ws)
{
    uid_t next = first_number(ws);
    int fd = openat(ws->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return next;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[300];
        struct stat st;
        snprintf(path, sizeof(path), "%s/home", entry->d_name);
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_in_range(st.st_uid) && st.st_uid >= next)
            next = st.st_uid + 1;
    }
    closedir(dir);
    return next;
}

static enum err take_number(struct workspace *ws, int fd, uid_t *ret_uid, struct errctx *ctx)
{
    char text[16] = "";
    if (flock(fd, LOCK_EX) != 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
        return file_errno(ctx, "cannot read %s/next_uid", ws->data_dir);
    unsigned long had = strtoul(text, NULL, 10);
    uid_t uid = had <= WORKSPACE_UID_LAST && is_in_range((uid_t)had) ? (uid_t)had : above_all(ws);
    int n = snprintf(text, sizeof(text), "%-10u\n",
        (unsigned)(uid == WORKSPACE_UID_LAST ? WORKSPACE_UID_FIRST : uid + 1));
    if (pwrite(fd, text, (size_t)n, 0) != n || fdatasync(fd) != 0)
        return file_errno(ctx, "cannot write %s/next_uid", ws->data_dir);
    *ret_uid = uid;
    return ERR_OK;
}

static enum err new_number(struct workspace *ws, uid_t *ret_uid, struct errctx *ctx)
{
    scoped_fd int fd =
        openat(ws->parent_fd, "../next_uid", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return file_errno(ctx, "cannot open %s/next_uid", ws->data_dir);
    return take_number(ws, fd, ret_uid, ctx);
}

enum err workspace_user_find(struct workspace *ws, struct errctx *ctx)
{
    ws->uid = geteuid();
    ws->gid = getegid();
    ws->own_user = ws->uid == 0;
    if (!ws->own_user)
        return ERR_OK;

    struct stat st;
    if (fstatat(ws->dir_fd, "home", &st, AT_SYMLINK_NOFOLLOW) == 0 && is_in_range(st.st_uid)) {
        ws->uid = ws->gid = st.st_uid;
        return ERR_OK;
    }
    enum err e = new_number(ws, &ws->uid, ctx);
    ws->gid = ws->uid;
    return e;
}
