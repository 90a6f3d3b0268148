/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus/bus_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

struct bus_listener {
    nng_listener listener;
    char *url;
};

/* Takes the place of libc's in this process; the header says why.  Same contract but for EPIPE. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    ssize_t n = syscall(SYS_sendmsg, fd, message, flags);
    if (n < 0 && errno == EPIPE)
        errno = ECONNRESET;
    return n;
}

/* ---- paths of ipc ---- */

static enum err ipc_address(const char *path, struct sockaddr_un *ret_at, struct errctx *ctx)
{
    *ret_at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret_at->sun_path))
        return err_set(ctx, ERR_CONFIG, "%s is too long for a socket (at most %zu bytes)", path,
            sizeof(ret_at->sun_path) - 1);
    strcpy(ret_at->sun_path, path);
    return ERR_OK;
}

/* Does anybody listen there?  Hears the first word out, so as not to hurt a listener of nng's. */
static bool is_listened_on(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_usec = 300000};
    char word[8];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    bool yes = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno == EAGAIN;
    if (yes && recv(fd, word, sizeof(word), 0) < 0)
        log_debug("a listener says nothing path=%s", at->sun_path);
    close(fd);
    return yes;
}

/* A socket file that nobody listens on is what a dead process left: take it away. */
static enum err clear_ipc_path(const char *path, struct errctx *ctx)
{
    struct sockaddr_un at;
    struct stat st;
    enum err e = ipc_address(path, &at, ctx);
    if (e != ERR_OK)
        return e;
    if (lstat(path, &st) != 0)
        return ERR_OK; /* listening will say what is wrong, if anything */
    if (!S_ISSOCK(st.st_mode))
        return err_set(ctx, ERR_CONFLICT, "%s exists and is not a socket", path);
    if (is_listened_on(&at))
        return err_set(ctx, ERR_CONFLICT, "another process listens on %s", path);
    unlink(path);
    return ERR_OK;
}

/* ---- listening ---- */

/* scheme://host:0/path with the port that the system chose. */
static char *real_url(nng_listener listener, const char *url)
{
    char text[512];
    int port = 0;
    const char *colon = strrchr(url, ':'), *host = strstr(url, "://");
    if (colon == NULL || host == NULL || colon <= host || strncmp(colon, ":0", 2) != 0 ||
        (colon[2] != '\0' && colon[2] != '/') ||
        nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) != 0)
        return mem_strdup(url);
    snprintf(text, sizeof(text), "%.*s:%d%s", (int)(colon - url), url, port, colon + 2);
    return mem_strdup(text);
}

enum err bus_listener_new(
    nng_socket socket, const char *url, struct bus_listener **ret_listener, struct errctx *ctx)
{
    enum err e = strncmp(url, "ipc://", 6) == 0 ? clear_ipc_path(url + 6, ctx) : ERR_OK;
    if (e != ERR_OK)
        return e;
    nng_listener listener;
    int rv = nng_listener_create(&listener, socket, url);
    if (rv == 0)
        rv = nng_listener_start(listener, 0);
    if (rv == NNG_EADDRINUSE)
        return err_set(ctx, ERR_CONFLICT, "another process listens on %s", url);
    if (rv != 0)
        return err_set(ctx, rv == NNG_EINVAL || rv == NNG_EADDRINVAL ? ERR_CONFIG : ERR_IO,
            "cannot listen on %s: %s", url, nng_strerror(rv));
    struct bus_listener *b = mem_alloc(sizeof(*b));
    b->listener = listener;
    b->url = real_url(listener, url);
    *ret_listener = b;
    return ERR_OK;
}

void bus_listener_free(struct bus_listener *b)
{
    if (b == NULL)
        return;
    free(b->url);
    free(b);
}

const char *bus_listener_url(const struct bus_listener *b)
{
    return b->url;
}
