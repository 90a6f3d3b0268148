/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call, one connection, one operation of nng's at a time:
 *
 *   CONNECT -> SEND -> HEAD -> BODY ... -> done()
 *
 * An operation ends on one of nng's threads, which does nothing but post on_io() to the loop; all
 * else happens there.  So each operation is followed by exactly one on_io(), which goes on, calls
 * done(), or clears away a call that was cancelled meanwhile; a call is freed nowhere else.
 *
 * "localhost" is looked for at 127.0.0.1 and then at ::1, without a resolver: the agent is a static
 * program, and a sandbox may have none.
 */
#include "agent/http.h"

#include <assert.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/http_chunks.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

#define READ_BYTES (16 * 1024)

enum http_step { HTTP_CONNECT, HTTP_SEND, HTTP_HEAD, HTTP_BODY };
enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_TO_END };

struct http_call {
    struct loop *loop;
    struct timer *timer;
    int64_t timeout_ms;
    size_t bytes_max;
    http_data_fn on_data;
    http_done_fn done;
    void *arg;

    enum http_step step;
    bool is_ipv6; /* the second try at localhost */
    bool is_canceled, is_late, is_in_data;
    char why[200];
    char *body_out;

    nng_url *url;
    nng_aio *aio;
    nng_http_client *client;
    nng_http_conn *conn;
    nng_http_req *req;
    nng_http_res *res;

    enum http_framing framing;
    size_t left; /* of HTTP_LENGTH */
    struct http_chunks chunks;
    struct strbuf body; /* a stream: of this one piece */
    char buf[READ_BYTES];
};

static void on_io(void *arg);

static void free_call(void *arg)
{
    struct http_call *c = arg;
    nng_aio_free(c->aio);
    if (c->conn != NULL)
        nng_http_conn_close(c->conn);
    if (c->client != NULL)
        nng_http_client_free(c->client);
    if (c->req != NULL)
        nng_http_req_free(c->req);
    if (c->res != NULL)
        nng_http_res_free(c->res);
    if (c->url != NULL)
        nng_url_free(c->url);
    timer_free(c->timer);
    strbuf_done(&c->body);
    free(c->body_out);
    free(c);
}

/* ---- the end ---- */

static void end(struct http_call *c, enum err code)
{
    struct http_answer answer = {.code = code,
        .why = code == ERR_OK ? "" : c->why,
        .was_sent = c->step >= HTTP_SEND,
        .content_type = ""};
    if (c->step == HTTP_BODY) {
        const char *type = nng_http_res_get_header(c->res, "Content-Type");
        answer.content_type = type != NULL ? type : "";
        answer.status = nng_http_res_get_status(c->res);
    }
    if (code == ERR_OK && c->on_data == NULL) {
        answer.body = c->body.s;
        answer.n = c->body.len;
    }
    c->done(c->arg, &answer);
    free_call(c);
}

static void printf_like(3, 4) fail(struct http_call *c, enum err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why, sizeof(c->why), fmt, ap);
    va_end(ap);
    end(c, code);
}

static void fail_io(struct http_call *c, int rv)
{
    static const char *const steps[] = {
        [HTTP_CONNECT] = "cannot connect to",
        [HTTP_SEND] = "cannot send the request to",
        [HTTP_HEAD] = "no answer from",
        [HTTP_BODY] = "the answer broke off from",
    };
    enum err code = ERR_UNAVAILABLE;
    if (rv == NNG_EPROTO)
        code = ERR_INVALID;
    else if (rv == NNG_EMSGSIZE)
        code = ERR_TOO_LARGE;
    fail(c, code, "%s %s: %s", steps[c->step], c->url->u_host,
        rv == NNG_EPROTO ? "that is no HTTP" : nng_strerror(rv));
}

static void fail_late(struct http_call *c)
{
    fail(c, ERR_TIMEOUT, "%s: nothing came for %lld ms", c->url->u_host, (long long)c->timeout_ms);
}

static void on_late(void *arg)
{
    struct http_call *c = arg;
    c->is_late = true;
    nng_aio_cancel(c->aio);
}

static void be_patient(struct http_call *c)
{
    if (c->timeout_ms > 0)
        timer_start(c->timer, c->timeout_ms, 0);
}

/* ---- on nng's threads ---- */

static void on_aio(void *arg)
{
    struct http_call *c = arg;
    loop_post(c->loop, on_io, c);
}

/* ---- the steps ---- */

static const char *ca_file(void)
{
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    const char *named = getenv("SSL_CERT_FILE");
    if (named != NULL)
        return named;
    for (size_t i = 0; i < COUNT(places); i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return places[0];
}

static int use_tls(struct http_call *c)
{
    nng_tls_config *tls;
    int rv = nng_tls_config_alloc(&tls, NNG_TLS_MODE_CLIENT);
    if (rv != 0)
        return rv;
    rv = nng_tls_config_server_name(tls, c->url->u_hostname);
    if (rv == 0)
        rv = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED);
    if (rv == 0)
        rv = nng_tls_config_ca_file(tls, ca_file());
    if (rv == 0)
        rv = nng_http_client_set_tls(c->client, tls);
    nng_tls_config_free(tls);
    return rv;
}

static bool is_localhost(const struct http_call *c)
{
    return strcasecmp(c->url->u_hostname, "localhost") == 0;
}

/* Where to connect to; what is asked for stays c->url. */
static int make_client(struct http_call *c)
{
    const char *host = c->url->u_hostname;
    if (is_localhost(c))
        host = c->is_ipv6 ? "::1" : "127.0.0.1";
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    strbuf_addf(&text, strchr(host, ':') != NULL ? "%s://[%s]:%s/" : "%s://%s:%s/",
        c->url->u_scheme, host, c->url->u_port);
    nng_url *url;
    int rv = nng_url_parse(&url, text.s);
    if (rv != 0)
        return rv;
    rv = nng_http_client_alloc(&c->client, url);
    nng_url_free(url);
    if (rv == 0 && strcmp(c->url->u_scheme, "https") == 0)
        rv = use_tls(c);
    return rv;
}

static void connect_once(struct http_call *c)
{
    nng_http_client_connect(c->client, c->aio);
}

static void connect_again(struct http_call *c)
{
    c->is_ipv6 = true;
    nng_http_client_free(steal(c->client));
    int rv = make_client(c);
    if (rv != 0)
        fail_io(c, rv);
    else
        connect_once(c);
}

static void read_more(struct http_call *c)
{
    nng_iov iov = {c->buf, sizeof(c->buf)};
    nng_aio_set_iov(c->aio, 1, &iov);
    nng_http_conn_read(c->conn, c->aio);
}

static bool parse_length(const char *text, size_t *ret_n)
{
    char *rest;
    errno = 0;
    unsigned long long n = strtoull(text, &rest, 10);
    if (text[0] < '0' || text[0] > '9' || *rest != '\0' || errno != 0)
        return false;
    *ret_n = (size_t)n;
    return true;
}

/* False: the frame of the body makes no sense. */
static bool learn_framing(struct http_call *c)
{
    unsigned status = nng_http_res_get_status(c->res);
    const char *encoding = nng_http_res_get_header(c->res, "Transfer-Encoding");
    const char *length = nng_http_res_get_header(c->res, "Content-Length");
    if (status == 204 || status == 304 || strcmp(nng_http_req_get_method(c->req), "HEAD") == 0)
        c->framing = HTTP_NO_BODY;
    else if (encoding != NULL && strcasecmp(encoding, "identity") != 0)
        c->framing = HTTP_CHUNKED;
    else if (length != NULL)
        c->framing = HTTP_LENGTH;
    else
        c->framing = HTTP_TO_END;
    if (c->framing == HTTP_CHUNKED)
        return strcasecmp(encoding, "chunked") == 0;
    return c->framing != HTTP_LENGTH || parse_length(length, &c->left);
}

static bool is_whole(const struct http_call *c)
{
    switch (c->framing) {
    case HTTP_LENGTH:
        return c->left == 0;
    case HTTP_CHUNKED:
        return c->chunks.state == HTTP_CHUNKS_DONE;
    case HTTP_TO_END:
        return false;
    default:
        return true;
    }
}

static void on_head(struct http_call *c)
{
    unsigned status = nng_http_res_get_status(c->res);
    if (status < 200 && status != NNG_HTTP_STATUS_SWITCHING) {
        nng_http_res_reset(c->res);
        nng_http_conn_read_res(c->conn, c->res, c->aio);
        return;
    }
    c->step = HTTP_BODY;
    if (!learn_framing(c)) {
        fail(c, ERR_INVALID, "%s: the answer's frame is not understood", c->url->u_host);
        return;
    }
    bool is_stream = c->on_data != NULL;
    if (!is_stream && c->framing == HTTP_LENGTH && c->left > c->bytes_max)
        fail(c, ERR_TOO_LARGE, "%s: the answer has %zu bytes; at most %zu are taken",
            c->url->u_host, c->left, c->bytes_max);
    else if (is_whole(c) || (is_stream && status != NNG_HTTP_STATUS_OK))
        end(c, ERR_OK);
    else {
        if (is_stream)
            be_patient(c);
        read_more(c);
    }
}

/* A piece of the body, as framed.  False: it makes no sense. */
static bool take(struct http_call *c, size_t n)
{
    if (c->framing == HTTP_CHUNKED)
        return http_chunks_feed(&c->chunks, c->buf, n, &c->body) != HTTP_CHUNKS_BAD;
    if (c->framing == HTTP_LENGTH) {
        n = n < c->left ? n : c->left;
        c->left -= n;
    }
    strbuf_add(&c->body, c->buf, n);
    return true;
}

/* False: the call was cancelled by whoever got the piece. */
static bool hand_over(struct http_call *c)
{
    if (c->on_data == NULL || c->body.len == 0)
        return true;
    be_patient(c);
    c->is_in_data = true;
    c->on_data(c->arg, c->body.s, c->body.len);
    c->is_in_data = false;
    strbuf_clear(&c->body);
    return !c->is_canceled;
}

static void on_body(struct http_call *c)
{
    if (!take(c, nng_aio_count(c->aio))) {
        fail(c, ERR_INVALID, "%s: the answer is not in chunks as it says", c->url->u_host);
        return;
    }
    if (!hand_over(c))
        free_call(c);
    else if (c->on_data == NULL && c->body.len > c->bytes_max)
        fail(c, ERR_TOO_LARGE, "%s: the answer has more than %zu bytes", c->url->u_host,
            c->bytes_max);
    else if (is_whole(c))
        end(c, ERR_OK);
    else
        read_more(c);
}

static bool is_end(int rv)
{
    return rv == NNG_ECONNSHUT || rv == NNG_ECLOSED;
}

static void on_failed(struct http_call *c, int rv)
{
    if (c->is_late)
        fail_late(c);
    else if (c->step == HTTP_CONNECT && is_localhost(c) && !c->is_ipv6)
        connect_again(c);
    else if (c->step == HTTP_BODY && c->framing == HTTP_TO_END && is_end(rv))
        end(c, ERR_OK);
    else
        fail_io(c, rv);
}

static void go_on(struct http_call *c)
{
    switch (c->step) {
    case HTTP_CONNECT:
        c->step = HTTP_SEND;
        nng_http_conn_write_req(c->conn, c->req, c->aio);
        break;
    case HTTP_SEND:
        c->step = HTTP_HEAD;
        nng_http_conn_read_res(c->conn, c->res, c->aio);
        break;
    case HTTP_HEAD:
        on_head(c);
        break;
    case HTTP_BODY:
        on_body(c);
        break;
    }
}

static void on_io(void *arg)
{
    struct http_call *c = arg;
    int rv = nng_aio_result(c->aio);
    if (rv == 0 && c->step == HTTP_CONNECT)
        c->conn = nng_aio_get_output(c->aio, 0);
    if (c->is_canceled)
        free_call(c);
    else if (rv != 0 || c->is_late)
        on_failed(c, rv);
    else
        go_on(c);
}

/* ---- the beginning ---- */

static bool has_line_break(const char *s)
{
    return strpbrk(s, "\r\n") != NULL;
}

static int add_headers(struct http_call *c, const struct http_request *r)
{
    int rv = nng_http_req_set_header(c->req, "Connection", "close");
    for (const char *const *h = r->headers; h != NULL && *h != NULL && rv == 0; h += 2)
        rv = has_line_break(h[0]) || has_line_break(h[1])
                 ? NNG_EINVAL
                 : nng_http_req_set_header(c->req, h[0], h[1]);
    return rv;
}

static int make_request(struct http_call *c, const struct http_request *r)
{
    int rv = nng_http_req_alloc(&c->req, c->url);
    if (rv == 0)
        rv = nng_http_res_alloc(&c->res);
    if (rv == 0)
        rv = nng_http_req_set_method(c->req, r->method);
    /* nng gives an empty path no '/'. */
    if (rv == 0 && c->url->u_requri[0] != '/')
        rv = nng_http_req_set_uri(c->req, "/");
    if (rv == 0)
        rv = add_headers(c, r);
    if (rv == 0 && r->body != NULL) {
        c->body_out = mem_dup(r->body, r->body_n);
        rv = nng_http_req_set_data(c->req, c->body_out, r->body_n);
    }
    return rv;
}

static int prepare(struct http_call *c, const struct http_request *r)
{
    if (strncmp(r->url, "http://", 7) != 0 && strncmp(r->url, "https://", 8) != 0)
        return NNG_EADDRINVAL;
    int rv = nng_url_parse(&c->url, r->url);
    if (rv == 0)
        rv = make_client(c);
    if (rv == 0)
        rv = make_request(c, r);
    return rv;
}

static void on_not_begun(void *arg)
{
    struct http_call *c = arg;
    if (c->is_canceled)
        free_call(c);
    else
        end(c, ERR_INVALID);
}

struct http_call *http_start(struct loop *l, const struct http_request *request)
{
    struct http_call *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->timeout_ms = request->timeout_ms;
    c->bytes_max = request->bytes_max;
    c->on_data = request->on_data;
    c->done = request->done;
    c->arg = request->arg;
    strbuf_init(&c->body);
    c->timer = timer_new(l, on_late, c);
    if (nng_aio_alloc(&c->aio, on_aio, c) != 0)
        mem_out();
    int rv = prepare(c, request);
    if (rv != 0) {
        snprintf(c->why, sizeof(c->why), "\"%.100s\" cannot be asked: %s", request->url,
            nng_strerror(rv));
        loop_post(l, on_not_begun, c);
        return c;
    }
    be_patient(c);
    connect_once(c);
    return c;
}

void http_cancel(struct http_call *c)
{
    assert(!c->is_canceled);
    c->is_canceled = true;
    timer_stop(c->timer);
    /* on_body() or the on_io() that is on its way clears it away. */
    if (!c->is_in_data)
        nng_aio_stop(c->aio);
}
