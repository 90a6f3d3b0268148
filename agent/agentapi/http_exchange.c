/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   HEAD ──header──> BODY ──whole──> HANDLING ──reply──> REPLYING ──written──> HEAD (kept alive)
 *                                        └──stream──> STREAMING                └──> LINGERING ──>
 * gone
 *
 * A reply that ends a connection lingers: what the client still sends is read and dropped for a
 * moment, or its kernel would throw our reply away with the reset.
 */
#include "agent/agentapi/http_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define LINGER_MS 2000
#define AHEAD_MAX (64 * 1024) /* of a next request, kept while one is handled */

struct http_piece {
    unsigned refs;
    size_t n;
    char frame[24]; /* the chunk's length */
    char data[];
};

static void feed(struct exchange *x, const char *data, size_t n);

/* ---- ends ---- */

static void on_exchange_closed(uv_handle_t *handle)
{
    struct exchange *x = (struct exchange *)handle;
    strbuf_done(&x->head);
    strbuf_done(&x->body);
    strbuf_done(&x->ahead);
    strbuf_done(&x->extra);
    free(x);
}

static void gone(struct exchange *x)
{
    loop_fn fn = x->on_gone;
    x->on_gone = NULL;
    if (fn != NULL)
        fn(x->on_gone_arg);
}

void exchange_close(struct exchange *x)
{
    if (x->stage == CLOSING)
        return;
    x->stage = CLOSING;
    gone(x);
    list_unlink(&x->link);
    x->server->n_exchanges--;
    uv_close((uv_handle_t *)&x->tcp, on_exchange_closed);
    http_server_check_stopped(x->server);
}

static void set_deadline(struct exchange *x, int64_t ms)
{
    x->deadline = ms > 0 ? clock_mono_ms() + ms : 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    (void)status;
    free(req);
}

static void linger(struct exchange *x)
{
    x->stage = LINGERING;
    set_deadline(x, LINGER_MS);
    uv_shutdown_t *req = mem_alloc(sizeof(*req));
    if (uv_shutdown(req, (uv_stream_t *)&x->tcp, on_shutdown) != 0)
        free(req);
    if (x->at_eof)
        exchange_close(x);
}

/* ---- the request ---- */

const char *exchange_method(const struct exchange *x)
{
    return http_method_str((enum http_method)x->parser.method);
}

const char *exchange_path(const struct exchange *x)
{
    return x->head.s;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    for (size_t i = 0; i < x->n_headers; i++)
        if (strcasecmp(x->head.s + x->headers[i].name, name) == 0)
            return x->head.s + x->headers[i].value;
    return NULL;
}

const struct strbuf *exchange_body(const struct exchange *x)
{
    return &x->body;
}

bool exchange_is_too_large(const struct exchange *x)
{
    return x->is_too_large;
}

void exchange_on_gone(struct exchange *x, loop_fn fn, void *arg)
{
    x->on_gone = fn;
    x->on_gone_arg = arg;
}

static int add_head(struct exchange *x, const char *data, size_t n)
{
    if (x->head.len + n + 2 > HTTP_HEAD_MAX) {
        x->refuse = 431;
        return -1;
    }
    strbuf_add(&x->head, data, n);
    return 0;
}

static int on_url(http_parser *p, const char *data, size_t n)
{
    return add_head(p->data, data, n);
}

static int on_name(http_parser *p, const char *data, size_t n)
{
    struct exchange *x = p->data;
    if (x->part != PART_NAME) {
        if (x->n_headers == HTTP_HEADERS_MAX) {
            x->refuse = 431;
            return -1;
        }
        strbuf_addch(&x->head, '\0');
        x->headers[x->n_headers] = (struct header){x->head.len, x->head.len};
        x->part = PART_NAME;
    }
    return add_head(x, data, n);
}

static int on_value(http_parser *p, const char *data, size_t n)
{
    struct exchange *x = p->data;
    if (x->part != PART_VALUE) {
        strbuf_addch(&x->head, '\0');
        x->headers[x->n_headers++].value = x->head.len;
        x->part = PART_VALUE;
    }
    return add_head(x, data, n);
}

static void say_continue(struct exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const char *expect = exchange_header(x, "Expect");
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, sizeof(text) - 1);
    if (expect != NULL && strcasecmp(expect, "100-continue") == 0 && !x->is_too_large)
        uv_try_write((uv_stream_t *)&x->tcp, &buf, 1);
}

static int on_head(http_parser *p)
{
    struct exchange *x = p->data;
    char *query = strpbrk(x->head.s, "?#");
    if (query != NULL)
        *query = '\0';
    x->stage = BODY;
    set_deadline(x, HTTP_BODY_MS);
    x->body_max = x->server->handler.body_max(x->server->handler.arg, x);
    bool has_length = p->content_length != UINT64_MAX && (p->flags & F_CHUNKED) == 0;
    x->is_too_large = has_length && p->content_length > x->body_max;
    say_continue(x);
    return x->is_too_large && p->content_length > HTTP_DISCARD_MAX ? 1 : 0; /* 1: no body */
}

static int on_body(http_parser *p, const char *data, size_t n)
{
    struct exchange *x = p->data;
    if (!x->is_too_large && x->body.len + n > x->body_max)
        x->is_too_large = true;
    if (!x->is_too_large) {
        strbuf_add(&x->body, data, n);
        return 0;
    }
    strbuf_clear(&x->body);
    x->discarded += n;
    if (x->discarded <= HTTP_DISCARD_MAX)
        return 0;
    x->refuse = 413;
    return -1;
}

static int on_complete(http_parser *p)
{
    struct exchange *x = p->data;
    x->is_complete = true;
    x->keep_alive = http_should_keep_alive(p) && !p->upgrade &&
                    !(x->is_too_large && p->content_length > HTTP_DISCARD_MAX);
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings callbacks = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void begin_request(struct exchange *x)
{
    x->stage = HEAD;
    x->part = PART_URL;
    x->n_headers = 0;
    x->is_too_large = x->is_complete = x->has_begun = false;
    x->discarded = 0;
    strbuf_clear(&x->head);
    strbuf_reserve(&x->head, 1);
    strbuf_clear(&x->body);
    strbuf_clear(&x->extra);
    set_deadline(x, HTTP_IDLE_MS);
    http_parser_init(&x->parser, HTTP_REQUEST);
    x->parser.data = x;
}

void exchange_refuse(struct exchange *x, int status, const char *sentence)
{
    x->keep_alive = false;
    x->stage = HANDLING;
    exchange_reply(x, status, "text/plain; charset=utf-8", sentence, strlen(sentence));
}

static void refuse_broken(struct exchange *x)
{
    if (x->refuse == 431)
        exchange_refuse(x, 431, "The request's header is too large.\n");
    else if (x->refuse == 413)
        exchange_refuse(x, 413, "The request's body is too large.\n");
    else
        exchange_refuse(x, 400, "This is not an HTTP/1.1 request.\n");
}

static void hold_ahead(struct exchange *x, const char *data, size_t n)
{
    strbuf_add(&x->ahead, data, n);
    if (x->ahead.len > AHEAD_MAX)
        uv_read_stop((uv_stream_t *)&x->tcp);
}

static void feed(struct exchange *x, const char *data, size_t n)
{
    if (x->stage != HEAD && x->stage != BODY) {
        if (x->stage == HANDLING || x->stage == REPLYING)
            hold_ahead(x, data, n);
        return;
    }
    if (!x->has_begun)
        set_deadline(x, HTTP_HEAD_MS);
    x->has_begun = true;
    size_t used = http_parser_execute(&x->parser, &callbacks, data, n);
    if (x->is_complete) {
        if (used < n && x->keep_alive)
            hold_ahead(x, data + used, n - used);
        x->stage = HANDLING;
        set_deadline(x, 0);
        x->server->handler.handle(x->server->handler.arg, x);
    } else if (HTTP_PARSER_ERRNO(&x->parser) != HPE_OK) {
        refuse_broken(x);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct exchange *x = (struct exchange *)handle;
    (void)suggested;
    *buf = uv_buf_init(x->server->block, sizeof(x->server->block));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct exchange *x = (struct exchange *)stream;
    if (n > 0) {
        feed(x, buf->base, (size_t)n);
    } else if (n == UV_EOF && (x->stage == HANDLING || x->stage == REPLYING)) {
        x->at_eof = true; /* it has said all and waits for the answer */
        x->keep_alive = false;
    } else if (n < 0) {
        exchange_close(x);
    }
}

/* ---- the answer ---- */

struct reply {
    uv_write_t req;
    struct strbuf text;
};

void exchange_begin(struct exchange *x)
{
    begin_request(x);
    uv_read_start((uv_stream_t *)&x->tcp, on_alloc, on_read);
    if (x->ahead.len == 0)
        return;
    size_t n = x->ahead.len;
    scoped_free char *ahead = strbuf_detach(&x->ahead);
    feed(x, ahead, n);
}

static void on_replied(uv_write_t *req, int status)
{
    struct reply *r = (struct reply *)req;
    struct exchange *x = (struct exchange *)req->handle;
    strbuf_done(&r->text);
    free(r);
    if (x->stage == CLOSING)
        return;
    if (status != 0)
        exchange_close(x);
    else if (x->stage == REPLYING && x->keep_alive && !x->server->is_stopping)
        exchange_begin(x);
    else if (x->stage == REPLYING)
        linger(x);
}

static void send_text(struct exchange *x, struct strbuf *text)
{
    struct reply *r = mem_alloc(sizeof(*r));
    r->text = *text;
    uv_buf_t buf = uv_buf_init(r->text.s, (unsigned)r->text.len);
    if (uv_write(&r->req, (uv_stream_t *)&x->tcp, &buf, 1, on_replied) == 0)
        return;
    strbuf_done(&r->text);
    free(r);
    exchange_close(x);
}

void exchange_add_header(struct exchange *x, const char *name, const char *value)
{
    strbuf_addf(&x->extra, "%s: %s\r\n", name, value);
}

static const char *reason(int status)
{
    switch (status) {
#define XX(number, name, string) \
    case number:                 \
        return #string;
        HTTP_STATUS_MAP(XX)
#undef XX
    default:
        return "";
    }
}

static void add_status(struct exchange *x, int status, const char *type, struct strbuf *out)
{
    strbuf_addf(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
    if (type != NULL)
        strbuf_addf(out, "Content-Type: %s\r\n", type);
    strbuf_add(out, x->extra.s, x->extra.len);
}

void exchange_reply(
    struct exchange *x, int status, const char *content_type, const void *body, size_t n)
{
    struct strbuf text;
    strbuf_init(&text);
    x->on_gone = NULL;
    x->stage = REPLYING;
    x->keep_alive = x->keep_alive && !x->server->is_stopping;
    set_deadline(x, HTTP_WRITE_MS);
    add_status(x, status, content_type, &text);
    strbuf_addf(&text, "Content-Length: %zu\r\nConnection: %s\r\n\r\n", n,
        x->keep_alive ? "keep-alive" : "close");
    if (x->parser.method != HTTP_HEAD)
        strbuf_add(&text, body, n);
    send_text(x, &text);
}

/* ---- streams ---- */

struct http_piece *http_piece_new(const char *data, size_t n)
{
    struct http_piece *p = mem_alloc(sizeof(*p) + n + 2);
    p->refs = 1;
    p->n = n;
    snprintf(p->frame, sizeof(p->frame), "%zx\r\n", n);
    memcpy(p->data, data, n);
    memcpy(p->data + n, "\r\n", 2);
    return p;
}

void http_piece_unref(struct http_piece *p)
{
    if (--p->refs == 0)
        free(p);
}

void exchange_stream(struct exchange *x, const char *content_type)
{
    struct strbuf text;
    strbuf_init(&text);
    x->stage = STREAMING;
    set_deadline(x, 0);
    add_status(x, 200, content_type, &text);
    if (x->parser.http_minor > 0)
        strbuf_addstr(&text, "Transfer-Encoding: chunked\r\n\r\n");
    else
        strbuf_addstr(&text, "Connection: close\r\n\r\n");
    send_text(x, &text);
}

struct push {
    uv_write_t req;
    struct http_piece *piece;
};

static void on_pushed(uv_write_t *req, int status)
{
    struct push *push = (struct push *)req;
    struct exchange *x = (struct exchange *)req->handle;
    x->behind--;
    x->behind_bytes -= push->piece->n;
    http_piece_unref(push->piece);
    free(push);
    set_deadline(x, x->behind > 0 ? HTTP_WRITE_MS : 0);
    if (status != 0)
        exchange_close(x);
}

/* Closing from here would call on_gone inside the caller's walk over its readers. */
static void close_soon(struct exchange *x)
{
    x->deadline = 1;
    timer_start(x->server->sweep, 0, HTTP_SWEEP_MS);
}

void exchange_push(struct exchange *x, struct http_piece *p)
{
    if (x->stage != STREAMING || x->deadline == 1)
        return;
    /* What is too large for all is still given to one who is up to date. */
    if (x->behind >= HTTP_STREAM_EVENTS ||
        (x->behind > 0 && x->behind_bytes + p->n > HTTP_STREAM_BYTES)) {
        log_warn("a reader of events is too far behind, closing its stream");
        close_soon(x);
        return;
    }
    struct push *push = mem_alloc(sizeof(*push));
    push->piece = p;
    p->refs++;
    if (x->behind++ == 0)
        set_deadline(x, HTTP_WRITE_MS);
    x->behind_bytes += p->n;
    uv_buf_t chunk[] = {uv_buf_init(p->frame, (unsigned)strlen(p->frame)),
        uv_buf_init(p->data, (unsigned)p->n + 2)};
    uv_buf_t plain = uv_buf_init(p->data, (unsigned)p->n);
    bool is_chunked = x->parser.http_minor > 0;
    uv_write(&push->req, (uv_stream_t *)&x->tcp, is_chunked ? chunk : &plain, is_chunked ? 2 : 1,
        on_pushed);
}

void exchange_end_stream(struct exchange *x)
{
    static const char last[] = "0\r\n\r\n";
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)last, sizeof(last) - 1);
    if (x->behind == 0 && x->parser.http_minor > 0)
        uv_try_write((uv_stream_t *)&x->tcp, &buf, 1);
    exchange_close(x);
}
