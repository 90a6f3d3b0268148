/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c - counting tries of passwords.
 *
 * The counts are in Redis, where one script looks and counts in one step: of many tries at the same
 * moment none slips through.  While Redis is away the same is done in this process's memory.
 *
 *   stint:attempt:<what>:<hash>        tries, for a quarter of an hour after the last one
 *   stint:attempt:<what>:<hash>:wait   lives as long as the next one has to wait
 */
#include "gateway/attempt.h"

#include <ctype.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"

#define REMEMBER_MS (15 * 60 * 1000)
#define DELAY_MS    1000
#define TALLIES_MAX 16384
#define NAME_SIZE   80

enum { BOTH, ACCOUNT, ADDRESS, WHAT_COUNT };

/* An account that somebody elsewhere tries to get into is not closed for long to its owner. */
static const struct what {
    const char *name;
    unsigned free_factor; /* times login_failures_max are free */
    int64_t delay_ms_max;
} whats[WHAT_COUNT] = {
    [BOTH] = {"both",    1,  REMEMBER_MS},
    [ACCOUNT] = {"account", 10, 30 * 1000  },
    [ADDRESS] = {"address", 10, REMEMBER_MS},
};

static const char begin_script[] =
    "local wait = 0\n"
    "for i = 1, 3 do wait = math.max(wait, redis.call('PTTL', KEYS[i + 3])) end\n"
    "if wait > 0 then return wait end\n"
    "for i = 1, 3 do\n"
    "  local n = redis.call('INCR', KEYS[i])\n"
    "  redis.call('PEXPIRE', KEYS[i], ARGV[7])\n"
    "  local over = math.min(n - tonumber(ARGV[i]), 20)\n"
    "  if over >= 0 then\n"
    "    local ms = math.min(1000 * 2 ^ over, tonumber(ARGV[i + 3]))\n"
    "    redis.call('SET', KEYS[i + 3], '1', 'PX', string.format('%d', ms))\n"
    "  end\n"
    "end\n"
    "return 0\n";

/* ---- names ---- */

struct names {
    struct uuid hash[WHAT_COUNT];
    char count[WHAT_COUNT][NAME_SIZE], wait[WHAT_COUNT][NAME_SIZE + 8];
};

static void make_names(const struct request *r, const char *account, struct names *ret)
{
    struct uuid group = address_group(&r->client);
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        crypto_generichash_state s;
        char hex[33];
        crypto_generichash_init(&s, NULL, 0, sizeof(ret->hash[i].b));
        crypto_generichash_update(&s, (const unsigned char *)whats[i].name, 4);
        if (i != ACCOUNT)
            crypto_generichash_update(&s, group.b, sizeof(group.b));
        for (const char *c = account; i != ADDRESS && *c != '\0'; c++)
            crypto_generichash_update(
                &s, &(unsigned char){(unsigned char)tolower((unsigned char)*c)}, 1);
        crypto_generichash_final(&s, ret->hash[i].b, sizeof(ret->hash[i].b));
        sodium_bin2hex(hex, sizeof(hex), ret->hash[i].b, sizeof(ret->hash[i].b));
        snprintf(ret->count[i], NAME_SIZE, "stint:attempt:%s:%s", whats[i].name, hex);
        snprintf(
            ret->wait[i], sizeof(ret->wait[i]), "stint:attempt:%s:%s:wait", whats[i].name, hex);
    }
}

/* ---- in memory ---- */

struct tally {
    int64_t n, wait_until_mono_ms, last_mono_ms;
};

struct attempts {
    struct map tallies;
};

static void forget_all(struct attempts *a)
{
    struct tally *t;
    for (size_t i = 0; (t = map_next(&a->tallies, &i)) != NULL;)
        free(t);
    map_done(&a->tallies);
    a->tallies = (struct map){0};
}

static struct tally *tally_of(struct attempts *a, const struct uuid *hash, int64_t now)
{
    struct tally *t = map_get(&a->tallies, hash);
    if (t == NULL) {
        if (a->tallies.n >= TALLIES_MAX)
            forget_all(a);
        t = mem_alloc(sizeof(*t));
        map_put(&a->tallies, hash, t);
    }
    if (now - t->last_mono_ms > REMEMBER_MS)
        *t = (struct tally){0};
    return t;
}

static void tally_count(struct tally *t, const struct what *w, int64_t free_tries, int64_t now)
{
    int64_t over = ++t->n - free_tries * w->free_factor;
    t->last_mono_ms = now;
    if (over < 0)
        return;
    int64_t delay = (int64_t)DELAY_MS << (over < 20 ? over : 20);
    t->wait_until_mono_ms = now + (delay < w->delay_ms_max ? delay : w->delay_ms_max);
}

/* How long to wait, in ms; 0: it was counted. */
static int64_t begin_here(struct gateway *gw, const struct names *names)
{
    int64_t now = clock_mono_ms(), wait = 0;
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        int64_t until = tally_of(gw->attempts, &names->hash[i], now)->wait_until_mono_ms;
        wait = until - now > wait ? until - now : wait;
    }
    for (size_t i = 0; i < WHAT_COUNT && wait == 0; i++)
        tally_count(tally_of(gw->attempts, &names->hash[i], now), &whats[i],
            gw->conf.login_failures_max, now);
    return wait;
}

static void succeeded_here(struct attempts *a, const struct names *names)
{
    free(map_remove(&a->tallies, &names->hash[BOTH]));
    free(map_remove(&a->tallies, &names->hash[ACCOUNT]));
    struct tally *t = map_get(&a->tallies, &names->hash[ADDRESS]);
    if (t != NULL && t->n > 0)
        t->n--;
}

/* ---- in Redis ---- */

struct attempt {
    struct request *r;
    request_fn then;
    struct names names;
};

static void go_on(struct attempt *take, int64_t wait_ms)
{
    struct request *r = take->r;
    request_fn then = take->then;
    free(take);
    if (wait_ms <= 0) {
        then(r);
        return;
    }
    char seconds[24], detail[64];
    snprintf(seconds, sizeof(seconds), "%" PRId64, (wait_ms + 999) / 1000);
    snprintf(detail, sizeof(detail), "Try again in %s seconds.", seconds);
    answer_header(r, "retry-after:", seconds);
    metric_add(&r->gw->metrics.logins_held, 1);
    answer_error(r, 429, "Too many attempts to log in.", detail);
}

static void on_begun(void *arg, enum err code, const struct redisReply *reply)
{
    struct attempt *a = arg;
    bool ok = code == ERR_OK && reply->type == REDIS_REPLY_INTEGER;
    go_on(a, ok ? reply->integer : begin_here(a->r->gw, &a->names));
}

void attempt_begin(struct request *r, const char *account, request_fn then)
{
    int64_t tries = r->gw->conf.login_failures_max;
    if (tries == 0) {
        then(r);
        return;
    }
    struct attempt *a = mem_alloc(sizeof(*a));
    a->r = r;
    a->then = then;
    make_names(r, account, &a->names);
    char number[7][24];
    const char *argv[3 + 2 * WHAT_COUNT + 7] = {"EVAL", begin_script, "6"};
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        argv[3 + i] = a->names.count[i];
        argv[3 + WHAT_COUNT + i] = a->names.wait[i];
        snprintf(number[i], sizeof(number[i]), "%" PRId64, tries * whats[i].free_factor);
        snprintf(number[WHAT_COUNT + i], sizeof(number[i]), "%" PRId64, whats[i].delay_ms_max);
    }
    snprintf(number[6], sizeof(number[6]), "%d", REMEMBER_MS);
    for (size_t i = 0; i < COUNT(number); i++)
        argv[3 + 2 * WHAT_COUNT + i] = number[i];
    kv_command(r->gw->counts, on_begun, a, (int)COUNT(argv), argv, NULL);
}

void attempt_succeeded(struct request *r, const char *account)
{
    struct names names;
    if (r->gw->conf.login_failures_max == 0)
        return;
    make_names(r, account, &names);
    succeeded_here(r->gw->attempts, &names);
    const char *del[] = {
        "DEL", names.count[BOTH], names.wait[BOTH], names.count[ACCOUNT], names.wait[ACCOUNT]};
    kv_command(r->gw->counts, NULL, NULL, (int)COUNT(del), del, NULL);
    const char *decr[] = {"DECR", names.count[ADDRESS]};
    const char *expire[] = {"EXPIRE", names.count[ADDRESS], "900"};
    kv_command(r->gw->counts, NULL, NULL, (int)COUNT(decr), decr, NULL);
    kv_command(r->gw->counts, NULL, NULL, (int)COUNT(expire), expire, NULL);
}

/* ---- life ---- */

struct attempts *attempts_new(void)
{
    return mem_alloc(sizeof(struct attempts));
}

void attempts_free(struct attempts *a)
{
    if (a == NULL)
        return;
    forget_all(a);
    free(a);
}
