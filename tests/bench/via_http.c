/* SPDX-License-Identifier: Apache-2.0 */
/*
 * via_http.c - POST /api/v2/tasks/me over connections that are kept alive, one request at a time
 * each.  Just enough of HTTP/1.1 for the gateway's answers, which have a Content-Length.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/vec.h"
#include "tests/bench/via.h"

/* Each prompt begins with a word of its own, because the gateway makes the task's name of it. */
#define MARK "0123456789abcdef"

struct connection {
    struct via_http *v;
    struct list idle;
    uv_tcp_t tcp;
    uv_connect_t connecting;
    struct create *create; /* NULL while idle */
    struct strbuf in;
    char room[16384];
};

struct via_http {
    struct via via;
    struct connection *connections;
    unsigned n, n_up;
    struct list idle;             /* longest idle first, so that none is idle for long */
    VEC(struct create *) waiting; /* oldest first, from `next_waiting` */
    size_t next_waiting;
    struct strbuf request;
    size_t mark; /* where in it the prompt's mark stands */
};

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
    fprintf(stderr, "stint-bench: %s: %s\n", what, why);
    exit(1);
}

static void write_request(struct connection *c, struct create *create)
{
    struct strbuf *r = &c->v->request;
    struct uuid random = uuid_random();
    struct uuid_str word = uuid_format(&random);
    memcpy(r->s + c->v->mark, word.s, 8);
    memcpy(r->s + c->v->mark + 8, word.s + 28, 8);
    uv_buf_t buf = uv_buf_init(r->s, (unsigned)r->len);
    c->create = create;
    strbuf_clear(&c->in);
    /* An idle connection has room for one request. */
    if (uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) != (int)r->len)
        die("gateway", "does not take a request");
}

static void next_create(struct connection *c)
{
    struct via_http *v = c->v;
    if (v->next_waiting < v->waiting.n) {
        write_request(c, v->waiting.v[v->next_waiting++]);
        return;
    }
    list_append(&v->idle, &c->idle);
}

static void on_answer(struct connection *c, const char *body)
{
    struct create *create = c->create;
    struct via *via = &c->v->via;
    bool ok = strncmp(c->in.s, "HTTP/1.1 201", 12) == 0;
    const char *id = strstr(body, "\"id\":\"");
    char text[UUID_STR_LEN + 1] = "";
    if (ok && id != NULL)
        snprintf(text, sizeof(text), "%.36s", id + 6);
    ok = ok && uuid_parse(text, &create->task_id);
    c->create = NULL;
    next_create(c);
    via->done(via->arg, create, ok, body);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    if (n < 0)
        die("gateway", uv_strerror((int)n));
    strbuf_add(&c->in, buf->base, (size_t)n);
    const char *end = strstr(c->in.s, "\r\n\r\n");
    const char *length = end != NULL ? strcasestr(c->in.s, "\r\ncontent-length:") : NULL;
    if (end == NULL)
        return;
    size_t body = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    if (c->in.len >= (size_t)(end + 4 - c->in.s) + body)
        on_answer(c, end + 4);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)suggested;
    *buf = uv_buf_init(c->room, sizeof(c->room));
}

static void on_connected(uv_connect_t *connecting, int status)
{
    struct connection *c = connecting->data;
    if (status != 0)
        die("cannot connect to the gateway", uv_strerror(status));
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
    c->v->n_up++;
    next_create(c);
}

static bool is_ready(const struct via *via)
{
    const struct via_http *v = container_of(via, struct via_http, via);
    return v->n_up == v->n;
}

static void send_create(struct via *via, struct create *create)
{
    struct via_http *v = container_of(via, struct via_http, via);
    struct list *idle = list_pop(&v->idle);
    if (idle != NULL)
        write_request(container_of(idle, struct connection, idle), create);
    else
        *vec_push(&v->waiting) = create;
}

static void via_free(struct via *via)
{
    struct via_http *v = container_of(via, struct via_http, via);
    for (unsigned i = 0; i < v->n; i++)
        uv_close((uv_handle_t *)&v->connections[i].tcp, NULL);
    /* The memory goes with the process: libuv still looks at closing handles. */
}

static void make_request(struct via_http *v, const char *host, const struct what *what)
{
    const char *token = getenv("STINT_TOKEN");
    if (token == NULL)
        die("STINT_TOKEN", "is not set");
    struct strbuf body;
    strbuf_init(&body);
    strbuf_addf(&body, "{\"template_version_id\":\"%s\",\"input\":\"" MARK " %s\"}",
        uuid_format(&what->version_id).s, what->prompt);
    strbuf_init(&v->request);
    strbuf_addf(&v->request,
        "POST /api/v2/tasks/me HTTP/1.1\r\nHost: %s\r\nCoder-Session-Token: %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        host, token, body.len, body.s);
    v->mark = (size_t)(strstr(v->request.s, MARK) - v->request.s);
    strbuf_done(&body);
}

struct via *via_http(struct loop *l, const char *url, unsigned connections, const struct what *what)
{
    char host[64];
    int port;
    struct sockaddr_in address;
    if (sscanf(url, "http://%63[^:/]:%d", host, &port) != 2 ||
        uv_ip4_addr(host, port, &address) != 0)
        die(url, "is not http://address:port");
    struct via_http *v = mem_alloc(sizeof(*v));
    v->via = (struct via){is_ready, send_create, via_free, NULL, NULL};
    v->n = connections;
    list_init(&v->idle);
    v->connections = mem_calloc(connections, sizeof(*v->connections));
    make_request(v, host, what);
    for (unsigned i = 0; i < connections; i++) {
        struct connection *c = &v->connections[i];
        c->v = v;
        strbuf_init(&c->in);
        uv_tcp_init(loop_uv(l), &c->tcp);
        c->tcp.data = c->connecting.data = c;
        uv_tcp_connect(&c->connecting, &c->tcp, (const struct sockaddr *)&address, on_connected);
    }
    return &v->via;
}
