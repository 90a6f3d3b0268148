/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.c - one asynchronous connection to Redis.
 *
 *     +-----> down --timer--> connecting --> greeting --> up ----+
 *     |                       (AUTH, SELECT, PING)               |
 *     +------------ lost, refused, too slow <--------------------+
 *
 * hiredis frees its context when the connection ends, and calls back every command in flight with
 * no reply before it does.  The adapter to libuv that comes with hiredis 0.14 drops errors of the
 * socket (libuv stops watching then, and a refused connection is never noticed); the one here hands
 * them to hiredis as "readable", which finds out.
 *
 * hiredis gathers commands until the socket is writable, so those of one turn leave in one write.
 */
#include "core/kv/kv.h"

#include <fcntl.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

#define CONNECT_TIMEOUT_MS 5000
#define RETRY_MIN_MS       50
#define RETRY_MAX_MS       2000

enum state { DOWN, CONNECTING, UP };

struct subscription {
    struct subscription *next;
    struct kv *kv;
    char *channel;
    kv_message_fn on_message;
    void *arg;
};

struct kv {
    struct loop *loop;
    char *host, *socket_path, *password; /* NULL: not given */
    int port, database;
    void (*on_state)(void *arg, bool up);
    void *arg;

    enum state state;
    bool freed;
    redisAsyncContext *redis;
    struct timer *timer; /* to try again; while connecting: to give up */
    int64_t retry_ms;
    char why[200];
    struct subscription *subscriptions;
};

static void lose(struct kv *kv, const char *why);

/* ---- hiredis on libuv ---- */

struct watch {
    uv_poll_t poll;
    redisAsyncContext *redis;
    int events;
};

static void on_socket(uv_poll_t *h, int status, int events);

static void set_events(struct watch *w, int events)
{
    if (events == w->events)
        return;
    w->events = events;
    if (events != 0)
        uv_poll_start(&w->poll, events, on_socket);
    else
        uv_poll_stop(&w->poll);
}

/* An error of the socket ends libuv's watch, but there may be something to read before it. */
static void on_socket(uv_poll_t *h, int status, int events)
{
    struct watch *w = (struct watch *)h;
    if (status < 0) {
        int wanted = w->events;
        w->events = 0;
        set_events(w, wanted);
        events = UV_READABLE;
    }
    if ((events & UV_READABLE) != 0 && w->redis != NULL)
        redisAsyncHandleRead(w->redis);
    if ((events & UV_WRITABLE) != 0 && w->redis != NULL)
        redisAsyncHandleWrite(w->redis);
}

static void add_read(void *w)
{
    set_events(w, ((struct watch *)w)->events | UV_READABLE);
}

static void del_read(void *w)
{
    set_events(w, ((struct watch *)w)->events & ~UV_READABLE);
}

static void add_write(void *w)
{
    set_events(w, ((struct watch *)w)->events | UV_WRITABLE);
}

static void del_write(void *w)
{
    set_events(w, ((struct watch *)w)->events & ~UV_WRITABLE);
}

static void on_watch_closed(uv_handle_t *h)
{
    free((struct watch *)h);
}

static void stop_watching(void *arg)
{
    struct watch *w = arg;
    w->redis = NULL;
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void attach(struct kv *kv)
{
    struct watch *w = mem_alloc(sizeof(*w));
    w->redis = kv->redis;
    fcntl(kv->redis->c.fd, F_SETFD, FD_CLOEXEC); /* hiredis leaves it to children */
    if (uv_poll_init(loop_uv(kv->loop), &w->poll, kv->redis->c.fd) != 0)
        abort(); /* hiredis gave no socket, or one that is watched */
    kv->redis->ev.data = w;
    kv->redis->ev.addRead = add_read;
    kv->redis->ev.delRead = del_read;
    kv->redis->ev.addWrite = add_write;
    kv->redis->ev.delWrite = del_write;
    kv->redis->ev.cleanup = stop_watching;
}

/* ---- connecting ---- */

static void on_published(redisAsyncContext *redis, void *reply, void *arg)
{
    struct subscription *s = arg;
    const redisReply *r = reply;
    (void)redis;
    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements != 3 || s->kv->freed)
        return;
    const char *what = r->element[0]->str;
    if (what != NULL && strcasecmp(what, "subscribe") == 0)
        s->on_message(s->arg, s->channel, NULL, 0);
    else if (r->element[2]->str != NULL)
        s->on_message(s->arg, s->channel, r->element[2]->str, r->element[2]->len);
}

static void subscribe(struct subscription *s)
{
    const char *argv[] = {"SUBSCRIBE", s->channel};
    redisAsyncCommandArgv(s->kv->redis, on_published, s, 2, argv, NULL);
}

static void tell_state(struct kv *kv, bool up)
{
    if (kv->on_state != NULL)
        kv->on_state(kv->arg, up);
}

static void on_up(struct kv *kv)
{
    timer_stop(kv->timer);
    kv->state = UP;
    kv->retry_ms = RETRY_MIN_MS;
    kv->why[0] = '\0';
    for (struct subscription *s = kv->subscriptions; s != NULL; s = s->next)
        subscribe(s);
    tell_state(kv, true);
}

/* AUTH, SELECT and PING end here; the last one makes the connection usable. */
static void on_greeted(redisAsyncContext *redis, void *reply, void *is_last)
{
    struct kv *kv = redis->data;
    const redisReply *r = reply;
    if (r == NULL || kv == NULL || kv->state != CONNECTING)
        return; /* the connection is being lost already */
    if (r->type == REDIS_REPLY_ERROR)
        lose(kv, r->str);
    else if (is_last != NULL)
        on_up(kv);
}

static void greet(struct kv *kv)
{
    if (kv->password != NULL) {
        const char *argv[] = {"AUTH", kv->password};
        redisAsyncCommandArgv(kv->redis, on_greeted, NULL, 2, argv, NULL);
    }
    if (kv->database != 0)
        redisAsyncCommand(kv->redis, on_greeted, NULL, "SELECT %d", kv->database);
    redisAsyncCommand(kv->redis, on_greeted, kv, "PING");
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    struct kv *kv = redis->data;
    if (kv == NULL)
        return;
    if (status == REDIS_OK) {
        if (kv->socket_path == NULL)
            redisEnableKeepAlive(&kv->redis->c);
        greet(kv);
    } else {
        kv->redis = NULL; /* hiredis frees it */
        lose(kv, redis->errstr);
    }
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    struct kv *kv = redis->data;
    (void)status;
    if (kv == NULL)
        return;
    kv->redis = NULL;
    lose(kv, redis->errstr[0] != '\0' ? redis->errstr : "the server closed the connection");
}

static void connect_now(struct kv *kv)
{
    redisAsyncContext *redis = kv->socket_path != NULL ? redisAsyncConnectUnix(kv->socket_path)
                                                       : redisAsyncConnect(kv->host, kv->port);
    if (redis == NULL)
        mem_out();
    kv->state = CONNECTING;
    kv->redis = redis;
    if (redis->err != 0) {
        lose(kv, redis->errstr);
        return;
    }
    redis->data = kv;
    attach(kv);
    timer_start(kv->timer, CONNECT_TIMEOUT_MS, 0);
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
}

static void on_timer(void *arg)
{
    struct kv *kv = arg;
    if (kv->state == CONNECTING)
        lose(kv, "the server does not answer");
    else if (kv->state == DOWN)
        connect_now(kv);
}

static void retry_later(struct kv *kv)
{
    uint16_t dice;
    rng_bytes(&dice, sizeof(dice));
    timer_start(kv->timer, kv->retry_ms / 2 + kv->retry_ms * dice / UINT16_MAX / 2, 0);
    kv->retry_ms = kv->retry_ms * 2 < RETRY_MAX_MS ? kv->retry_ms * 2 : RETRY_MAX_MS;
}

/* Let hiredis go, silently: what is in flight is called back with no reply. */
static void disconnect(struct kv *kv)
{
    redisAsyncContext *redis = steal(kv->redis);
    if (redis == NULL)
        return;
    redis->data = NULL;
    redisAsyncFree(redis);
}

static void lose(struct kv *kv, const char *why)
{
    bool was_up = kv->state == UP;
    bool news = was_up || kv->why[0] == '\0';
    kv->state = DOWN;
    snprintf(kv->why, sizeof(kv->why), "%s", why);
    if (news)
        log_warn("redis cannot be reached, trying on error=%s", LOG_Q(kv->why));
    retry_later(kv);
    disconnect(kv);
    if (was_up && !kv->freed)
        tell_state(kv, false);
}

/* ---- commands ---- */

struct command {
    kv_done_fn done;
    void *arg;
};

static void on_reply(redisAsyncContext *redis, void *reply, void *arg)
{
    struct command *c = arg;
    const redisReply *r = reply;
    (void)redis;
    enum err code = r == NULL ? ERR_KV_DOWN : r->type == REDIS_REPLY_ERROR ? ERR_FAILED : ERR_OK;
    c->done(c->arg, code, r);
    free(c);
}

void kv_command(struct kv *kv, kv_done_fn done, void *arg, int argc, const char *const *argv,
    const size_t *lens)
{
    if (kv->state != UP) {
        if (done != NULL)
            done(arg, ERR_KV_DOWN, NULL);
        return;
    }
    struct command *c = NULL;
    if (done != NULL) {
        c = mem_alloc(sizeof(*c));
        *c = (struct command){done, arg};
    }
    const char **words = (const char **)(uintptr_t)argv; /* hiredis only reads them */
    int rv = redisAsyncCommandArgv(kv->redis, c != NULL ? on_reply : NULL, c, argc, words, lens);
    if (rv != REDIS_OK && c != NULL) { /* it is disconnecting */
        free(c);
        done(arg, ERR_KV_DOWN, NULL);
    }
}

void kv_subscribe(struct kv *kv, const char *channel, kv_message_fn on_message, void *arg)
{
    struct subscription *s = mem_alloc(sizeof(*s));
    *s = (struct subscription){kv->subscriptions, kv, mem_strdup(channel), on_message, arg};
    kv->subscriptions = s;
    if (kv->state == UP)
        subscribe(s);
}

/* ---- life ---- */

/* redis://[user][:password@]host[:port][/database] */
static void parse_tcp(struct kv *kv, const char *rest)
{
    const char *at = strrchr(rest, '@');
    if (at != NULL) {
        const char *colon = memchr(rest, ':', (size_t)(at - rest));
        const char *password = colon != NULL ? colon + 1 : rest;
        kv->password = mem_strndup(password, (size_t)(at - password));
        rest = at + 1;
    }
    size_t host = strcspn(rest, ":/");
    kv->host = mem_strndup(rest, host);
    rest += host;
    kv->port = 6379;
    if (*rest == ':')
        kv->port = (int)strtol(rest + 1, (char **)(uintptr_t)&rest, 10);
    if (*rest == '/')
        kv->database = atoi(rest + 1);
}

struct kv *kv_new(struct loop *l, const char *url, void (*on_state)(void *arg, bool up), void *arg)
{
    struct kv *kv = mem_alloc(sizeof(*kv));
    kv->loop = l;
    kv->on_state = on_state;
    kv->arg = arg;
    kv->retry_ms = RETRY_MIN_MS;
    if (strncmp(url, "unix://", 7) == 0)
        kv->socket_path = mem_strdup(url + 7);
    else
        parse_tcp(kv, strncmp(url, "redis://", 8) == 0 ? url + 8 : url);
    kv->timer = timer_new(l, on_timer, kv);
    timer_start(kv->timer, 0, 0);
    return kv;
}

static void release(void *arg)
{
    struct kv *kv = arg;
    while (kv->subscriptions != NULL) {
        struct subscription *s = kv->subscriptions;
        kv->subscriptions = s->next;
        free(s->channel);
        free(s);
    }
    free(kv->host);
    free(kv->socket_path);
    free(kv->password);
    free(kv);
}

void kv_free(struct kv *kv)
{
    if (kv == NULL)
        return;
    kv->freed = true;
    kv->state = DOWN;
    timer_free(steal(kv->timer));
    disconnect(kv);
    loop_post(kv->loop, release, kv); /* a caller further up may still look at it */
}

bool kv_is_up(const struct kv *kv)
{
    return kv->state == UP;
}

const char *kv_why(const struct kv *kv)
{
    return kv->why;
}
