/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.c - limits of requests per minute, shared through Redis.
 *
 * Every (limit, sender, path) has a window (window.h) here, found by a hash of the three.  Windows
 * in which something was counted are dirty; every SHARE_MS the dirty ones are told to Redis:
 *
 *   INCRBY stint:rate:<hash>:<minute> <own>     the answer is the total of all gateways
 *   EXPIRE …, GET stint:rate:<hash>:<minute-1>  once a minute
 *
 * A window that has had less than a hundredth of its limit stays at home: most paths are asked for
 * now and then, and need not be known to everybody.
 */
#include "gateway/rate.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "gateway/window.h"

#define SHARE_MS          100
#define SHARE_AT_ONCE_MAX 4096
#define WINDOWS_MAX       65536
#define KEEP_SECONDS      "130"
/* The part of a limit that need not be shared. */
#define HOME_PART 100

enum limit { LIMIT_API, LIMIT_LOGIN, LIMIT_FILES, LIMIT_STRANGER, LIMIT_COUNT, LIMIT_NONE };

/* All other routes: LIMIT_API. */
static const struct {
    request_fn handler;
    enum limit limit;
} special[] = {
    {user_login,         LIMIT_LOGIN},
    {user_oidc_callback, LIMIT_LOGIN},
    {user_first_create,  LIMIT_LOGIN},
    {file_create,        LIMIT_FILES},
};

struct entry {
    struct uuid key;
    struct window window;
    uint32_t home; /* so many are not shared */
    bool is_dirty;
};

struct rates {
    struct gateway *gw;
    struct map entries;
    VEC(struct uuid) dirty;
    struct timer *timer;
};

static int64_t max_of(const struct gateway *gw, enum limit limit)
{
    const struct gateway_conf *conf = &gw->conf;
    return limit == LIMIT_LOGIN   ? conf->rate_limit_login
           : limit == LIMIT_FILES ? conf->rate_limit_files
                                  : conf->rate_limit_api;
}

static int64_t wall_ms(void)
{
    return clock_wall_us() / 1000;
}

/* ---- the windows ---- */

static void forget_all(struct rates *rates)
{
    struct entry *e;
    for (size_t i = 0; (e = map_next(&rates->entries, &i)) != NULL;)
        free(e);
    map_done(&rates->entries);
    rates->entries = (struct map){0};
    vec_clear(&rates->dirty);
}

/* The same on every gateway; it need not resist somebody who looks for collisions, for a sender
 * collides with nobody but itself. */
static struct uuid key_of(enum limit limit, const struct uuid *who, const char *path, size_t n)
{
    static const unsigned char siphash_key[crypto_shorthash_siphashx24_KEYBYTES] = "stint rate";
    unsigned char text[1 + sizeof(who->b) + 240];
    struct uuid key;
    size_t take = n < 240 ? n : 240;
    text[0] = (unsigned char)limit;
    memcpy(text + 1, who->b, sizeof(who->b));
    memcpy(text + 1 + sizeof(who->b), path, take);
    crypto_shorthash_siphashx24(key.b, text, 1 + sizeof(who->b) + take, siphash_key);
    return key;
}

static struct entry *entry_of(struct rates *rates, const struct uuid *key, int64_t max)
{
    struct entry *e = map_get(&rates->entries, key);
    if (e == NULL) {
        if (rates->entries.n >= WINDOWS_MAX)
            forget_all(rates); /* what was shared comes back from Redis */
        e = mem_alloc(sizeof(*e));
        e->key = *key;
        map_put(&rates->entries, key, e);
    }
    e->home = (uint32_t)(max / HOME_PART);
    window_turn(&e->window, wall_ms());
    return e;
}

static void count(struct rates *rates, struct entry *e)
{
    window_count(&e->window);
    if (e->is_dirty || (!e->window.is_shared && e->window.own <= e->home))
        return;
    e->is_dirty = true;
    *vec_push(&rates->dirty) = e->key;
    if (rates->dirty.n == 1)
        timer_start(rates->timer, SHARE_MS, 0);
}

/* ---- sharing them ---- */

struct told {
    struct gateway *gw;
    struct uuid key;
    int64_t minute;
    bool is_previous;
};

/* NULL: its minute is over, or it was forgotten. */
static struct entry *entry_told(const struct told *t)
{
    struct rates *rates = t->gw->rates;
    struct entry *e = rates != NULL ? map_get(&rates->entries, &t->key) : NULL;
    return e != NULL && e->window.minute == t->minute ? e : NULL;
}

static void on_told(void *arg, enum err code, const struct redisReply *reply)
{
    struct told *t = arg;
    struct entry *e = entry_told(t);
    if (e != NULL && t->is_previous && code == ERR_OK && reply->str != NULL)
        window_learn_previous(&e->window, (uint32_t)strtoul(reply->str, NULL, 10));
    else if (e != NULL && !t->is_previous && code == ERR_OK)
        window_sent(&e->window, (uint32_t)reply->integer);
    else if (e != NULL && !t->is_previous)
        window_send_failed(&e->window);
    free(t);
}

static void name_of(const struct entry *e, int64_t minute, char *name, size_t size)
{
    char hash[33];
    sodium_bin2hex(hash, sizeof(hash), e->key.b, sizeof(e->key.b));
    snprintf(name, size, "stint:rate:%s:%" PRId64, hash, minute);
}

static struct told *told_new(struct gateway *gw, const struct entry *e, bool is_previous)
{
    struct told *t = mem_alloc(sizeof(*t));
    *t = (struct told){gw, e->key, e->window.minute, is_previous};
    return t;
}

static void learn_previous(struct gateway *gw, const struct entry *e)
{
    char name[96];
    name_of(e, e->window.minute - 1, name, sizeof(name));
    const char *argv[] = {"GET", name};
    kv_command(gw->counts, on_told, told_new(gw, e, true), 2, argv, NULL);
}

static void share(struct gateway *gw, struct entry *e)
{
    char own[16], name[96];
    e->is_dirty = false;
    window_turn(&e->window, wall_ms());
    if (e->window.own == 0 || e->window.sent > 0)
        return;
    bool is_first = !e->window.is_shared;
    if (is_first)
        learn_previous(gw, e);
    name_of(e, e->window.minute, name, sizeof(name));
    snprintf(own, sizeof(own), "%u", window_send(&e->window));
    const char *argv[] = {"INCRBY", name, own};
    kv_command(gw->counts, on_told, told_new(gw, e, false), 3, argv, NULL);
    const char *expire[] = {"EXPIRE", name, KEEP_SECONDS};
    if (is_first)
        kv_command(gw->counts, NULL, NULL, 3, expire, NULL);
}

static void on_timer(void *arg)
{
    struct rates *rates = arg;
    if (!kv_is_up(rates->gw->counts)) {
        timer_start(rates->timer, SHARE_MS, 0);
        return;
    }
    for (size_t n = 0; n < SHARE_AT_ONCE_MAX && rates->dirty.n > 0; n++) {
        struct entry *e = map_get(&rates->entries, &rates->dirty.v[--rates->dirty.n]);
        if (e != NULL)
            share(rates->gw, e);
    }
    if (rates->dirty.n > 0)
        timer_start(rates->timer, SHARE_MS, 0);
}

/* ---- requests ---- */

static enum limit limit_of(const struct request *r)
{
    if ((r->route->prefixes & PREFIX_ROOT) != 0)
        return LIMIT_NONE;
    for (size_t i = 0; i < COUNT(special); i++)
        if (special[i].handler == r->route->handler)
            return special[i].limit;
    return LIMIT_API;
}

static void put_number(struct request *r, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    answer_header(r, name, text);
}

static void put_headers(struct request *r, int64_t max, int64_t remaining)
{
    put_number(r, "x-ratelimit-limit:", max);
    put_number(r, "x-ratelimit-remaining:", remaining);
    put_number(r, "x-ratelimit-reset:", (wall_ms() / WINDOW_MS + 1) * (WINDOW_MS / 1000));
}

static bool refuse(struct request *r, int64_t max)
{
    metric_add(&r->gw->metrics.rate_limited, 1);
    put_headers(r, max, 0);
    put_number(r, "retry-after:", WINDOW_MS / 1000);
    answer_errorf(r, 429, NULL,
        "You've been rate limited for sending more than %" PRId64 " requests in 1m0s.", max);
    return false;
}

/* Counts it, if there is room. */
static bool take(struct request *r, enum limit limit, const struct uuid *key)
{
    int64_t max = max_of(r->gw, limit);
    struct entry *e = entry_of(r->gw->rates, key, max);
    int64_t rate = window_rate(&e->window, wall_ms());
    if (rate >= max)
        return refuse(r, max);
    put_headers(r, max, max - rate - 1);
    count(r->gw->rates, e);
    return true;
}

static bool bypass(struct request *r, int64_t max)
{
    if ((r->who.roles & ROLE_OWNER) == 0) {
        strbuf_addstr(&r->out, "\"X-Coder-Bypass-Ratelimit\" provided but user is not owner\n");
        answer_text(r, 428, "text/plain; charset=utf-8");
        return false;
    }
    put_headers(r, max, max - 1);
    return true;
}

bool rate_admit(struct request *r)
{
    enum limit limit = limit_of(r);
    if (limit == LIMIT_NONE || !r->gw->conf.rate_limits)
        return true;
    bool is_person = !uuid_is_nil(&r->who.id) && r->route->auth != AUTH_AGENT;
    if (is_person && r->wants_bypass)
        return bypass(r, max_of(r->gw, limit));
    struct uuid who = uuid_is_nil(&r->who.id) ? address_group(&r->client) : r->who.id;
    struct uuid key = key_of(limit, &who, r->path.s, r->path.len);
    return take(r, limit, &key);
}

bool rate_admit_stranger(struct request *r)
{
    if (!r->gw->conf.rate_limits)
        return true;
    struct uuid who = address_group(&r->client);
    struct uuid key = key_of(LIMIT_STRANGER, &who, "", 0);
    return take(r, LIMIT_STRANGER, &key);
}

/* ---- life ---- */

struct rates *rates_new(struct gateway *gw)
{
    struct rates *rates = mem_alloc(sizeof(*rates));
    rates->gw = gw;
    rates->timer = timer_new(gw->loop, on_timer, rates);
    return rates;
}

void rates_free(struct rates *rates)
{
    if (rates == NULL)
        return;
    rates->gw->rates = NULL; /* for answers of Redis that are on their way */
    timer_free(rates->timer);
    forget_all(rates);
    vec_done(&rates->dirty);
    free(rates);
}
