/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_in.c - from lws's headers and bodies to a request in its handler's hands.
 *
 * What can be refused by the headers alone is refused before the body is read.  The body is kept up
 * to the route's limit; then auth.c finds out who asks, and the handler has the request.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/text.h"
#include "gateway/auth.h"
#include "gateway/framing.h"
#include "gateway/guard.h"
#include "gateway/http_private.h"
#include "gateway/idempotency.h"
#include "gateway/oidc.h"
#include "gateway/token.h"

/* Of If-Match, If-None-Match and Idempotency-Key. */
#define OWN_HEADER_MAX 511
#define USER_AGENT_MAX 256
#define TOO_LARGE      "Request body too large."
/* Longer bodies of refused requests are not waited for. */
#define DROP_BYTES_MAX (64 * 1024 * 1024)

static const struct {
    enum lws_token_indexes token;
    enum http_method method;
} methods[] = {
    {WSI_TOKEN_GET_URI,     METHOD_GET    },
    {WSI_TOKEN_POST_URI,    METHOD_POST   },
    {WSI_TOKEN_PATCH_URI,   METHOD_PATCH  },
    {WSI_TOKEN_DELETE_URI,  METHOD_DELETE },
    {WSI_TOKEN_PUT_URI,     METHOD_PUT    },
    {WSI_TOKEN_HEAD_URI,    METHOD_GET    },
    {WSI_TOKEN_OPTIONS_URI, METHOD_OPTIONS},
};

static bool has(struct lws *wsi, enum lws_token_indexes token)
{
    return lws_hdr_total_length(wsi, token) > 0;
}

static bool copy(struct lws *wsi, enum lws_token_indexes token, char *buf, size_t size)
{
    return has(wsi, token) && lws_hdr_copy(wsi, buf, (int)size, token) > 0;
}

/* ---- headers ---- */

static void read_method(struct request *r, struct lws *wsi)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (has(wsi, methods[i].token)) {
            r->method = methods[i].method;
            r->is_head = methods[i].token == WSI_TOKEN_HEAD_URI;
            return;
        }
}

static void read_query(struct request *r, struct lws *wsi)
{
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS);
    if (n <= 0)
        return;
    strbuf_reserve(&r->query, (size_t)n + 64);
    char piece[4096];
    for (int i = 0;
         (n = lws_hdr_copy_fragment(wsi, piece, sizeof(piece), WSI_TOKEN_HTTP_URI_ARGS, i)) >= 0;
         i++)
        strbuf_add(&r->query, piece, strlen(piece) + 1);
}

/* Cookie, query, header, bearer, query once more: the first that is there. */
static void read_token(struct request *r, struct lws *wsi)
{
    static const char header[] = "coder-session-token:";
    char text[8192];
    const char *query;
    if (copy(wsi, WSI_TOKEN_HTTP_COOKIE, text, sizeof(text)) &&
        token_from_cookies(text, r->token, sizeof(r->token))) {
        r->token_in_cookie = true;
        return;
    }
    if ((query = request_query(r, "coder_session_token")) != NULL) {
        snprintf(r->token, sizeof(r->token), "%s", query);
        return;
    }
    if (lws_hdr_custom_copy(wsi, r->token, sizeof(r->token), header, sizeof(header) - 1) > 0)
        return;
    r->token[0] = '\0';
    if (copy(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof(text)) &&
        token_from_authorization(text, r->token, sizeof(r->token)))
        return;
    if ((query = request_query(r, "access_token")) != NULL)
        snprintf(r->token, sizeof(r->token), "%s", query);
}

/* Of the one path that it is for. */
static void read_oauth_state(struct request *r, struct lws *wsi)
{
    char header[8192], value[2048];
    if (strcmp(r->path.s, OIDC_CALLBACK) == 0 &&
        copy(wsi, WSI_TOKEN_HTTP_COOKIE, header, sizeof(header)) &&
        token_cookie(header, OIDC_COOKIE, value, sizeof(value)))
        r->oauth_state = mem_strdup(value);
}

static char *copy_all(struct lws *wsi, enum lws_token_indexes token)
{
    char text[OWN_HEADER_MAX + 1];
    if (!has(wsi, token))
        return NULL;
    return mem_strdup(copy(wsi, token, text, sizeof(text)) ? text : "");
}

/* One that is longer than any can be is kept empty: a condition that does not hold, a key that is
 * none.  It must not count as absent. */
static void read_own_headers(struct request *r, struct lws *wsi)
{
    static const char key[] = "idempotency-key:";
    char text[OWN_HEADER_MAX + 1] = "";
    r->if_match = copy_all(wsi, WSI_TOKEN_HTTP_IF_MATCH);
    r->if_none_match = copy_all(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH);
    if (lws_hdr_custom_length(wsi, key, sizeof(key) - 1) < 0)
        return;
    lws_hdr_custom_copy(wsi, text, sizeof(text), key, sizeof(key) - 1);
    r->idempotency_key = mem_strdup(text);
}

/* Who asks for a change, for the audit. */
static void read_origin(struct request *r, struct lws *wsi)
{
    char agent[USER_AGENT_MAX + 1];
    int n = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_USER_AGENT);
    if (n <= 0)
        return;
    if (n > USER_AGENT_MAX || !copy(wsi, WSI_TOKEN_HTTP_USER_AGENT, agent, sizeof(agent)))
        snprintf(agent, sizeof(agent), "(%d bytes)", n);
    if (text_is_utf8(agent, strlen(agent)))
        r->user_agent = mem_strdup(agent);
}

/* What browsers say of the page: its origin is neither the host asked for nor the one that people
 * know us by (a proxy may have changed the former); without an origin, how far away its site is. */
static bool is_foreign_page(struct request *r, struct lws *wsi)
{
    static const char fetch_site[] = "sec-fetch-site:";
    char origin[512], host[512] = "", site[32] = "";
    if (!copy(wsi, WSI_TOKEN_ORIGIN, origin, sizeof(origin))) {
        lws_hdr_custom_copy(wsi, site, sizeof(site), fetch_site, sizeof(fetch_site) - 1);
        return strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0;
    }
    const char *authority = strstr(origin, "://"), *ours = strstr(r->gw->conf.access_url, "://");
    if (authority == NULL)
        return true;
    if (!copy(wsi, WSI_TOKEN_HOST, host, sizeof(host)))
        copy(wsi, WSI_TOKEN_HTTP_COLON_AUTHORITY, host, sizeof(host));
    return strcasecmp(authority + 3, host) != 0 &&
           (ours == NULL || strcasecmp(authority, ours) != 0);
}

/* What it takes to be answered by a stream. */
static void read_stream(struct request *r, struct lws *wsi)
{
    char text[512];
    if (has(wsi, WSI_TOKEN_UPGRADE) && copy(wsi, WSI_TOKEN_VERSION, text, sizeof(text)) &&
        strcmp(text, "13") == 0)
        copy(wsi, WSI_TOKEN_KEY, r->websocket_key, sizeof(r->websocket_key));
    static const char last[] = "last-event-id:";
    r->accepts_events = copy(wsi, WSI_TOKEN_HTTP_ACCEPT, text, sizeof(text)) &&
                        strcasestr(text, "text/event-stream") != NULL;
    if (r->accepts_events &&
        lws_hdr_custom_copy(wsi, text, sizeof(text), last, sizeof(last) - 1) > 0)
        r->last_event_id = mem_strdup(text);
}

/* A cookie goes along with whatever any page asks for: then a change, and a WebSocket, which no
 * rule of browsers keeps from other sites, must come from a page of ours.  Who sends the token in a
 * header of its own is no such page. */
static bool is_forged(struct request *r, struct lws *wsi)
{
    static const char header[] = "coder-session-token:";
    bool harmless = r->method == METHOD_GET && !has(wsi, WSI_TOKEN_UPGRADE);
    return r->token_in_cookie && !harmless &&
           lws_hdr_custom_length(wsi, header, sizeof(header) - 1) <= 0 && is_foreign_page(r, wsi);
}

/* Whom it is from; false when those have too many under way already. */
static bool admit_client(struct http *h, struct request *r, struct lws *wsi)
{
    char forwarded[FRAMING_HEAD_MAX + 1]; /* one that did not fit would hide whom it is from */
    bool has_any = copy(wsi, WSI_TOKEN_X_FORWARDED_FOR, forwarded, sizeof(forwarded));
    return guard_admit_request(h->guard, r, has_any ? forwarded : NULL);
}

/* Coder's, true as Go's strconv.ParseBool() has it. */
static void read_bypass(struct request *r, struct lws *wsi)
{
    static const char header[] = "x-coder-bypass-ratelimit:";
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    char text[8];
    if (lws_hdr_custom_copy(wsi, text, sizeof(text), header, sizeof(header) - 1) <= 0)
        return;
    for (size_t i = 0; i < COUNT(yes); i++)
        r->wants_bypass |= strcmp(text, yes[i]) == 0;
}

/* -1: none given, -2: not a number, or two of them. */
static int64_t content_length(struct lws *wsi)
{
    char text[32], second[32];
    if (!has(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
        return -1;
    if (lws_hdr_copy_fragment(wsi, second, sizeof(second), WSI_TOKEN_HTTP_CONTENT_LENGTH, 1) != -1)
        return -2;
    if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 ||
        strlen(text) > 15 || strspn(text, "0123456789") != strlen(text))
        return -2;
    return strtoll(text, NULL, 10);
}

/* ---- the way to the handler ---- */

static int answered(struct http *h, struct request *r)
{
    r->link.in_callback = false;
    if (!r->is_over || r->is_kept_back)
        return 0;
    if (!r->link.has_body || r->link.must_close)
        return http_write(h, r);
    if (r->link.body_is_over)
        lws_callback_on_writable(r->link.wsi);
    else
        r->link.drops_body = true;
    return 0;
}

static void hold(struct request *r)
{
    r->link.is_held = true;
    lws_rx_flow_control(r->link.wsi, 0);
    lws_set_timeout(r->link.wsi, PENDING_TIMEOUT_HTTP_CONTENT, HTTP_ANSWER_SECONDS);
}

static bool is_keyed(const struct request *r)
{
    return r->idempotency_key != NULL && r->method == METHOD_POST;
}

static int dispatch(struct http *h, struct request *r)
{
    r->link.in_callback = true;
    r->link.is_dispatched = true;
    auth_check(r, is_keyed(r) ? idempotency_run : r->route->handler);
    if (!r->is_over || r->is_kept_back)
        hold(r);
    return answered(h, r);
}

/* Finds the route, or answers. */
static bool find_route(struct request *r)
{
    char allowed[ROUTE_ALLOWED_SIZE];
    switch (route_find(r->method, r->path.s, &r->route, &r->params)) {
    case ROUTE_FOUND:
        break;
    case ROUTE_OTHER_METHOD:
        route_allowed(r->path.s, allowed);
        answer_header(r, "allow:", allowed);
        answer_error(r, 405, "Method not allowed.", NULL);
        return false;
    case ROUTE_UNKNOWN:
        answer_error(r, 404, "Route not found.", NULL);
        return false;
    }
    for (size_t i = 0; i < r->params.n; i++)
        r->path.s[r->params.v[i].at + r->params.v[i].n] = '\0';
    return true;
}

/* Programs that use Stint's own routes are told so when what they send is not JSON. */
static bool is_json(struct request *r)
{
    static const char *const types[] = {"application/json", "application/problem+json"};
    size_t n = strcspn(r->content_type, "; \t");
    bool is_json = n == 0;
    for (size_t i = 0; i < COUNT(types); i++)
        is_json |= n == strlen(types[i]) && strncasecmp(r->content_type, types[i], n) == 0;
    if (!is_json)
        answer_problem(r, 415, "unsupported-media-type", "The request's body must be JSON.",
            "Say so with Content-Type: application/json.");
    return is_json;
}

static bool is_text(const struct request *r)
{
    for (const char *s = r->query.s, *end = s + r->query.len; s < end; s += strlen(s) + 1)
        if (!text_is_utf8(s, strlen(s)))
            return false;
    return text_is_utf8(r->path.s, r->path.len);
}

/* Anything that the headers alone make impossible. */
static bool check_head(struct request *r, struct lws *wsi, int64_t length)
{
    bool chunked = has(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    /* lws reads an unmeasured body of these, and of no other. */
    bool may_chunk =
        r->method == METHOD_POST || r->method == METHOD_PATCH || r->method == METHOD_PUT;
    char coding[32] = "";
    if (chunked)
        copy(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof(coding));
    r->link.is_chunked = chunked;
    r->link.must_close |= chunked || length == -2 || (length == -1 && may_chunk);
    if (length == -2 ||
        (chunked && (!may_chunk || length != -1 || strcasecmp(coding, "chunked") != 0)))
        answer_error(r, 400, "The request's length cannot be told.", NULL);
    else if (!is_text(r))
        answer_error(r, 400, "The URL is not valid UTF-8.", NULL);
    else if (find_route(r) && is_forged(r, wsi))
        answer_error(r, 403, "Something is wrong with your CSRF token. Please refresh the page.",
            "The request came from a page of another site.");
    return !r->is_over;
}

static bool admit_body(struct request *r, int64_t length)
{
    struct metric *held = &r->gw->metrics.body_bytes;
    size_t max = r->route->body_max;
    if (r->route->prefixes == PREFIX_STINT && !is_json(r))
        return false;
    if (length > (int64_t)max) {
        char detail[64];
        snprintf(detail, sizeof(detail), "The limit is %zu bytes.", max);
        answer_error(r, 413, TOO_LARGE, detail);
        return false;
    }
    r->link.body_held = length >= 0 ? (size_t)length : max;
    if (atomic_load_explicit(&held->value, memory_order_relaxed) + (int64_t)r->link.body_held >
        HTTP_BODIES_BYTES_MAX) {
        r->link.body_held = 0;
        answer_error(r, 503, "Too many large requests at once.", "Try again in a moment.");
        return false;
    }
    metric_add(held, (int64_t)r->link.body_held);
    return true;
}

void http_release_body(struct request *r)
{
    metric_add(&r->gw->metrics.body_bytes, -(int64_t)r->link.body_held);
    r->link.body_held = 0;
}

static void say_continue(struct lws *wsi)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    unsigned char buf[LWS_PRE + sizeof(text)];
    if (!has(wsi, WSI_TOKEN_HTTP_EXPECT))
        return;
    memcpy(buf + LWS_PRE, text, sizeof(text) - 1);
    lws_write(wsi, buf + LWS_PRE, sizeof(text) - 1, LWS_WRITE_HTTP_HEADERS);
}

int http_begin(struct http *h, struct lws *wsi, const char *uri, size_t n)
{
    struct request *r = request_new(h->gw);
    r->link.wsi = wsi;
    r->link.in_callback = true;
    r->link.must_close = h->is_draining;
    lws_set_opaque_user_data(wsi, r);
    strbuf_add(&r->path, uri, n);
    read_method(r, wsi);
    read_query(r, wsi);
    read_token(r, wsi);
    read_oauth_state(r, wsi);
    read_bypass(r, wsi);
    read_stream(r, wsi);
    copy(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, r->content_type, sizeof(r->content_type));
    if ((route_prefix_of(r->path.s, NULL) & (PREFIX_STINT | PREFIX_ROOT)) != 0)
        read_own_headers(r, wsi);
    if (r->method != METHOD_GET)
        read_origin(r, wsi);
    int64_t length = content_length(wsi);
    r->link.has_body = length > 0 && !has(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING);
    /* A client that asks first has not sent its body; a very long one is not worth the wait. */
    if (length > DROP_BYTES_MAX)
        r->link.must_close = true;
    if (!admit_client(h, r, wsi) || !check_head(r, wsi, length) || !auth_check_form(r) ||
        ((length > 0 || r->link.is_chunked) && !admit_body(r, length))) {
        r->link.must_close |= has(wsi, WSI_TOKEN_HTTP_EXPECT);
        return answered(h, r);
    }
    if (length <= 0 && !r->link.is_chunked)
        return dispatch(h, r);
    say_continue(wsi);
    r->link.in_callback = false;
    return 0;
}

int http_body(struct http *h, struct lws *wsi, const char *data, size_t n)
{
    struct request *r = lws_get_opaque_user_data(wsi);
    if (r == NULL || r->is_over || r->link.is_dispatched || n == 0)
        return 0;
    if (!r->link.is_chunked) {
        if (r->body.room == 0)
            strbuf_reserve(&r->body, r->link.body_held);
        strbuf_add(&r->body, data, n);
        return 0;
    }
    r->link.in_callback = true;
    if (!chunked_feed(&r->link.chunked, data, n, &r->body, r->route->body_max)) {
        if (r->link.chunked.state == CHUNKED_BAD)
            answer_error(r, 400, "The request's chunks are not well formed.", NULL);
        else
            answer_error(r, 413, TOO_LARGE, NULL);
    }
    if (r->link.chunked.state == CHUNKED_DONE)
        return dispatch(h, r);
    return answered(h, r);
}

int http_body_done(struct http *h, struct lws *wsi)
{
    struct request *r = lws_get_opaque_user_data(wsi);
    if (r == NULL || !r->link.has_body)
        return 0; /* lws says so of a length of 0, too */
    if (r->link.body_is_over)
        return -1;
    r->link.body_is_over = true;
    if (!r->link.drops_body)
        return dispatch(h, r);
    lws_callback_on_writable(wsi);
    return 0;
}
