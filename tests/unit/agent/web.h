/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web.h - an HTTP server for the agent's tests, on the test's own loop and a port of the kernel's
 * choice: it says exactly the bytes it is told to.
 */
#ifndef TESTS_UNIT_AGENT_WEB_H
#define TESTS_UNIT_AGENT_WEB_H

#include <arpa/inet.h>
#include <stdarg.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/unit/agent/lab.h"

struct web_conn;
/* A whole request has come: "METHOD /path" and its body.  web_gone(): the connection has ended. */
typedef void (*web_fn)(void *arg, struct web_conn *c, const char *what, const char *body);

struct web {
    struct loop *loop;
    uv_tcp_t tcp;
    int port;
    char url[64];
    struct list conns;
    unsigned n_requests;
    web_fn on_request;
    void *arg;
};

struct web_conn {
    uv_tcp_t tcp;
    struct list item;
    struct web *web;
    struct strbuf in;
    char *head; /* the last request's */
    void *mark; /* the test's */
    char buf[64 * 1024];
};

static inline void web_on_closed(uv_handle_t *h)
{
    struct web_conn *c = h->data;
    strbuf_done(&c->in);
    free(c->head);
    free(c);
}

static inline void web_close(struct web_conn *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    list_unlink(&c->item);
    uv_close((uv_handle_t *)&c->tcp, web_on_closed);
}

/* What has been written goes out before the end does. */
static inline void web_on_shut(uv_shutdown_t *req, int status)
{
    (void)status;
    web_close(req->data);
    free(req);
}

static inline void web_end(struct web_conn *c)
{
    uv_shutdown_t *req = mem_alloc(sizeof(*req));
    req->data = c;
    if (uv_shutdown(req, (uv_stream_t *)&c->tcp, web_on_shut) != 0) {
        free(req);
        web_close(c);
    }
}

struct web_write {
    uv_write_t req;
    char *data;
};

static inline void web_on_written(uv_write_t *req, int status)
{
    (void)status;
    struct web_write *w = (struct web_write *)req;
    free(w->data);
    free(w);
}

static inline void web_sendn(struct web_conn *c, const char *data, size_t n)
{
    struct web_write *w = mem_alloc(sizeof(*w));
    w->data = mem_dup(data, n);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, web_on_written) != 0)
        web_on_written(&w->req, -1);
}

static inline void web_send(struct web_conn *c, const char *text)
{
    web_sendn(c, text, strlen(text));
}

/* A whole answer, and the end of the connection. */
static inline void web_answer(struct web_conn *c, const char *status, const char *body)
{
    struct strbuf out;
    strbuf_init(&out);
    strbuf_addf(&out,
        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
        strlen(body), body);
    web_sendn(c, out.s, out.len);
    strbuf_done(&out);
    web_end(c);
}

static inline void web_look(struct web_conn *c)
{
    const char *end = strstr(c->in.s, "\r\n\r\n");
    if (end == NULL)
        return;
    const char *length = strcasestr(c->in.s, "\r\nContent-Length:");
    size_t n = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (c->in.len < (size_t)(end + 4 - c->in.s) + n)
        return;
    char what[128] = "";
    const char *version = strstr(c->in.s, " HTTP/1.");
    assert_non_null(version);
    snprintf(what, sizeof(what), "%.*s", (int)(version - c->in.s), c->in.s);
    char *body = mem_strndup(end + 4, n);
    free(c->head);
    c->head = mem_strndup(c->in.s, (size_t)(end + 4 - c->in.s));
    strbuf_clear(&c->in);
    c->web->n_requests++;
    c->web->on_request(c->web->arg, c, what, body);
    free(body);
}

static inline void web_on_buf(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    (void)n;
    struct web_conn *c = h->data;
    *buf = uv_buf_init(c->buf, sizeof(c->buf));
}

static inline void web_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct web_conn *c = stream->data;
    if (n < 0) {
        web_close(c);
        return;
    }
    strbuf_add(&c->in, buf->base, (size_t)n);
    web_look(c);
}

static inline void web_on_conn(uv_stream_t *stream, int status)
{
    struct web *web = stream->data;
    assert_int_equal(status, 0);
    struct web_conn *c = mem_alloc(sizeof(*c));
    c->web = web;
    strbuf_init(&c->in);
    uv_tcp_init(loop_uv(web->loop), &c->tcp);
    c->tcp.data = c;
    list_append(&web->conns, &c->item);
    assert_int_equal(uv_accept(stream, (uv_stream_t *)&c->tcp), 0);
    uv_read_start((uv_stream_t *)&c->tcp, web_on_buf, web_on_read);
}

static inline void web_open(struct web *web, struct loop *l, web_fn on_request, void *arg)
{
    struct sockaddr_in at;
    int n = sizeof(at);
    *web = (struct web){.loop = l, .on_request = on_request, .arg = arg};
    list_init(&web->conns);
    uv_tcp_init(loop_uv(l), &web->tcp);
    web->tcp.data = web;
    uv_ip4_addr("127.0.0.1", 0, &at);
    assert_int_equal(uv_tcp_bind(&web->tcp, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&web->tcp, 16, web_on_conn), 0);
    assert_int_equal(uv_tcp_getsockname(&web->tcp, (struct sockaddr *)&at, &n), 0);
    web->port = ntohs(at.sin_port);
    snprintf(web->url, sizeof(web->url), "http://localhost:%d", web->port);
}

/* All connections end; new ones come. */
static inline void web_drop_all(struct web *web)
{
    list_for_safe(it, &web->conns)
    {
        web_close(container_of(it, struct web_conn, item));
    }
}

static inline void web_shut(struct web *web)
{
    web_drop_all(web);
    uv_close((uv_handle_t *)&web->tcp, NULL);
}

#endif
