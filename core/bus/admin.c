/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c - three handlers on nng's HTTP server.
 *
 * Each handler has its own copy of what it reads, which nng frees with the handler: a connection
 * that is still being served when the server goes away finds nothing missing.
 */
#include "core/bus/admin.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <nng/supplemental/http/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/bus/bus_close.h"

struct admin {
    nng_http_server *server;
    char url[280];
};

struct source {
    const atomic_bool *ready;
    struct metric *metrics;
    size_t n_metrics;
};

static void answer(nng_aio *aio, uint16_t status, const char *type, const char *body, size_t n)
{
    nng_http_res *res;
    if (nng_http_res_alloc(&res) != 0)
        mem_out();
    nng_http_res_set_status(res, status);
    nng_http_res_set_header(res, "Content-Type", type);
    nng_http_res_copy_data(res, body, n);
    nng_aio_set_output(aio, 0, res);
    nng_aio_finish(aio, 0);
}

static const struct source *source_of(nng_aio *aio)
{
    nng_http_handler *handler = nng_aio_get_input(aio, 1);
    return nng_http_handler_get_data(handler);
}

static void on_livez(nng_aio *aio)
{
    answer(aio, NNG_HTTP_STATUS_OK, "text/plain", "ok\n", 3);
}

static void on_readyz(nng_aio *aio)
{
    if (atomic_load(source_of(aio)->ready))
        answer(aio, NNG_HTTP_STATUS_OK, "text/plain", "ready\n", 6);
    else
        answer(aio, NNG_HTTP_STATUS_SERVICE_UNAVAILABLE, "text/plain", "not ready\n", 10);
}

static void on_metrics(nng_aio *aio)
{
    const struct source *source = source_of(aio);
    struct strbuf text;
    strbuf_init(&text);
    metric_render(&text, source->metrics, source->n_metrics);
    answer(aio, NNG_HTTP_STATUS_OK, "text/plain; version=0.0.4", text.s, text.len);
    strbuf_done(&text);
}

static void add_handler(
    struct admin *a, const char *path, void (*fn)(nng_aio *), const struct source *source)
{
    nng_http_handler *handler;
    if (nng_http_handler_alloc(&handler, path, fn) != 0 ||
        nng_http_handler_set_data(handler, mem_dup(source, sizeof(*source)), free) != 0 ||
        nng_http_server_add_handler(a->server, handler) != 0)
        mem_out(); /* or two handlers for one path, which there are not */
}

static int bound_port(struct admin *a)
{
    nng_sockaddr at;
    if (nng_http_server_get_addr(a->server, &at) != 0)
        return 0;
    return ntohs(at.s_family == NNG_AF_INET6 ? at.s_in6.sa_port : at.s_in.sa_port);
}

static int listen_on(struct admin *a, const char *address)
{
    char text[270];
    nng_url *url;
    snprintf(text, sizeof(text), "http://%s", address);
    int rv = nng_url_parse(&url, text);
    if (rv != 0)
        return rv;
    rv = nng_http_server_hold(&a->server, url);
    nng_url_free(url);
    if (rv != 0)
        return rv;
    rv = nng_http_server_start(a->server);
    if (rv == 0) {
        int host = (int)(strrchr(address, ':') - address);
        snprintf(a->url, sizeof(a->url), "http://%.*s:%d", host, address, bound_port(a));
    }
    return rv;
}

enum err admin_listen(const char *address, const atomic_bool *ready, struct metric *metrics,
    size_t n_metrics, struct admin **ret_admin, struct errctx *ctx)
{
    *ret_admin = NULL;
    if (address == NULL || *address == '\0')
        return ERR_OK;
    if (strrchr(address, ':') == NULL || strlen(address) > 250)
        return err_set(ctx, ERR_CONFIG, "the admin address \"%s\" is not host:port", address);
    struct admin *a = mem_alloc(sizeof(*a));
    int rv = listen_on(a, address);
    if (rv != 0) {
        admin_free(a);
        return err_set(ctx, rv == NNG_EADDRINUSE ? ERR_CONFLICT : ERR_IO,
            "cannot serve /metrics on %s: %s", address, nng_strerror(rv));
    }
    const struct source source = {ready, metrics, n_metrics};
    add_handler(a, "/livez", on_livez, &source);
    add_handler(a, "/readyz", on_readyz, &source);
    add_handler(a, "/metrics", on_metrics, &source);
    *ret_admin = a;
    return ERR_OK;
}

/* Run by bus_close(). */
static void release(void *arg)
{
    struct admin *a = arg;
    if (a->server != NULL)
        nng_http_server_release(a->server);
}

void admin_free(struct admin *a)
{
    if (a != NULL && bus_close(release, a))
        free(a);
}

const char *admin_url(const struct admin *a)
{
    return a->url;
}
