/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - birth, turns, drain. */
#include "worker/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/bus/admin.h"
#include "worker/hands.h"
#include "worker/metric.h"
#include "worker/poll.h"
#include "worker/provisioner/local.h"
#include "worker/provisioner/terraform/terraform.h"
#include "worker/results.h"
#include "worker/sessions.h"
#include "worker/states.h"

#define MARK_BYTES 24
/* After the jobs: for their results and lines to leave. */
#define FLUSH_MS 5000

struct worker {
    const struct worker_conf *conf;
    struct uuid id;
    struct loop *loop;
    struct bus_client *scheduler;
    struct kv *redis;
    struct kv *redis_watch; /* subscribed to stint:watermark */
    struct admin *admin;
    struct local *local;
    struct terraform *terraform;
    struct states *states;
    struct slots slots;
    struct hands hands;
    struct progress *progress;
    struct templates *templates;
    struct results *results;
    struct sessions *sessions;
    struct poll *poll;
    struct timer *drain_timer;
    char *agent_url; /* told to the scheduler; "": none */
    atomic_bool ready;
    bool redis_away;
};

/* ---- turns ---- */

static bool has_drained(const struct worker *w)
{
    return w->hands.draining && slots_busy(&w->slots) == 0 && slots_named(&w->slots) == 0 &&
           (poll_has_told_drain(w->poll) || poll_is_away(w->poll));
}

static void on_turn(void *arg)
{
    struct worker *w = arg;
    progress_flush(w->progress);
    results_flush(w->results);
    poll_refresh(w->poll);
    METRIC_SET(jobs_active, slots_busy(&w->slots));
    if (has_drained(w))
        loop_stop(w->loop);
}

/* ---- Redis ---- */

/* n × (id, committed number, big-endian). */
static void on_watermark(void *arg, const char *channel, const char *data, size_t len)
{
    struct worker *w = arg;
    (void)channel;
    for (; len >= MARK_BYTES; data += MARK_BYTES, len -= MARK_BYTES) {
        struct uuid id;
        uint64_t number = 0;
        memcpy(id.b, data, sizeof(id.b));
        for (size_t i = sizeof(id.b); i < MARK_BYTES; i++)
            number = number << 8 | (uint8_t)data[i];
        sessions_committed(w->sessions, &id, number);
        progress_committed(w->progress, &id, number);
    }
}

/* That it has gone is in the log already (core/kv). */
static void on_redis(void *arg, bool up)
{
    struct worker *w = arg;
    if (up && w->redis_away)
        log_info("Redis is back; what it may have lost is handed over again");
    w->redis_away = !up;
    if (up)
        progress_again(w->progress);
}

/* ---- the end ---- */

static void on_drain_late(void *arg)
{
    struct worker *w = arg;
    if (w->hands.giving_up) {
        if (slots_named(&w->slots) > 0)
            log_warn(
                "not all that was in hand could be handed back; its lease will run out jobs=%zu",
                slots_named(&w->slots));
        loop_stop(w->loop);
        return;
    }
    if (slots_busy(&w->slots) > 0)
        log_warn("jobs take longer than drain_timeout; they are handed back jobs=%zu",
            slots_busy(&w->slots));
    hands_give_up(&w->hands);
    timer_start(w->drain_timer, FLUSH_MS, 0);
}

static void on_terminate(void *arg)
{
    struct worker *w = arg;
    if (w->hands.draining) { /* the second signal means it */
        hands_give_up(&w->hands);
        timer_start(w->drain_timer, 1000, 0);
        return;
    }
    log_info("draining; running sandboxes are left alone jobs=%zu", slots_busy(&w->slots));
    atomic_store(&w->ready, false);
    hands_drain(&w->hands);
    sessions_drain(w->sessions);
    timer_start(w->drain_timer, w->conf->drain_timeout_ms + 1, 0);
}

/* ---- birth ---- */

static void on_first_answer(void *arg)
{
    struct worker *w = arg;
    atomic_store(&w->ready, !w->hands.draining);
    struct uuid_str id = uuid_format(&w->id);
    log_info("ready worker=%s name=%s host=%s slots=%lld provisioners=%s data_dir=%s admin=%s "
             "agents=%s",
        id.s, w->conf->name, w->conf->host, (long long)w->conf->slots, w->conf->provisioners,
        w->conf->data_dir, w->admin != NULL ? admin_url(w->admin) : "none",
        w->agent_url[0] != '\0' ? w->agent_url : "of this host");
}

static enum err add_local(struct worker *w, struct errctx *ctx)
{
    const struct local_conf conf = {.data_dir = w->conf->data_dir,
        .agent_path = w->conf->agent_path,
        .mounts = w->conf->mounts,
        .secrets_dir = w->conf->secrets_dir};
    enum err e = local_new(&conf, &w->local, ctx);
    if (e != ERR_OK)
        return e;
    log_info("local provisioner: %s", local_limits_text(w->local));
    w->hands.provisioner[w->hands.n_provisioners++] = local_provisioner(w->local);
    return ERR_OK;
}

static enum err add_terraform(struct worker *w, struct errctx *ctx)
{
    const struct worker_conf *c = w->conf;
    const struct terraform_conf conf = {.data_dir = c->data_dir,
        .path = c->terraform_path,
        .mirror = c->terraform_mirror,
        .access_url = c->access_url,
        .binds = c->terraform_binds,
        .pass = c->terraform_env,
        .sandbox = c->terraform_sandbox != 0,
        .time_limit_ms = c->terraform_time_limit_ms,
        .memory_mb = c->terraform_memory_mb};
    enum err e = terraform_new(&conf, &w->terraform, ctx);
    if (e != ERR_OK)
        return e;
    log_info("terraform provisioner: %s", terraform_text(w->terraform));
    w->hands.provisioner[w->hands.n_provisioners++] = terraform_provisioner(w->terraform);
    return ERR_OK;
}

static enum err add_null(struct worker *w, struct errctx *ctx)
{
    (void)ctx;
    w->hands.provisioner[w->hands.n_provisioners++] = provisioner_null();
    return ERR_OK;
}

static enum err add_provisioner(struct worker *w, const char *name, size_t n, struct errctx *ctx)
{
    static const struct {
        const char *name;
        enum err (*add)(struct worker *w, struct errctx *ctx);
    } rows[] = {
        {"local",     add_local    },
        {"null",      add_null     },
        {"terraform", add_terraform}
    };
    for (size_t i = 0; i < w->hands.n_provisioners; i++) {
        if (strlen(w->hands.provisioner[i].name) == n &&
            strncmp(w->hands.provisioner[i].name, name, n) == 0)
            return ERR_OK;
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
            return rows[i].add(w, ctx);
    }
    return err_set(ctx, ERR_CONFIG,
        "provisioners: there is no \"%.*s\"; there are local, terraform and null", (int)n, name);
}

static enum err add_provisioners(struct worker *w, struct errctx *ctx)
{
    enum err e = ERR_OK;
    for (const char *p = w->conf->provisioners; e == ERR_OK && *p != '\0';) {
        size_t n = strcspn(p, ", ");
        if (n > 0)
            e = add_provisioner(w, p, n, ctx);
        p += n;
        p += strspn(p, ", ");
    }
    if (e == ERR_OK && w->hands.n_provisioners == 0)
        return err_set(ctx, ERR_CONFIG, "provisioners: none is named");
    return e;
}

/* libuv reads it when the first piece of work comes: a thread for each job, and some for templates.
 */
static void size_pool(int64_t slots)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)slots + 4);
    setenv("UV_THREADPOOL_SIZE", text, 1);
}

static enum err open_outside(struct worker *w, struct errctx *ctx)
{
    enum err e = bus_connect(w->loop, w->conf->scheduler_url, &w->scheduler, ctx);
    if (e == ERR_OK)
        e = admin_listen(
            w->conf->admin_address, &w->ready, worker_metrics, WORKER_METRIC_COUNT, &w->admin, ctx);
    if (e != ERR_OK)
        return e;
    w->redis = kv_new(w->loop, w->conf->redis_url, on_redis, w);
    w->redis_watch = kv_new(w->loop, w->conf->redis_url, NULL, NULL);
    e = sessions_new(w->loop, w->scheduler, w->redis, w->conf->data_dir, &w->id, &w->sessions, ctx);
    if (e == ERR_OK && w->conf->agent_listen != NULL && w->conf->agent_listen[0] != '\0')
        e = sessions_listen(w->sessions, w->conf->agent_listen, ctx);
    if (e == ERR_OK)
        w->agent_url = worker_conf_agent_url(w->conf, sessions_url(w->sessions));
    return e;
}

static enum err start(struct worker *w, struct errctx *ctx)
{
    slots_init(&w->slots, (size_t)w->conf->slots);
    METRIC_SET(slots, w->conf->slots);
    enum err e = add_provisioners(w, ctx);
    if (e != ERR_OK)
        return e;
    size_pool(w->conf->slots);
    w->loop = loop_new();
    e = open_outside(w, ctx);
    if (e != ERR_OK)
        return e;
    w->hands.loop = w->loop;
    w->hands.slots = &w->slots;
    w->progress = w->hands.progress = progress_new(w->loop, w->redis, &w->slots);
    w->templates = w->hands.templates =
        templates_new(w->loop, w->scheduler, w->conf->data_dir, hands_template_ready, &w->hands);
    w->states = states_new(w->loop, w->scheduler, &w->id);
    w->hands.states = states_of_jobs(w->states);
    w->results = results_new(w->loop, w->scheduler, &w->slots, &w->id, w->conf->host);
    const struct poll_identity identity = {w->id, w->conf->name, w->conf->host, w->agent_url};
    w->poll =
        poll_new(w->loop, w->scheduler, &identity, &w->hands, w->sessions, on_first_answer, w);
    w->drain_timer = timer_new(w->loop, on_drain_late, w);
    kv_subscribe(w->redis_watch, "stint:watermark", on_watermark, w);
    loop_on_terminate(w->loop, on_terminate, w);
    loop_on_turn(w->loop, on_turn, w);
    return ERR_OK;
}

/* Backwards, down from whatever start() has reached. */
static void stop(struct worker *w)
{
    if (w->loop != NULL)
        loop_on_turn(w->loop, NULL, NULL);
    timer_free(w->drain_timer);
    poll_free(w->poll);
    templates_free(w->templates);
    bus_client_free(w->scheduler); /* tells those who wait for an answer, the results among them */
    results_free(w->results);
    kv_free(w->redis_watch);
    kv_free(w->redis);
    sessions_free(w->sessions);
    progress_free(w->progress);
    admin_free(w->admin);
    loop_free(w->loop);
    slots_done(&w->slots);
    states_free(w->states);
    terraform_free(w->terraform);
    local_free(w->local);
    free(w->agent_url);
}

enum err worker_run(const struct worker_conf *conf, struct reload *reload, struct errctx *ctx)
{
    struct worker w = {.conf = conf, .id = uuid_random()};
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        list_init(&w.slots.list[i]);
    enum err e = start(&w, ctx);
    if (e == ERR_OK) {
        reload_on_hangup(w.loop, reload);
        loop_run(w.loop);
        log_info("stopped jobs=%zu", slots_named(&w.slots));
    }
    if (slots_busy(&w.slots) > 0) {
        /* An action is still under way on its thread, and nothing can be freed under it: end as a
         * kill would, which is as good. */
        _exit(0);
    }
    stop(&w);
    return e;
}
