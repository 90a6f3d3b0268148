/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - birth of the scheduler: settings, schema, bus, ingest, election, loop; and back.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/bus/admin.h"
#include "core/loop/reload.h"
#include "scheduler/conf.h"
#include "scheduler/leader.h"
#include "scheduler/metric.h"
#include "scheduler/migrate.h"

struct scheduler {
    struct scheduler_conf conf;
    struct loop *loop;
    struct serve *serve;
    struct feed_writer *feed;
    struct ingest *ingest;
    struct leader *leader;
    struct admin *admin;
    struct state_keys *state_keys;
    atomic_bool ready;
    bool is_ending;
};

static void on_said(void *arg, const struct agent_said *events, size_t n)
{
    struct scheduler *s = arg;
    if (s->leader != NULL)
        leader_agents_said(s->leader, events, n);
}

static void on_kv_state(void *arg, bool up)
{
    struct scheduler *s = arg;
    if (up)
        log_info("Redis is here");
    else
        log_warn("Redis is away, reports wait with the agents until it is back error=%s",
            LOG_Q(feed_writer_why(s->feed)));
}

static void on_left(void *arg)
{
    struct scheduler *s = arg;
    loop_stop(s->loop);
}

/* Who asks twice does not want to wait for the hand-over. */
static void on_terminate(void *arg)
{
    struct scheduler *s = arg;
    log_info("stopping");
    if (s->leader == NULL || s->is_ending)
        loop_stop(s->loop);
    else
        leader_end(s->leader, on_left, s);
    s->is_ending = true;
}

static enum err start(struct scheduler *s, struct errctx *ctx)
{
    enum err code = state_keys_load(s->conf.state_key_file, &s->state_keys, ctx);
    if (code == ERR_OK)
        code = serve_new(s->loop, s->conf.listen, &s->serve, ctx);
    if (code == ERR_OK)
        code = admin_listen(s->conf.admin_address, &s->ready, scheduler_metrics,
            SCHEDULER_METRIC_COUNT, &s->admin, ctx);
    if (code != ERR_OK)
        return code;
    serve_set_state_keys(s->serve, s->state_keys);
    s->feed = feed_writer_new(s->loop, s->conf.redis_url, 's', on_kv_state, s);
    s->ingest = ingest_new(s->loop, &s->conf, on_said, s);
    s->leader = leader_new(s->loop, &s->conf, s->serve, s->feed, s->ingest, &s->ready);
    log_info("started version=" STINT_VERSION " listen=%s admin=%s", serve_url(s->serve),
        s->admin != NULL ? admin_url(s->admin) : "none");
    return ERR_OK;
}

static void stop(struct scheduler *s)
{
    leader_free(s->leader);
    s->leader = NULL;
    ingest_free(s->ingest);
    feed_writer_free(s->feed);
    serve_free(s->serve);
    state_keys_free(s->state_keys);
    admin_free(s->admin);
    if (s->loop != NULL)
        loop_free(s->loop);
}

static enum err on_reload(void *arg, struct errctx *ctx)
{
    struct scheduler *s = arg;
    if (s->leader != NULL)
        leader_conf_changed(s->leader);
    return log_configure(s->conf.log_level, s->conf.log_format, ctx);
}

static enum err run(struct scheduler *s, struct reload *reload, struct errctx *ctx)
{
    s->loop = loop_new();
    loop_on_terminate(s->loop, on_terminate, s);
    reload_on_hangup(s->loop, reload);
    enum err code = migrate_check(s->conf.database_url, ctx);
    if (code == ERR_DB_DOWN) /* it may come up later; the election waits for it */
        log_warn("cannot reach Postgres, waiting for it error=%s", LOG_Q(ctx->text));
    if (code == ERR_OK || code == ERR_DB_DOWN)
        code = start(s, ctx);
    if (code == ERR_OK)
        loop_run(s->loop);
    stop(s);
    return code;
}

/* Unix sockets and loopback are fine; anything else is plain text on somebody's network. */
static bool is_local(const char *url)
{
    static const char *const local[] = {"ipc://", "tcp://127.",
        "tcp://localhost:", "tcp://[::1]:", "ws://127.", "ws://localhost:", "ws://[::1]:"};
    for (size_t i = 0; i < COUNT(local); i++)
        if (strncmp(url, local[i], strlen(local[i])) == 0)
            return true;
    return false;
}

static enum err check_listen(const struct scheduler_conf *c, struct errctx *ctx)
{
    scoped_free char *copy = mem_strdup(c->listen);
    char *rest = copy, *url;
    while (c->insecure_bus == 0 && (url = strsep(&rest, ",")) != NULL)
        if (!is_local(url))
            return err_set(ctx, ERR_CONFIG,
                "%s is open to the network without encryption: listen on ipc:// or loopback, or "
                "set "
                "--insecure-bus if nobody else can reach it",
                url);
    return ERR_OK;
}

static enum err check_conf(const struct scheduler_conf *c, bool needs_redis, struct errctx *ctx)
{
    if (c->database_url == NULL)
        return err_set(ctx, ERR_CONFIG, "no database: set --database-url or STINT_DATABASE_URL");
    if (needs_redis && c->redis_url == NULL)
        return err_set(ctx, ERR_CONFIG, "no Redis: set --redis-url or STINT_REDIS_URL");
    if (strcmp(c->cap_policy, "queue") != 0 && strcmp(c->cap_policy, "reject") != 0)
        return err_set(ctx, ERR_CONFIG, "cap_policy is \"%s\": use queue or reject", c->cap_policy);
    enum err e = log_configure(c->log_level, c->log_format, ctx);
    return e != ERR_OK ? e : check_listen(c, ctx);
}

int main(int argc, char **argv)
{
    log_init("scheduler");
    struct scheduler s = {0};
    struct errctx ctx = {0};
    enum conf_next next = CONF_GO;
    int n_args = 0;
    enum err code = conf_load(&scheduler_conf_spec, argc, argv, &s.conf, &n_args, &next, &ctx);
    struct reload reload = {&scheduler_conf_spec, argc, argv, &s.conf, on_reload, &s};
    const char *command = code == ERR_OK && n_args > 0 ? argv[1] : "run";
    bool is_migrate = strcmp(command, "migrate") == 0;
    if (code == ERR_OK && next == CONF_GO) {
        code = check_conf(&s.conf, !is_migrate, &ctx);
        if (code == ERR_OK && is_migrate)
            code = migrate(s.conf.database_url, &ctx);
        else if (code == ERR_OK && strcmp(command, "run") == 0)
            code = run(&s, &reload, &ctx);
        else if (code == ERR_OK)
            code = err_set(&ctx, ERR_USAGE, "no command \"%s\": use run or migrate", command);
    }
    conf_done(&scheduler_conf_spec, &s.conf);
    if (code != ERR_OK)
        log_error("cannot go on code=%s error=%s", err_name(code), LOG_Q(ctx.text));
    return err_exit_status(code);
}
