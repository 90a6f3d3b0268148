/* SPDX-License-Identifier: Apache-2.0 */
/* http_curl.c - HTTP by libcurl, the command line's only door to the network. */
#include "cli/http.h"

#include <curl/curl.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"

#define CONNECT_TIMEOUT_MS 5000L
#define ANSWER_TIMEOUT_MS  120000L
#define REPLY_BYTES_MAX    (256u * 1024 * 1024)

struct http_curl {
    struct http base;
    CURL *easy;
    char cause[CURL_ERROR_SIZE];
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

static struct curl_slist *make_headers(const struct http_request *rq)
{
    struct curl_slist *list = NULL;
    list = curl_slist_append(list, "Accept: application/json");
    /* No waiting for "100 Continue" before a body. */
    list = curl_slist_append(list, "Expect:");
    if (rq->token != NULL)
        list = add_header(list, "Coder-Session-Token", rq->token);
    if (rq->body != NULL)
        list = add_header(list, "Content-Type", rq->body_type);
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
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return ERR_UNAVAILABLE;
    default:
        return ERR_IO;
    }
}

static void set_request(struct http_curl *h, const struct http_request *rq, struct strbuf *body)
{
    curl_easy_reset(h->easy);
    curl_easy_setopt(h->easy, CURLOPT_URL, rq->url);
    curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, rq->method);
    curl_easy_setopt(h->easy, CURLOPT_USERAGENT, "stint/" STINT_VERSION);
    curl_easy_setopt(h->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(h->easy, CURLOPT_TIMEOUT_MS, ANSWER_TIMEOUT_MS);
    curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, h->cause);
    curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, body);
    if (is_this_machine(rq->url))
        curl_easy_setopt(h->easy, CURLOPT_PROXY, "");
    if (rq->body != NULL) {
        curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body_bytes);
        curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, rq->body);
    }
}

static enum err exchange(
    struct http *base, const struct http_request *rq, struct http_reply *reply, struct errctx *ctx)
{
    struct http_curl *h = (struct http_curl *)base;
    struct curl_slist *headers = make_headers(rq);

    strbuf_clear(&reply->body);
    h->cause[0] = '\0';
    set_request(h, rq, &reply->body);
    curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, headers);
    CURLcode rc = curl_easy_perform(h->easy);
    curl_slist_free_all(headers);
    if (rc != CURLE_OK)
        return err_set(
            ctx, code_of(rc), "%s", h->cause[0] != '\0' ? h->cause : curl_easy_strerror(rc));

    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &reply->status);
    return ERR_OK;
}

static void http_curl_close(struct http *base)
{
    struct http_curl *h = (struct http_curl *)base;
    curl_easy_cleanup(h->easy);
    curl_global_cleanup();
    free(h);
}

struct http *http_curl_new(void)
{
    struct http_curl *h = mem_alloc(sizeof(*h));
    h->base.exchange = exchange;
    h->base.close = http_curl_close;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    h->easy = curl_easy_init();
    return &h->base;
}
