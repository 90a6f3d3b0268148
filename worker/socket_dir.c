/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_dir.c - a socket is dead when connecting to it is refused; one that is seconds old may be
 * bound but not yet listened on, so it is given time.
 */
#include "worker/socket_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/strbuf.h"

#define NEWBORN_S 10

char *socket_dir_path(const char *data_dir)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/agents", data_dir);
    return strbuf_detach(&path);
}

char *socket_dir_socket(const char *dir, const struct uuid *worker_id)
{
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/%s.sock", dir, uuid_format(worker_id).s);
    return strbuf_detach(&path);
}

/* Hears the first word of a living worker out: nng's listener does not bear it otherwise. */
static bool is_refused(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return false;
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct timeval patience = {.tv_usec = 300000};
    char word[8];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    bool refused =
        connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 && errno == ECONNREFUSED;
    if (!refused)
        (void)!recv(fd, word, sizeof(word), 0);
    close(fd);
    return refused;
}

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

void socket_dir_sweep(const char *dir_path)
{
    DIR *dir = opendir(dir_path);
    if (dir == NULL)
        return;
    struct strbuf path;
    strbuf_init(&path);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (!is_worker_socket(entry->d_name) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        strbuf_clear(&path);
        strbuf_addf(&path, "%s/%s", dir_path, entry->d_name);
        if (S_ISSOCK(st.st_mode) && time(NULL) - st.st_mtime > NEWBORN_S && is_refused(path.s) &&
            unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            log_info("removed the socket of a dead worker socket=%s", path.s);
    }
    strbuf_done(&path);
    closedir(dir);
}
