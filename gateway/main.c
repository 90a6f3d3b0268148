/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - stint-gateway: the front door.  It keeps nothing: any number may run, any may be killed.
 *
 * Boot: settings -> connections -> listen -> loop.  It is ready once the database has been reached.
 * SIGTERM: open requests are finished (for a few seconds), then everything is closed.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/conf.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/loop/reload.h"
#include "gateway/attempt.h"
#include "gateway/auth.h"
#include "gateway/binaries.h"
#include "gateway/changes.h"
#include "gateway/gateway.h"
#include "gateway/http.h"
#include "gateway/oidc.h"
#include "gateway/organization.h"
#include "gateway/queue.h"
#include "gateway/rate.h"
#include "gateway/stream.h"
#include "gateway/task_cache.h"

#define DRAIN_MS 5000
/* For libwebsockets' and libuv's handles to close. */
#define CLOSE_MS 50

static const struct conf_key keys[] = {
#define KEY(type, name, field, initial, min, max, flags, help) \
    CONF_KEY_ROW(struct gateway_conf, type, name, field, initial, min, max, flags, help)
#include "gateway/conf.def"
#undef KEY
};

static const struct conf_spec spec = {
    .program = "stint-gateway",
    .summary = "The front door of Stint: REST, in Coder's shapes.",
    .usage = "Example:\n"
             "  stint-gateway --port 7080 --database-url postgresql:///stint \\\n"
             "      --redis-url redis://127.0.0.1:6379 --scheduler-url ipc:///run/stint/bus\n",
    .keys = keys,
    .n_keys = COUNT(keys),
};

static void init_metrics(struct gateway_metrics *m)
{
    *m = (struct gateway_metrics){
#define METRIC(type_, name_, field_, help_) \
    .field_ = {.name = #name_, .type = METRIC_##type_, .help = help_},
#include "gateway/metric.def"
    };
}

/* ---- the others come and go ---- */

static void on_organization(struct gateway *gw)
{
    if (gw->is_ready)
        return;
    gw->is_ready = true;
    log_info("ready url=%s version=%s", gw->conf.access_url, BUILD_VERSION);
}

static void on_db_state(void *arg, bool up)
{
    struct gateway *gw = arg;
    metric_set(&gw->metrics.database_up, up);
    if (up && !gw->is_ready)
        organization_load(gw, on_organization);
    if (up)
        ask_db_is_back(gw);
    else
        log_warn("the database is away, requests are answered 503 until it is back error=%s",
            LOG_Q(db_why(gw->db)));
}

static void on_patience(void *arg)
{
    ask_give_up(arg);
}

static void on_bulk_state(void *arg, bool up)
{
    (void)arg, (void)up;
}

static void on_feed_state(void *arg, bool heard)
{
    struct gateway *gw = arg;
    metric_set(&gw->metrics.redis_up, heard);
    task_cache_set_valid(gw->cache, heard);
    if (!heard)
        log_warn("Redis is away, every read goes to the database until it is back error=%s",
            LOG_Q(feed_why(gw->feed)));
}

static void on_gap(void *arg, struct feed_id id)
{
    struct gateway *gw = arg;
    (void)id;
    task_cache_set_valid(gw->cache, task_cache_is_valid(gw->cache));
    changes_lost(gw->changes);
    stream_wake_all(gw);
}

static void on_change(void *arg, struct feed_id id, const struct uuid *ids, size_t n)
{
    struct gateway *gw = arg;
    for (size_t i = 0; i < n; i++) {
        task_cache_drop(gw->cache, &ids[i]);
        stream_wake(gw, &ids[i]);
    }
    changes_heard(gw->changes, id, ids, n);
}

/* ---- boot ---- */

static enum err set_logging(void *arg, struct errctx *ctx)
{
    const struct gateway_conf *conf = arg;
    return log_configure(conf->log_level, conf->log_format, ctx);
}

static void set_access_url(struct gateway *gw)
{
    char url[320];
    bool v6 = strchr(gw->conf.address, ':') != NULL;
    snprintf(url, sizeof(url), v6 ? "http://[%s]:%d" : "http://%s:%d", gw->conf.address,
        http_port(gw->http));
    log_info("listening url=%s", url);
    if (gw->conf.access_url == NULL)
        gw->conf.access_url = mem_strdup(url);
}

static enum err read_proxies(struct gateway *gw, struct errctx *ctx)
{
    if (address_nets_parse(gw->conf.trusted_proxies, &gw->trusted))
        return ERR_OK;
    return err_set(ctx, ERR_CONFIG,
        "--trusted-proxies \"%s\" is no list of up to %d addresses and networks, such as "
        "\"10.0.0.0/8, ::1\"",
        gw->conf.trusted_proxies, ADDRESS_NETS_MAX);
}

static enum err open_all(struct gateway *gw, struct errctx *ctx)
{
    gw->auth = auth_new(gw);
    gw->cache = task_cache_new(&gw->metrics.cache_bytes);
    gw->queue = queue_new(gw);
    gw->changes = changes_new(gw);
    list_init(&gw->waiting);
    list_init(&gw->lists);
    streams_init(gw);
    gw->patience = timer_new(gw->loop, on_patience, gw);
    enum err e = bus_connect(gw->loop, gw->conf.scheduler_url, &gw->bus, ctx);
    if (e != ERR_OK)
        return e;
    gw->db = db_new(gw->loop, gw->conf.database_url, "stint-gateway", on_db_state, gw);
    gw->db_bulk = db_new(gw->loop, gw->conf.database_url, "stint-gateway bulk", on_bulk_state, gw);
    const struct feed_sink sink = {
        .on_change = on_change, .on_gap = on_gap, .on_state = on_feed_state, .arg = gw};
    gw->feed = feed_new(gw->loop, gw->conf.redis_url, &sink);
    gw->counts = kv_new(gw->loop, gw->conf.redis_url, NULL, NULL);
    gw->rates = rates_new(gw);
    gw->attempts = attempts_new();
    gw->binaries = binaries_new(gw);
    e = http_listen(gw, &gw->http, ctx);
    if (e == ERR_OK)
        set_access_url(gw);
    return e;
}

/* ---- the end ---- */

struct ending {
    struct gateway *gw;
    struct timer *timer;
    enum { SERVING, DRAINING, CLOSING } phase;
};

static void on_drained(void *arg)
{
    struct ending *end = arg;
    if (end->phase != DRAINING)
        return;
    end->phase = CLOSING;
    http_close(end->gw->http);
    timer_start(end->timer, CLOSE_MS, 0);
}

static void on_end_timer(void *arg)
{
    struct ending *end = arg;
    if (end->phase == DRAINING) {
        log_warn("some requests did not end in time, closing them");
        on_drained(end);
    } else {
        loop_stop(end->gw->loop);
    }
}

static void on_terminate(void *arg)
{
    struct ending *end = arg;
    if (end->phase != SERVING)
        return;
    log_info("stopping");
    end->phase = DRAINING;
    timer_start(end->timer, DRAIN_MS, 0);
    http_drain(end->gw->http, on_drained, end);
}

static void close_all(struct gateway *gw)
{
    kv_free(gw->counts);
    db_free(gw->db);
    db_free(gw->db_bulk);
    feed_free(gw->feed);
    rates_free(gw->rates);
    attempts_free(gw->attempts);
    binaries_free(gw->binaries);
    oidc_free(gw->oidc);
    bus_client_free(gw->bus);
    queue_free(gw->queue);
    changes_free(gw->changes);
    task_cache_free(gw->cache);
    auth_free(gw->auth);
    timer_free(gw->patience);
    timer_free(gw->stream_timer);
}

static enum err serve(struct gateway *gw, struct reload *reload, struct errctx *ctx)
{
    gw->loop = loop_new();
    enum err e = open_all(gw, ctx);
    if (e != ERR_OK)
        return e; /* the process ends, and with it what is open */
    struct ending end = {.gw = gw};
    end.timer = timer_new(gw->loop, on_end_timer, &end);
    loop_on_terminate(gw->loop, on_terminate, &end);
    reload_on_hangup(gw->loop, reload);
    loop_run(gw->loop);
    timer_free(end.timer);
    loop_finish_work(gw->loop); /* its callbacks use what is closed now */
    close_all(gw);
    loop_free(gw->loop);
    http_free(gw->http);
    map_done(&gw->stream_topics);
    log_info("stopped");
    return ERR_OK;
}

int main(int argc, char **argv)
{
    static struct gateway gw;
    struct errctx ctx = {0};
    int n_args;
    enum conf_next next;
    log_init("gateway");
    enum err e = conf_load(&spec, argc, argv, &gw.conf, &n_args, &next, &ctx);
    if (e == ERR_OK && next == CONF_EXIT)
        return EXIT_SUCCESS;
    if (e == ERR_OK && n_args > 0)
        e = err_set(&ctx, ERR_USAGE, "\"%s\" is no command of stint-gateway; try --help", argv[1]);
    if (e == ERR_OK)
        e = set_logging(&gw.conf, &ctx);
    if (e == ERR_OK)
        e = read_proxies(&gw, &ctx);
    if (e == ERR_OK)
        e = oidc_new(&gw, &gw.oidc, &ctx);
    if (e == ERR_OK && sodium_init() < 0)
        e = err_set(&ctx, ERR_UNAVAILABLE, "libsodium cannot be initialised");
    init_metrics(&gw.metrics);
    struct reload reload = {&spec, argc, argv, &gw.conf, set_logging, &gw.conf};
    if (e == ERR_OK)
        e = serve(&gw, &reload, &ctx);
    if (e != ERR_OK)
        log_error("cannot start error=%s", LOG_Q(ctx.text));
    conf_done(&spec, &gw.conf);
    return err_exit_status(e);
}
