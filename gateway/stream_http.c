/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_http.c - streams over libwebsockets.
 *
 * An event stream is an ordinary answer, in chunks of our own making, so that its end can be told
 * from a lost connection.
 *
 * For a WebSocket lws wants to know on the spot, while it reads the headers, whether it may become
 * one; who asks is known only later.  So the request is taken for an ordinary one, and answered as
 * one when it is refused.  Once it has been found in the right, its socket is given to lws a second
 * time, with the handshake in front, and lws makes a WebSocket of that.  The first connection
 * sleeps until the end, because lws would shut the socket down with it.
 *
 *   client --- socket --+-- first connection: read its headers; asleep; killed at the end
 *                       '-- dup() --> second connection: handshake, frames, pings, close
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "gateway/guard.h"
#include "gateway/stream_private.h"

/* Frames that leave in one turn. */
#define FRAMES_MAX 64
/* What lws calls LWS_WRITE_CLOSE where only it can see. */
#define WRITE_CLOSE 4
/* For a client to answer that a WebSocket is closed. */
#define CLOSE_SECONDS 3

/* ---- beginning ---- */

/* Of an event stream lws reads nothing, and so does not notice that its reader leaves. */
bool stream_http_is_alive(const struct stream *s)
{
    char byte;
    return s->is_websocket ||
           recvfrom(lws_get_socket_fd(s->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) != 0;
}

static void keep_open(struct lws *wsi)
{
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    lws_http_mark_sse(wsi); /* its headers are not needed any more */
}

static void add_handshake(struct strbuf *b, const struct request *r)
{
    strbuf_addf(b,
        "GET %s HTTP/1.1\r\nHost: stint\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
        "/", r->websocket_key);
}

static void kill_connection(struct lws *wsi)
{
    lws_set_opaque_user_data(wsi, NULL);
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

static bool open_websocket(struct http *h, struct stream *s)
{
    struct strbuf handshake;
    struct lws *first = s->r->link.wsi;
    int fd = dup(lws_get_socket_fd(first));
    if (fd < 0) {
        s->r->link.wsi = NULL;
        kill_connection(first);
        return false;
    }
    s->http = first;
    strbuf_init(&handshake);
    add_handshake(&handshake, s->r);
    h->adopting = s;
    (void)lws_adopt_socket_vhost_readbuf(h->vhost, fd, handshake.s, handshake.len);
    h->adopting = NULL;
    strbuf_done(&handshake);
    if (s->wsi == NULL && s->http != NULL) { /* lws refused it before it was one */
        s->http = s->r->link.wsi = NULL;
        kill_connection(first);
    }
    return s->wsi != NULL;
}

bool stream_http_open(struct http *h, struct stream *s)
{
    struct request *r = s->r;
    r->link.is_held = true; /* nothing more is read from this connection */
    lws_rx_flow_control(r->link.wsi, 0);
    keep_open(r->link.wsi);
    guard_upgraded(h->guard, r->link.wsi);
    if (!s->is_websocket) {
        s->wsi = r->link.wsi;
        stream_http_ask(s);
        return true;
    }
    return open_websocket(h, s);
}

void stream_http_ask(struct stream *s)
{
    if (s->wsi == NULL)
        return;
    if (!s->is_websocket && s->r->link.is_held) {
        lws_rx_flow_control(s->wsi, 1);
        s->r->link.is_held = false;
    }
    lws_callback_on_writable(s->wsi);
}

void stream_http_kill(struct stream *s)
{
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

/* ---- event streams ---- */

static int put(
    struct lws *wsi, const char *name, const char *value, unsigned char **p, unsigned char *end)
{
    return lws_add_http_header_by_name(
        wsi, (const unsigned char *)name, (const unsigned char *)value, (int)strlen(value), p, end);
}

static int put_head(struct stream *s, unsigned char **p, unsigned char *end)
{
    struct lws *wsi = s->wsi;
    int bad = lws_add_http_header_status(wsi, 200U | LWSAHH_FLAG_NO_SERVER_NAME, p, end);
    bad |= put(wsi, "content-type:", "text/event-stream", p, end);
    bad |= put(wsi, "cache-control:", "no-cache", p, end);
    bad |= put(wsi, "x-accel-buffering:", "no", p, end);
    bad |= put(wsi, "transfer-encoding:", "chunked", p, end);
    bad |= put(wsi, "connection:", "close", p, end);
    bad |= put(wsi, "x-coder-build-version:", BUILD_VERSION, p, end);
    bad |= put(wsi, "x-request-id:", s->r->id, p, end);
    bad |= lws_finalize_http_header(wsi, p, end);
    s->head_sent = true;
    return bad;
}

static void put_chunk(unsigned char **p, const char *data, size_t n)
{
    *p += sprintf((char *)*p, "%zx\r\n", n);
    memcpy(*p, data, n);
    *p += n;
    memcpy(*p, "\r\n", 2);
    *p += 2;
}

static int write_events(struct http *h, struct stream *s)
{
    static const char ping[] = ": ping\n\n";
    unsigned char *start = h->piece + LWS_PRE, *p = start, *end = start + HTTP_PIECE_BYTES;
    if (!s->head_sent && put_head(s, &p, end) != 0)
        return -1;
    size_t left = s->out.len - s->sent, room = (size_t)(end - p) - 64;
    size_t take = left < room ? left : room;
    if (take > 0)
        put_chunk(&p, s->out.s + s->sent, take);
    else if (s->wants_ping)
        put_chunk(&p, ping, sizeof(ping) - 1);
    s->sent += take;
    bool is_last = s->is_ending && !s->is_busy && s->sent == s->out.len;
    if (is_last && s->why != STREAM_CLOSE_FAILED) {
        memcpy(p, "0\r\n\r\n", 5);
        p += 5;
    }
    if (p > start && lws_write(s->wsi, start, (size_t)(p - start), LWS_WRITE_HTTP) < 0)
        return -1;
    return is_last ? -1 : 0;
}

/* ---- WebSockets ---- */

/* One frame, in pieces when it is long.  -1: the connection is lost. */
static int write_frame(struct http *h, struct lws *wsi, const char *data, size_t n)
{
    unsigned char *start = h->piece + LWS_PRE;
    size_t at = 0;
    do {
        size_t take = n - at < HTTP_PIECE_BYTES ? n - at : HTTP_PIECE_BYTES;
        int how = lws_write_ws_flags(LWS_WRITE_TEXT, at == 0, at + take == n);
        memcpy(start, data + at, take);
        if (lws_write(wsi, start, take, (enum lws_write_protocol)how) < 0)
            return -1;
        at += take;
    } while (at < n);
    return 0;
}

/* lws 4.1 would end a connection that it closes before its close frame has left.  So that frame is
 * ours; the client's ends it, or a little time. */
static int say_end(struct http *h, struct stream *s)
{
    unsigned char *start = h->piece + LWS_PRE;
    start[0] = (unsigned char)(s->why >> 8);
    start[1] = (unsigned char)(s->why & 0xff);
    s->has_said_end = true;
    lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_ACK, CLOSE_SECONDS);
    return lws_write(s->wsi, start, 2, (enum lws_write_protocol)WRITE_CLOSE) < 0 ? -1 : 0;
}

static int write_frames(struct http *h, struct stream *s)
{
    for (int i = 0; i < FRAMES_MAX && s->sent < s->out.len && !lws_send_pipe_choked(s->wsi); i++) {
        uint32_t n;
        memcpy(&n, s->out.s + s->sent, sizeof(n));
        if (write_frame(h, s->wsi, s->out.s + s->sent + sizeof(n), n) != 0)
            return -1;
        s->sent += sizeof(n) + n;
    }
    if (s->wants_ping && s->sent == s->out.len &&
        lws_write(s->wsi, h->piece + LWS_PRE, 0, LWS_WRITE_PING) < 0)
        return -1;
    if (!s->is_ending || s->is_busy || s->sent < s->out.len)
        return 0;
    return s->has_said_end ? 0 : say_end(h, s);
}

/* ---- both ---- */

int stream_http_write(struct http *h, struct stream *s)
{
    s->moved_mono_ms = clock_mono_ms();
    int rc = s->is_websocket ? write_frames(h, s) : write_events(h, s);
    s->wants_ping = false;
    if (rc != 0)
        return rc;
    if (s->sent < s->out.len) {
        lws_callback_on_writable(s->wsi);
        return 0;
    }
    if (!s->is_websocket) {
        lws_rx_flow_control(s->wsi, 0);
        s->r->link.is_held = true;
    }
    stream_emptied(s);
    return 0;
}
