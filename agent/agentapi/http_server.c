/* SPDX-License-Identifier: Apache-2.0 */
/* Listening, counting, looking at the clock, stopping. */
#include "agent/agentapi/http_exchange.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define BACKLOG 128

/* ---- connections ---- */

static void on_sweep(void *arg)
{
    struct http_server *s = arg;
    int64_t now = clock_mono_ms();
    list_for_safe(it, &s->exchanges)
    {
        struct exchange *x = container_of(it, struct exchange, link);
        bool is_over = s->is_stopping && now >= s->stop_deadline;
        if (!is_over && (x->deadline == 0 || now < x->deadline))
            continue;
        if (!is_over && x->has_begun && (x->stage == HEAD || x->stage == BODY))
            exchange_refuse(x, 408, "The request took too long.\n");
        else
            exchange_close(x);
    }
    http_server_check_stopped(s);
}

static void on_refused_closed(uv_handle_t *handle)
{
    free(handle);
}

/* One too many: a sentence if it fits into the socket, and good-bye. */
static void turn_away(uv_stream_t *listener)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Retry-After: 1\r\nConnection: close\r\n\r\n";
    uv_tcp_t *tcp = mem_alloc(sizeof(*tcp));
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, sizeof(text) - 1);
    uv_tcp_init(listener->loop, tcp);
    if (uv_accept(listener, (uv_stream_t *)tcp) == 0)
        uv_try_write((uv_stream_t *)tcp, &buf, 1);
    uv_close((uv_handle_t *)tcp, on_refused_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_server *s = listener->data;
    if (status != 0)
        return;
    if (s->n_exchanges == HTTP_CONNECTIONS_MAX) {
        log_warn("too many connections, turned one away limit=%d", HTTP_CONNECTIONS_MAX);
        turn_away(listener);
        return;
    }
    struct exchange *x = mem_alloc(sizeof(*x));
    x->server = s;
    strbuf_init(&x->head);
    strbuf_init(&x->body);
    strbuf_init(&x->ahead);
    strbuf_init(&x->extra);
    list_append(&s->exchanges, &x->link);
    s->n_exchanges++;
    uv_tcp_init(listener->loop, &x->tcp);
    if (uv_accept(listener, (uv_stream_t *)&x->tcp) != 0) {
        exchange_close(x);
        return;
    }
    uv_tcp_nodelay(&x->tcp, 1);
    uv_tcp_keepalive(&x->tcp, 1, 60);
    exchange_begin(x);
}

/* ---- life ---- */

struct http_server *http_server_new(struct loop *l, const struct http_handler *handler)
{
    struct http_server *s = mem_alloc(sizeof(*s));
    s->loop = l;
    s->handler = *handler;
    list_init(&s->exchanges);
    s->sweep = timer_new(l, on_sweep, s);
    timer_start(s->sweep, HTTP_SWEEP_MS, HTTP_SWEEP_MS);
    return s;
}

static int bind_to(uv_tcp_t *tcp, const char *address, int port, int *ret_port)
{
    struct sockaddr_storage at;
    unsigned flags = 0;
    int status = uv_ip4_addr(address, port, (struct sockaddr_in *)&at);
    if (status != 0 && (status = uv_ip6_addr(address, port, (struct sockaddr_in6 *)&at)) == 0)
        flags = strcmp(address, "::") == 0 ? 0 : UV_TCP_IPV6ONLY;
    if (status == 0)
        status = uv_tcp_bind(tcp, (struct sockaddr *)&at, flags);
    if (status == 0)
        status = uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
    int n = sizeof(at);
    if (status == 0)
        status = uv_tcp_getsockname(tcp, (struct sockaddr *)&at, &n);
    if (status == 0)
        *ret_port = ntohs(((struct sockaddr_in *)&at)->sin_port); /* of IPv6 in the same place */
    return status;
}

enum err http_server_listen(
    struct http_server *s, const char *address, int *port, struct errctx *ctx)
{
    if (s->n_listeners == LISTENERS_MAX)
        return err_set(ctx, ERR_FULL, "too many addresses");
    uv_tcp_t *tcp = mem_alloc(sizeof(*tcp));
    uv_tcp_init(loop_uv(s->loop), tcp);
    tcp->data = s;
    int status = bind_to(tcp, address, *port, port);
    if (status == 0) {
        s->listeners[s->n_listeners++] = tcp;
        return ERR_OK;
    }
    uv_close((uv_handle_t *)tcp, on_refused_closed);
    return err_set(ctx, ERR_UNAVAILABLE, "cannot listen on %s port %d: %s", address, *port,
        uv_strerror(status));
}

static void close_listeners(struct http_server *s)
{
    while (s->n_listeners > 0)
        uv_close((uv_handle_t *)s->listeners[--s->n_listeners], on_refused_closed);
}

void http_server_check_stopped(struct http_server *s)
{
    if (!s->is_stopping || !list_is_empty(&s->exchanges) || s->stopped == NULL)
        return;
    loop_post(s->loop, s->stopped, s->stopped_arg);
    s->stopped = NULL;
}

void http_server_stop(struct http_server *s, int64_t grace_ms, loop_fn done, void *arg)
{
    s->is_stopping = true;
    s->stop_deadline = clock_mono_ms() + grace_ms;
    s->stopped = done;
    s->stopped_arg = arg;
    close_listeners(s);
    list_for_safe(it, &s->exchanges)
    {
        struct exchange *x = container_of(it, struct exchange, link);
        if (x->stage == STREAMING)
            exchange_end_stream(x);
        else if (x->stage == HEAD && !x->has_begun)
            exchange_close(x);
    }
    timer_start(s->sweep, 50, 50);
    http_server_check_stopped(s);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    s->stopped = NULL;
    close_listeners(s);
    list_for_safe(it, &s->exchanges) exchange_close(container_of(it, struct exchange, link));
    timer_free(s->sweep);
    free(s);
}
