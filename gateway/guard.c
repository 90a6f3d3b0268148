/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - the door.
 *
 * libwebsockets reads sockets with recv().  This program has a recv() of its own, which reads and
 * then looks at what came, if the socket is a client's: libwebsockets gets only what is sound, or
 * the end of the stream.  Its parser is made to get along with anything, which is how two programs
 * come to read one request in two ways.
 *
 * A client has header_timeout for the headers of a request; its body has to come at body_rate_min
 * at least, after as long a start; and request_timeout is for all of it.
 */
#include "gateway/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "gateway/framing.h"
#include "gateway/http_private.h"
#include "gateway/json_out.h"

#define LOOK_MS 250

struct connection {
    struct lws *wsi;
    int fd;
    struct address peer;
    bool is_counted; /* for its address; proxies that are trusted are not */
    bool is_upgraded, is_told;
    struct framing framing;
    enum framing_fault fault;
    int64_t since_mono_ms; /* the request that is coming in; or else the last byte */
    int64_t n_bytes;       /* of that request */
};

/* How many connections, or requests of a proxy, one address has. */
struct share {
    size_t n;
};

struct guard {
    struct http *h;
    struct connection **by_fd;
    size_t n_fds;
    struct map by_wsi, shares;
    struct timer *timer;
};

/* Sockets are closed a moment before libwebsockets says so.  On the loop's thread none can be
 * opened in that moment; other threads have sockets of their own. */
static _Thread_local struct guard *guard_here;

/* ---- refusing ---- */

static void write_body(
    struct strbuf *out, bool is_problem, int status, const char *message, const char *detail)
{
    json_open(out, '{');
    if (is_problem)
        problem_write(out, status, NULL, message, detail);
    else
        json_put_text(out, "message", message), json_put_text(out, "detail", detail);
    json_close(out, '}');
    strbuf_addch(out, '\n');
}

/* Straight to the socket: there is no request that could have an answer. */
static void say(int fd, bool is_problem, int status, const char *phrase, const char *message,
    const char *detail)
{
    struct strbuf body, out;
    strbuf_init(&body), strbuf_init(&out);
    write_body(&body, is_problem, status, message, detail);
    strbuf_addf(&out,
        "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n"
        "x-coder-build-version: " BUILD_VERSION "\r\n%sconnection: close\r\n\r\n",
        status, phrase, is_problem ? "application/problem+json" : "application/json; charset=utf-8",
        body.len, status == 503 || status == 429 ? "retry-after: 1\r\n" : "");
    strbuf_add(&out, body.s, body.len);
    if (send(fd, out.s, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("a refusal could not be said status=%d", status);
    strbuf_done(&body), strbuf_done(&out);
}

static void count_fault(struct guard *g, const struct framing_fault_row *row)
{
    struct gateway_metrics *m = &g->h->gw->metrics;
    metric_add(row->status == 408                         ? &m->requests_slow
               : row->status == 414 || row->status == 431 ? &m->requests_large
                                                          : &m->requests_malformed,
        1);
    metric_add(row->status >= 500 ? &m->responses_5xx : &m->responses_4xx, 1);
}

/* Not while the answer to an earlier request is being written. */
static void tell_fault(struct guard *g, struct connection *c)
{
    const struct framing_fault_row *row = framing_fault_row(c->fault);
    if (c->is_told)
        return;
    c->is_told = true;
    count_fault(g, row);
    struct request *r = lws_get_opaque_user_data(c->wsi);
    if (r == NULL || (!r->is_over && !r->link.is_dispatched))
        say(c->fd, c->framing.is_own_prefix, row->status, row->phrase, row->message, row->detail);
}

/* ---- what comes in ---- */

static ssize_t take(struct guard *g, struct connection *c, const unsigned char *data, size_t n)
{
    size_t used = 0;
    if (c->is_upgraded)
        return (ssize_t)n;
    if (c->framing.state == FRAMING_BETWEEN)
        c->n_bytes = 0, c->since_mono_ms = clock_mono_ms();
    c->n_bytes += (int64_t)n;
    if (c->fault == FRAMING_OK)
        c->fault = framing_feed(&c->framing, data, n, &used);
    if (c->fault == FRAMING_OK)
        return (ssize_t)n;
    if (used == 0)
        tell_fault(g, c);
    else
        shutdown(c->fd, SHUT_RD); /* the sound requests before it first; then we are asked again */
    return (ssize_t)used;
}

/* libwebsockets', and everybody else's. */
ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct guard *g = guard_here;
    ssize_t got = recvfrom(fd, buf, n, flags, NULL, NULL);
    struct connection *c = g != NULL && fd >= 0 && (size_t)fd < g->n_fds ? g->by_fd[fd] : NULL;
    if (c == NULL || got < 0)
        return got;
    if (got == 0 && c->fault != FRAMING_OK)
        tell_fault(g, c);
    return got > 0 ? take(g, c, buf, (size_t)got) : got;
}

/* ---- how much from one address ---- */

static bool share_is_full(const struct guard *g, const struct uuid *key)
{
    const struct share *s = map_get(&g->shares, key);
    int64_t max = g->h->gw->conf.connections_per_address_max;
    return max > 0 && s != NULL && (int64_t)s->n >= max;
}

static void share_take(struct guard *g, const struct uuid *key)
{
    struct share *s = map_get(&g->shares, key);
    if (s == NULL) {
        s = mem_alloc(sizeof(*s));
        map_put(&g->shares, key, s);
    }
    s->n++;
}

static void share_give_back(struct guard *g, const struct uuid *key)
{
    struct share *s = map_get(&g->shares, key);
    if (s != NULL && --s->n == 0)
        free(map_remove(&g->shares, key));
}

/* ---- connections ---- */

size_t guard_count(const struct guard *g)
{
    return g->by_wsi.n;
}

static struct uuid key_of(const struct lws *wsi)
{
    struct uuid key = {{0}};
    memcpy(key.b, &wsi, sizeof(wsi));
    return key;
}

/* What has come already would turn our answer into a reset. */
static void refuse(int fd, int status, const char *phrase, const char *message, const char *detail)
{
    char dropped[4096];
    while (recvfrom(fd, dropped, sizeof(dropped), MSG_DONTWAIT, NULL, NULL) > 0)
        ;
    say(fd, false, status, phrase, message, detail);
}

bool guard_admit(struct guard *g, int fd)
{
    struct gateway *gw = g->h->gw;
    struct address peer = address_of_peer(fd);
    struct uuid group = address_group(&peer);
    if ((int64_t)g->by_wsi.n >= gw->conf.connections_max || (size_t)fd >= g->n_fds) {
        metric_add(&gw->metrics.refused, 1);
        refuse(fd, 503, "Service Unavailable", "Too many connections.", "Try again in a moment.");
        return false;
    }
    if (!address_nets_have(&gw->trusted, &peer) && share_is_full(g, &group)) {
        metric_add(&gw->metrics.refused_address, 1);
        refuse(fd, 429, "Too Many Requests", "Too many connections from your address.",
            "Close some, or try again in a moment.");
        return false;
    }
    return true;
}

static struct connection *connection_of(const struct guard *g, struct lws *wsi)
{
    struct uuid key = key_of(wsi);
    return map_get(&g->by_wsi, &key);
}

void guard_opened(struct guard *g, struct lws *wsi)
{
    int fd = lws_get_socket_fd(wsi);
    if (fd < 0 || (size_t)fd >= g->n_fds || g->by_fd[fd] != NULL)
        return; /* none of a client */
    struct connection *c = mem_alloc(sizeof(*c));
    c->wsi = wsi;
    c->fd = fd;
    c->peer = address_of_peer(fd);
    c->since_mono_ms = clock_mono_ms();
    c->is_counted = !address_nets_have(&g->h->gw->trusted, &c->peer);
    struct uuid group = address_group(&c->peer), key = key_of(wsi);
    if (c->is_counted)
        share_take(g, &group);
    g->by_fd[fd] = c;
    map_put(&g->by_wsi, &key, c);
    metric_set(&g->h->gw->metrics.connections, (int64_t)g->by_wsi.n);
}

/* Listeners and streams of HTTP/2 end here too; they were never put in. */
void guard_closed(struct guard *g, struct lws *wsi)
{
    struct uuid key = key_of(wsi);
    struct connection *c = map_remove(&g->by_wsi, &key);
    if (c == NULL)
        return;
    struct uuid group = address_group(&c->peer);
    if (c->is_counted)
        share_give_back(g, &group);
    g->by_fd[c->fd] = NULL;
    free(c);
    metric_set(&g->h->gw->metrics.connections, (int64_t)g->by_wsi.n);
}

void guard_upgraded(struct guard *g, struct lws *wsi)
{
    struct connection *c = connection_of(g, wsi);
    if (c != NULL)
        c->is_upgraded = true;
}

void guard_answered(struct guard *g, struct lws *wsi)
{
    struct connection *c = connection_of(g, wsi);
    if (c == NULL)
        return;
    if (c->framing.state == FRAMING_UPGRADE)
        c->framing.state = FRAMING_BETWEEN;
    c->since_mono_ms = clock_mono_ms();
}

/* ---- requests ---- */

static bool is_full(struct request *r, int status, const char *message)
{
    answer_header(r, "retry-after:", "1");
    answer_error(r, status, message, "Try again in a moment.");
    return false;
}

bool guard_admit_request(struct guard *g, struct request *r, const char *forwarded)
{
    struct gateway *gw = r->gw;
    const struct connection *c = connection_of(g, r->link.wsi);
    if (c == NULL)
        return true;
    r->client = address_of_client(&gw->trusted, &c->peer, forwarded);
    struct uuid group = address_group(&r->client);
    if (atomic_load_explicit(&gw->metrics.requests_open.value, memory_order_relaxed) >
        gw->conf.requests_max) {
        metric_add(&gw->metrics.requests_refused, 1);
        return is_full(r, 503, "Too many requests at once.");
    }
    if (c->is_counted)
        return true; /* its connection has been */
    if (share_is_full(g, &group)) {
        metric_add(&gw->metrics.refused_address, 1);
        return is_full(r, 429, "Too many requests at once from your address.");
    }
    share_take(g, &group);
    r->link.is_counted = true;
    return true;
}

void guard_request_over(struct guard *g, struct request *r)
{
    struct uuid group = address_group(&r->client);
    if (r->link.is_counted)
        share_give_back(g, &group);
    r->link.is_counted = false;
}

/* ---- the clock ---- */

/* Is the client the one that is waited for? */
static bool owes_us(const struct connection *c)
{
    const struct request *r = lws_get_opaque_user_data(c->wsi);
    if (c->is_upgraded)
        return false;
    if (c->framing.state == FRAMING_REST)
        return r != NULL && !r->is_over && !r->link.is_dispatched;
    return framing_is_inside(&c->framing);
}

static bool is_too_slow(const struct gateway_conf *conf, const struct connection *c, int64_t age)
{
    if (c->framing.state < FRAMING_BODY)
        return age > conf->header_timeout_ms;
    int64_t started = age - conf->header_timeout_ms;
    return age > conf->request_timeout_ms ||
           (started > 0 && c->n_bytes < started * conf->body_rate_min / 1000);
}

static void look_at(struct guard *g, struct connection *c, int64_t now)
{
    const struct gateway_conf *conf = &g->h->gw->conf;
    int64_t age = now - c->since_mono_ms;
    bool is_idle = c->framing.state == FRAMING_BETWEEN && !c->is_upgraded &&
                   lws_get_opaque_user_data(c->wsi) == NULL;
    if (is_idle ? age <= conf->keepalive_timeout_ms : !owes_us(c) || !is_too_slow(conf, c, age))
        return;
    if (!is_idle) {
        c->fault = FRAMING_SLOW;
        tell_fault(g, c);
    }
    shutdown(c->fd, SHUT_RD); /* libwebsockets finds the end of the stream, and closes */
}

static void on_look(void *arg)
{
    struct guard *g = arg;
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < g->n_fds; i++)
        if (g->by_fd[i] != NULL)
            look_at(g, g->by_fd[i], now);
}

/* ---- life ---- */

static void learn_names(void)
{
    static const char *names[WSI_TOKEN_COUNT];
    size_t n = 0;
    for (int i = 0; i < WSI_TOKEN_COUNT; i++) {
        const unsigned char *name = lws_token_to_string((enum lws_token_indexes)i);
        if (name != NULL && name[0] != '\0')
            names[n++] = (const char *)name;
    }
    framing_know_names(names, n);
}

struct guard *guard_new(struct http *h)
{
    struct guard *g = mem_alloc(sizeof(*g));
    g->h = h;
    g->n_fds = HTTP_DESCRIPTORS(h->gw->conf.connections_max);
    g->by_fd = mem_calloc(g->n_fds, sizeof(*g->by_fd));
    g->timer = timer_new(h->gw->loop, on_look, g);
    timer_start(g->timer, LOOK_MS, LOOK_MS);
    guard_here = g;
    learn_names();
    return g;
}

void guard_stop(struct guard *g)
{
    timer_free(steal(g->timer));
}

void guard_free(struct guard *g)
{
    if (g == NULL)
        return;
    guard_here = NULL;
    void *left;
    for (size_t i = 0; i < g->n_fds; i++)
        free(g->by_fd[i]);
    for (size_t i = 0; (left = map_next(&g->shares, &i)) != NULL;)
        free(left);
    map_done(&g->shares);
    map_done(&g->by_wsi);
    free(g->by_fd);
    free(g);
}
