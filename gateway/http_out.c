/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_out.c - writing answers.
 *
 * Head and body of an ordinary answer leave in one write, which HTTP/1.1 allows.  A long body goes
 * piece by piece, each when lws says that the last one is gone.
 */
#include <string.h>

#include "core/base/log.h"
#include "gateway/guard.h"
#include "gateway/http_private.h"
#include "gateway/stream_private.h"
#include "gateway/task_cache.h"

static int put(
    struct lws *wsi, const char *name, const char *value, unsigned char **p, unsigned char *end)
{
    return lws_add_http_header_by_name(
        wsi, (const unsigned char *)name, (const unsigned char *)value, (int)strlen(value), p, end);
}

static void body_of(const struct request *r, const char **ret_data, size_t *ret_n)
{
    *ret_data = r->blob != NULL ? r->blob->json : r->out.s;
    *ret_n = r->type == NULL ? 0 : r->blob != NULL ? r->blob->n : r->out.len;
}

static int put_further(struct request *r, unsigned char **p, unsigned char *end)
{
    int bad = 0;
    for (const char *name = r->head.s, *value; name < r->head.s + r->head.len;
         name = value + strlen(value) + 1) {
        value = name + strlen(name) + 1;
        bad |= put(r->link.wsi, name, value, p, end);
    }
    return bad;
}

/* Nonzero: the head does not fit, which is a bug. */
static int put_head(struct request *r, size_t n, unsigned char **p, unsigned char *end)
{
    struct lws *wsi = r->link.wsi;
    int bad =
        lws_add_http_header_status(wsi, (unsigned)r->status | LWSAHH_FLAG_NO_SERVER_NAME, p, end);
    if (r->type != NULL)
        bad |= put(wsi, "content-type:", r->type, p, end);
    if (r->status != 204 && r->status != 304)
        bad |= lws_add_http_header_content_length(wsi, n, p, end);
    bad |= put(wsi, "x-coder-build-version:", BUILD_VERSION, p, end);
    bad |= put(wsi, "x-request-id:", r->id, p, end);
    if (r->cookie != NULL)
        bad |= put(wsi, "set-cookie:", r->cookie, p, end);
    bad |= put_further(r, p, end);
    if (r->link.must_close)
        bad |= put(wsi, "connection:", "close", p, end);
    bad |= lws_finalize_http_header(wsi, p, end);
    return bad;
}

void http_end(struct request *r)
{
    struct gateway *gw = r->gw;
    struct http *h = gw->http;
    http_release_body(r);
    guard_request_over(h->guard, r);
    request_free(r);
    if (h->is_draining &&
        atomic_load_explicit(&gw->metrics.requests_open.value, memory_order_relaxed) == 0)
        loop_post(gw->loop, h->drained, h->drained_arg);
}

static int finish(struct request *r)
{
    struct lws *wsi = r->link.wsi;
    bool close = r->link.must_close;
    guard_answered(r->gw->http->guard, wsi);
    lws_set_opaque_user_data(wsi, NULL);
    http_end(r);
    return close || lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}

/* What follows will be written when lws says so. */
static int later(struct lws *wsi)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_STALL_SECONDS);
    lws_callback_on_writable(wsi);
    return 0;
}

int http_write(struct http *h, struct request *r)
{
    struct lws *wsi = r->link.wsi;
    unsigned char *start = h->piece + LWS_PRE, *p = start, *end = start + HTTP_PIECE_BYTES;
    const char *body;
    size_t n;
    body_of(r, &body, &n);
    if (!r->link.head_sent) {
        http_release_body(r);
        if (put_head(r, n, &p, end) != 0)
            return -1;
        r->link.head_sent = true;
    }
    size_t left = r->is_head ? 0 : n - r->link.sent, room = (size_t)(end - p);
    size_t take = left < room ? left : room;
    memcpy(p, body + r->link.sent, take);
    r->link.sent += take;
    if (lws_write(wsi, start, (size_t)(p - start) + take,
            take == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
        return -1;
    return take == left ? finish(r) : later(wsi);
}

static void count(struct request *r)
{
    struct gateway_metrics *m = &r->gw->metrics;
    struct metric *by_class = r->status >= 500   ? &m->responses_5xx
                              : r->status >= 400 ? &m->responses_4xx
                                                 : &m->responses_2xx;
    metric_add(by_class, 1);
}

void http_answer(struct request *r)
{
    count(r);
    if (r->stream != NULL) {
        stream_fail(r);
        return;
    }
    if (r->link.wsi == NULL) {
        http_end(r);
        return;
    }
    if (r->link.in_callback)
        return;
    if (r->link.is_held)
        lws_rx_flow_control(r->link.wsi, 1);
    r->link.is_held = false;
    lws_callback_on_writable(r->link.wsi);
}
