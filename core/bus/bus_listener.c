/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_listener.c - listen, watch, replace.
 *
 *   each second:  canary of the last second brought a pipe? --no--> replace the listener
 *                 send the next canary: connect, say the first word of a REQ peer, keep still
 *
 * Replacing closes all its pipes, those that were accepted and never served above all: their peers
 * believe that they are connected.  Everybody connects again and sends again what was open.
 */
#include "core/bus/bus_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#define WATCH_MS 1000

struct bus_listener {
    nng_socket socket;
    nng_listener listener;
    char *url;
    struct timer *watch;
    int canary;               /* -1: none */
    unsigned pipes_before;    /* when the canary left */
    _Atomic unsigned n_pipes; /* ever made; counted on nng's threads */
};

static bool is_ipc(const char *url)
{
    return strncmp(url, "ipc://", 6) == 0;
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

static int listen_on(struct bus_listener *b, const char *url)
{
    int rv = nng_listener_create(&b->listener, b->socket, url);
    return rv == 0 ? nng_listener_start(b->listener, 0) : rv;
}

/* ---- the watch ---- */

static void on_pipe(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
    struct bus_listener *b = arg;
    (void)pipe;
    (void)ev;
    atomic_fetch_add(&b->n_pipes, 1);
}

static int connect_tcp(const char *url)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    if (sscanf(url, "tcp://%63[^:]:%u", host, &port) != 2 ||
        inet_pton(AF_INET, strcmp(host, "0.0.0.0") == 0 ? "127.0.0.1" : host, &at.sin_addr) != 1)
        return -1; /* a name or IPv6: not watched */
    at.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)connect(fd, (struct sockaddr *)&at, sizeof(at));
    return fd;
}

static int connect_ipc(const char *path)
{
    struct sockaddr_un at;
    if (ipc_address(path, &at, NULL) != ERR_OK)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)connect(fd, (struct sockaddr *)&at, sizeof(at));
    return fd;
}

static void send_canary(struct bus_listener *b)
{
    b->canary = is_ipc(b->url) ? connect_ipc(b->url + 6) : connect_tcp(b->url);
    b->pipes_before = atomic_load(&b->n_pipes);
}

/* The word of a REQ peer.  Said a moment after connecting, which TCP may need. */
static void speak(int fd)
{
    static const char word[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    (void)!send(fd, word, sizeof(word), MSG_NOSIGNAL);
}

static void replace(struct bus_listener *b)
{
    struct stat st = {.st_mode = 0};
    log_warn("a listener hears nobody any more and is replaced url=%s", b->url);
    if (is_ipc(b->url))
        (void)lstat(b->url + 6, &st);
    nng_listener_close(b->listener);
    int rv = listen_on(b, b->url);
    if (rv != 0)
        log_error("cannot listen, trying again in a second url=%s error=%s", b->url,
            LOG_Q(nng_strerror(rv)));
    else if (S_ISSOCK(st.st_mode))
        (void)chmod(b->url + 6, st.st_mode & 07777);
}

static void on_watch(void *arg)
{
    struct bus_listener *b = arg;
    if (b->canary >= 0) {
        bool alive = atomic_load(&b->n_pipes) != b->pipes_before;
        close(b->canary);
        b->canary = -1;
        if (!alive)
            replace(b);
    }
    send_canary(b);
    if (b->canary >= 0)
        speak(b->canary);
}

/* ---- life ---- */

enum err bus_listener_new(struct loop *l, nng_socket socket, const char *url,
    struct bus_listener **ret_listener, struct errctx *ctx)
{
    enum err e = is_ipc(url) ? clear_ipc_path(url + 6, ctx) : ERR_OK;
    if (e != ERR_OK)
        return e;
    struct bus_listener *b = mem_alloc(sizeof(*b));
    b->socket = socket;
    b->canary = -1;
    nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, on_pipe, b);
    int rv = listen_on(b, url);
    if (rv != 0) {
        free(b);
        if (rv == NNG_EADDRINUSE)
            return err_set(ctx, ERR_CONFLICT, "another process listens on %s", url);
        return err_set(ctx, rv == NNG_EINVAL || rv == NNG_EADDRINVAL ? ERR_CONFIG : ERR_IO,
            "cannot listen on %s: %s", url, nng_strerror(rv));
    }
    b->url = real_url(b->listener, url);
    if (is_ipc(url) || strncmp(url, "tcp://", 6) == 0) {
        b->watch = timer_new(l, on_watch, b);
        timer_start(b->watch, WATCH_MS, WATCH_MS);
    }
    *ret_listener = b;
    return ERR_OK;
}

void bus_listener_stop(struct bus_listener *b)
{
    if (b == NULL)
        return;
    if (b->watch != NULL)
        timer_free(b->watch);
    b->watch = NULL;
    if (b->canary >= 0)
        close(b->canary);
    b->canary = -1;
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
