/* SPDX-License-Identifier: Apache-2.0 */
/* http_curl.c - HTTP by libcurl, the command line's only door to the network. */
#include "cli/http.h"

#include <curl/curl.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cli/interrupt.h"
#include "core/base/clock.h"
#include "core/base/mem.h"

#define CONNECT_TIMEOUT_MS 5000L
#define ANSWER_TIMEOUT_MS  120000L
#define REPLY_BYTES_MAX    (256u * 1024 * 1024)

/* One connection, and what went wrong on it. */
struct line {
    CURL *easy;
    char cause[CURL_ERROR_SIZE];
};

struct http_curl {
    struct http base;
    /* While a stream is open, exchanges go on beside it. */
    struct line exchanges, streams;
    CURLM *multi; /* of streams */
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct strbuf *body = arg;
    if (body->len + size * n > REPLY_BYTES_MAX)
        return 0;
    strbuf_add(body, data, size * n);
    return size * n;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    struct strbuf line;
    strbuf_init(&line);
    strbuf_addf(&line, "%s: %s", name, value);
    list = curl_slist_append(list, line.s);
    /* The token must not stay behind in freed memory's text. */
    explicit_bzero(line.s, line.len);
    strbuf_done(&line);
    return list;
}

static struct curl_slist *make_headers(const struct http_request *rq, bool is_stream)
{
    struct curl_slist *list = NULL;
    list = curl_slist_append(
        list, is_stream ? "Accept: text/event-stream" : "Accept: application/json");
    /* No waiting for "100 Continue" before a body. */
    list = curl_slist_append(list, "Expect:");
    if (rq->token != NULL)
        list = add_header(list, "Coder-Session-Token", rq->token);
    if (rq->body != NULL)
        list = add_header(list, "Content-Type", rq->body_type);
    if (rq->idempotency_key != NULL)
        list = add_header(list, "Idempotency-Key", rq->idempotency_key);
    if (is_stream && rq->last_event_id != NULL && rq->last_event_id[0] != '\0')
        list = add_header(list, "Last-Event-ID", rq->last_event_id);
    return list;
}

/* A proxy of the environment is for the world outside, never for this machine. */
static bool is_this_machine(const char *url)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

static enum err code_of(CURLcode rc)
{
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_USAGE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return ERR_UNAVAILABLE;
    default:
        return ERR_IO;
    }
}

/* libcurl asks about once a second. */
static int stop_if_interrupted(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)arg, (void)a, (void)b, (void)c, (void)d;
    return interrupt_seen();
}

static void set_request(struct line *l, const struct http_request *rq)
{
    l->cause[0] = '\0';
    curl_easy_reset(l->easy);
    curl_easy_setopt(l->easy, CURLOPT_URL, rq->url);
    curl_easy_setopt(l->easy, CURLOPT_CUSTOMREQUEST, rq->method);
    curl_easy_setopt(l->easy, CURLOPT_USERAGENT, "stint/" STINT_VERSION);
    curl_easy_setopt(l->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(l->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(l->easy, CURLOPT_ERRORBUFFER, l->cause);
    if (is_this_machine(rq->url))
        curl_easy_setopt(l->easy, CURLOPT_PROXY, "");
    if (rq->body != NULL) {
        curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body_bytes);
        curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, rq->body);
    }
}

static enum err went_wrong(const struct line *l, CURLcode rc, struct errctx *ctx)
{
    return err_set(ctx, code_of(rc), "%s", l->cause[0] != '\0' ? l->cause : curl_easy_strerror(rc));
}

static enum err exchange(
    struct http *base, const struct http_request *rq, struct http_reply *reply, struct errctx *ctx)
{
    struct line *l = &((struct http_curl *)base)->exchanges;
    struct curl_slist *headers = make_headers(rq, false);

    strbuf_clear(&reply->body);
    set_request(l, rq);
    curl_easy_setopt(l->easy, CURLOPT_TIMEOUT_MS, ANSWER_TIMEOUT_MS);
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, &reply->body);
    curl_easy_setopt(l->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(l->easy, CURLOPT_XFERINFOFUNCTION, stop_if_interrupted);
    curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, headers);
    CURLcode rc = curl_easy_perform(l->easy);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return went_wrong(l, rc, ctx);
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    return ERR_OK;
}

/* ---- streams ---- */

struct stream {
    CURL *easy;
    CURLM *multi;
    const struct http_sink *sink;
    struct http_reply *reply;
    bool is_begun, is_enough;
    int64_t heard_mono_ms, ticked_mono_ms;
};

static bool is_event_stream(CURL *easy)
{
    static const char type[] = "text/event-stream";
    const char *is = NULL;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &is);
    return is != NULL && strncasecmp(is, type, sizeof(type) - 1) == 0;
}

static size_t on_stream(char *data, size_t size, size_t n, void *arg)
{
    struct stream *s = arg;
    s->heard_mono_ms = clock_mono_ms();
    if (!s->is_begun) {
        curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &s->reply->status);
        s->reply->is_stream = s->reply->status == 200 && is_event_stream(s->easy);
        s->is_begun = true;
    }
    if (!s->reply->is_stream)
        return on_body(data, size, n, &s->reply->body);
    s->is_enough = !s->sink->on_data(s->sink->arg, data, size * n);
    return s->is_enough ? 0 : size * n;
}

static bool may_go_on(struct stream *s)
{
    int64_t now = clock_mono_ms();
    if (now - s->ticked_mono_ms >= HTTP_TICK_MS || interrupt_seen()) {
        s->ticked_mono_ms = now;
        s->is_enough = !s->sink->on_tick(s->sink->arg);
    }
    return !s->is_enough && now - s->heard_mono_ms < HTTP_SILENCE_MS;
}

/* CURLE_OK also for enough. */
static CURLcode run_stream(struct stream *s)
{
    int left = 1, n;
    for (;;) {
        if (curl_multi_perform(s->multi, &left) != CURLM_OK)
            return CURLE_RECV_ERROR;
        CURLMsg *m = curl_multi_info_read(s->multi, &n);
        if (m != NULL && m->msg == CURLMSG_DONE)
            return s->is_enough ? CURLE_OK : m->data.result;
        if (!may_go_on(s))
            return s->is_enough ? CURLE_OK : CURLE_OPERATION_TIMEDOUT;
        if (curl_multi_poll(s->multi, NULL, 0, HTTP_TICK_MS, NULL) != CURLM_OK)
            return CURLE_RECV_ERROR;
    }
}

static enum err stream(struct http *base, const struct http_request *rq,
    const struct http_sink *sink, struct http_reply *reply, struct errctx *ctx)
{
    struct http_curl *h = (struct http_curl *)base;
    struct curl_slist *headers = make_headers(rq, true);
    struct line *l = &h->streams;
    struct stream s = {.easy = l->easy,
        .multi = h->multi,
        .sink = sink,
        .reply = reply,
        .heard_mono_ms = clock_mono_ms()};

    strbuf_clear(&reply->body);
    reply->is_stream = false;
    set_request(l, rq);
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_stream);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, &s);
    curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, headers);
    curl_multi_add_handle(h->multi, l->easy);
    CURLcode rc = run_stream(&s);
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    if (!s.is_begun) /* it ended before its first byte */
        reply->is_stream = reply->status == 200 && is_event_stream(l->easy);
    curl_multi_remove_handle(h->multi, l->easy);
    curl_slist_free_all(headers);
    if (rc == CURLE_OPERATION_TIMEDOUT && l->cause[0] == '\0')
        (void)snprintf(l->cause, sizeof(l->cause), "nothing was heard for a while");
    return rc == CURLE_OK ? ERR_OK : went_wrong(l, rc, ctx);
}

static void http_curl_close(struct http *base)
{
    struct http_curl *h = (struct http_curl *)base;
    curl_easy_cleanup(h->exchanges.easy);
    curl_easy_cleanup(h->streams.easy);
    curl_multi_cleanup(h->multi);
    curl_global_cleanup();
    free(h);
}

struct http *http_curl_new(void)
{
    struct http_curl *h = mem_alloc(sizeof(*h));
    h->base.exchange = exchange;
    h->base.stream = stream;
    h->base.close = http_curl_close;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    h->exchanges.easy = curl_easy_init();
    h->streams.easy = curl_easy_init();
    h->multi = curl_multi_init();
    return &h->base;
}
