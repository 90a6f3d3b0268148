/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - libwebsockets on the loop, and what it calls back.
 *
 * lws parses, times out and closes; it keeps a pointer to our request with each connection (its
 * "opaque user data"), set from the last header to the last byte of the answer.  Two habits of lws
 * 4.1 shape the code:
 *
 * - A connection that waits for its answer is still polled for reading, and spins when the client
 *   sends more or leaves.  So reading is switched off (lws_rx_flow_control) while an answer is
 *   pending; that stops writing too, so it is switched on before the answer is written.
 * - A POST, PUT or PATCH without a length is taken to have 100 MB to come.  Such a request ends its
 *   connection.
 * - A body that arrives behind another request in one piece (pipelining) is read from the wrong
 *   place, in a loop that only an error ends.  So an answer to a request with a body is never
 *   written from inside the callbacks for that body, and a body that is over twice closes the
 *   connection.  No client that we know of pipelines bodies.
 */
#include "gateway/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "gateway/guard.h"
#include "gateway/http_private.h"
#include "gateway/stream_private.h"

/* What guard.c lets pass, and what lws adds to each header. */
#define HEADER_BYTES_MAX (20 * 1024)

static struct http *http_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* Of the two connections of a WebSocket one has gone: so does the other. */
static void on_websocket_closed(struct stream *s, struct lws *wsi)
{
    struct lws *other = wsi == s->http ? s->wsi : s->http;
    s->http = NULL;
    s->r->link.wsi = NULL;
    if (other != NULL) {
        lws_set_opaque_user_data(other, NULL);
        lws_set_timeout(other, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    }
    stream_gone(s);
}

/* The client has gone.  Whoever has the request gives its answer to nobody. */
static void on_closed(struct lws *wsi)
{
    struct request *r = lws_get_opaque_user_data(wsi);
    if (r == NULL)
        return;
    lws_set_opaque_user_data(wsi, NULL);
    if (r->stream != NULL && r->stream->is_websocket && r->stream->http != NULL) {
        on_websocket_closed(r->stream, wsi);
        return;
    }
    r->link.wsi = NULL;
    http_release_body(r);
    if (!r->is_over)
        metric_add(&r->gw->metrics.clients_gone, 1);
    if (r->stream != NULL)
        stream_gone(r->stream);
    else if ((r->is_over && !r->is_kept_back) || !r->link.is_dispatched)
        http_end(r);
}

/* ---- connections ---- */

static int on_connect(struct http *h, int fd)
{
    return guard_admit(h->guard, fd) ? 0 : -1;
}

static int on_connected(struct http *h, struct lws *wsi)
{
    if (h->adopting == NULL) /* a WebSocket is an old acquaintance */
        guard_opened(h->guard, wsi);
    return 0;
}

static int on_disconnected(struct http *h, struct lws *wsi)
{
    on_closed(wsi);
    guard_closed(h->guard, wsi);
    return 0;
}

/* ---- what lws calls ---- */

static int on_writeable(struct http *h, struct lws *wsi)
{
    struct request *r = lws_get_opaque_user_data(wsi);
    if (r != NULL && r->stream != NULL)
        return r->stream->wsi == wsi ? stream_http_write(h, r->stream) : 0;
    return r != NULL && r->is_over && !r->is_kept_back ? http_write(h, r) : 0;
}

/* HTTP/2 is declined by forgetting that it was offered, in lws' own copy of the header: its
 * h2c loses long answers and bodies.  A WebSocket is put off in the same way until it is known who
 * asks (stream_http.c).  Any third protocol lws has refused before it asks, and then `protocol`
 * points to memory that it has freed. */
static int on_upgrade(struct http *h, struct lws *wsi, char *protocol)
{
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    if (h->adopting != NULL) {
        h->adopting->wsi = wsi;
        lws_set_opaque_user_data(wsi, h->adopting->r);
        return 0;
    }
    protocol[0] = '\0';
    return 0;
}

static int on_lws(
    struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return on_connect(http_of(wsi), (int)(intptr_t)in);
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        return on_connected(http_of(wsi), wsi);
    case LWS_CALLBACK_HTTP:
        return http_begin(http_of(wsi), wsi, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return http_body(http_of(wsi), wsi, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return http_body_done(http_of(wsi), wsi);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writeable(http_of(wsi), wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(http_of(wsi), wsi, in);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return on_writeable(http_of(wsi), wsi);
    case LWS_CALLBACK_CLOSED:
        on_closed(wsi);
        return 0;
    case LWS_CALLBACK_CLOSED_HTTP:
        on_closed(wsi);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        return on_disconnected(http_of(wsi), wsi);
    case LWS_CALLBACK_RAW_ADOPT: /* CONNECT, which would make a pipe of it */
    case LWS_CALLBACK_RAW_RX:
        return -1;
    default:
        return 0;
    }
}

/* ---- listening ---- */

/* Mostly about what strangers send, so nothing that an operator need see. */
static void on_log(int level, const char *line)
{
    (void)level;
    char text[256];
    snprintf(text, sizeof(text), "%s", line);
    text[strcspn(text, "\n")] = '\0';
    log_debug("libwebsockets says text=%s", LOG_Q(text));
}

/* lws would only say that it could not: find out why, and say it. */
static enum err try_address(const struct gateway_conf *conf, struct errctx *ctx)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)conf->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)conf->port)};
    bool is_v6 = inet_pton(AF_INET6, conf->address, &v6.sin6_addr) == 1;
    if (!is_v6 && inet_pton(AF_INET, conf->address, &v4.sin_addr) != 1)
        return err_set(ctx, ERR_CONFIG, "\"%s\" is no IP address; set --address", conf->address);
    const struct sockaddr *to = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    bool ok = fd >= 0 && bind(fd, to, is_v6 ? sizeof(v6) : sizeof(v4)) == 0 && listen(fd, 1) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (ok)
        return ERR_OK;
    if (why == EADDRINUSE)
        return err_set(ctx, ERR_UNAVAILABLE,
            "port %d of %s is taken by another program; stop it or choose another with --port",
            (int)conf->port, conf->address);
    return err_set(ctx, ERR_UNAVAILABLE, "cannot listen on %s port %d (--address, --port): %s",
        conf->address, (int)conf->port, strerror(why));
}

/* lws sizes its tables by the limit on descriptors, so that limit is the memory for connections. */
static void limit_descriptors(int64_t connections_max)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)HTTP_DESCRIPTORS(connections_max);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max) {
        log_warn("the limit on open files allows fewer connections limit=%llu connections_max=%lld",
            (unsigned long long)limit.rlim_max, (long long)connections_max);
        wanted = limit.rlim_max;
    }
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct lws_protocols protocols[] = {
    {.name = "http",                      .callback = on_lws, .tx_packet_size = HTTP_PIECE_BYTES},
    {.name = NULL},
};

static void fill_info(struct http *h, struct lws_context_creation_info *info, void **loops)
{
    const struct gateway_conf *conf = &h->gw->conf;
    info->port = (int)conf->port;
    info->iface = conf->address;
    info->protocols = protocols;
    info->vhost_name = "stint";
    info->options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                    LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    if (strchr(conf->address, ':') == NULL)
        info->options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    info->foreign_loops = loops;
    info->user = h;
    info->pcontext = &h->context;
    info->max_http_header_data = HEADER_BYTES_MAX;
    info->pt_serv_buf_size = 32 * 1024;
    info->keepalive_timeout = (int)(conf->keepalive_timeout_ms / 1000) + 1;
    /* Longer than guard.c's, which has an answer. */
    info->timeout_secs = HTTP_STALL_SECONDS + (unsigned)(conf->header_timeout_ms / 1000);
    info->server_string = "stint"; /* in lws' own refusals; it insists on one */
}

enum err http_listen(struct gateway *gw, struct http **ret_http, struct errctx *ctx)
{
    enum err e = try_address(&gw->conf, ctx);
    if (e != ERR_OK)
        return e;
    limit_descriptors(gw->conf.connections_max);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    struct http *h = mem_alloc(sizeof(*h));
    h->gw = gw;
    h->guard = guard_new(h);
    void *loops[] = {loop_uv(gw->loop)};
    struct lws_context_creation_info info = {0};
    fill_info(h, &info, loops);
    h->context = lws_create_context(&info);
    h->vhost = h->context != NULL ? lws_create_vhost(h->context, &info) : NULL;
    if (h->vhost == NULL) {
        guard_stop(h->guard);
        guard_free(h->guard);
        free(h);
        return err_set(ctx, ERR_UNAVAILABLE,
            "libwebsockets cannot listen on %s port %d (is libwebsockets-evlib-uv installed?)",
            gw->conf.address, (int)gw->conf.port);
    }
    h->port = lws_get_vhost_listen_port(h->vhost);
    *ret_http = h;
    return ERR_OK;
}

int http_port(const struct http *h)
{
    return h->port;
}

/* ---- the end ---- */

void http_drain(struct http *h, loop_fn done, void *arg)
{
    h->is_draining = true;
    h->drained = done;
    h->drained_arg = arg;
    stream_drain(h->gw);
    if (atomic_load_explicit(&h->gw->metrics.requests_open.value, memory_order_relaxed) == 0)
        loop_post(h->gw->loop, done, arg);
}

void http_close(struct http *h)
{
    guard_stop(h->guard);
    lws_context_destroy(h->context);
}

void http_free(struct http *h)
{
    /* With a loop of ours lws takes its leave in two steps, and sets the pointer to NULL after the
     * second. */
    if (h->context != NULL)
        lws_context_destroy(h->context);
    guard_free(h->guard);
    free(h);
}
