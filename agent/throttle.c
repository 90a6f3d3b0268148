/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket of tokens, and one place per app for what found it empty. */
#include "agent/throttle.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define TOKEN_MS (1000 / THROTTLE_PER_SECOND)
#define RETRY_MS 1000
/* A line of log for each of them would be a flood too. */
#define COMPLAIN_MS 30000

struct kept {
    char *message, *uri; /* NULL: nothing is kept */
    enum app_state state;
};

struct throttle {
    throttle_say_fn say;
    void *arg;
    struct timer *timer;
    int64_t full_mono_ms; /* when the bucket is full again, if nothing is taken */
    int64_t complained_mono_ms;
    unsigned n_replaced; /* since then */
    size_t n_apps;
    struct kept kept[];
};

static void on_timer(void *arg);

struct throttle *throttle_new(struct loop *l, size_t n_apps, throttle_say_fn say, void *arg)
{
    struct throttle *t = mem_alloc(sizeof(*t) + n_apps * sizeof(t->kept[0]));
    t->say = say;
    t->arg = arg;
    t->n_apps = n_apps;
    t->timer = timer_new(l, on_timer, t);
    return t;
}

static void forget(struct kept *k)
{
    free(k->message);
    free(k->uri);
    *k = (struct kept){0};
}

void throttle_free(struct throttle *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_apps; i++)
        forget(&t->kept[i]);
    timer_free(t->timer);
    free(t);
}

/* Each token taken puts off the moment at which the bucket is full. */
static bool take_token(struct throttle *t)
{
    int64_t now = clock_mono_ms();
    if (t->full_mono_ms < now)
        t->full_mono_ms = now;
    if (t->full_mono_ms - now > (THROTTLE_BURST - 1) * TOKEN_MS)
        return false;
    t->full_mono_ms += TOKEN_MS;
    return true;
}

bool throttle_take(struct throttle *t, size_t app)
{
    return t->kept[app].message == NULL && take_token(t);
}

static void complain(struct throttle *t)
{
    int64_t now = clock_mono_ms();
    if (t->complained_mono_ms != 0 && now - t->complained_mono_ms < COMPLAIN_MS)
        return;
    log_warn("too many reports, the newest is kept until there is room gave_way=%u", t->n_replaced);
    t->complained_mono_ms = now;
    t->n_replaced = 0;
}

void throttle_keep(
    struct throttle *t, size_t app, enum app_state state, const char *message, const char *uri)
{
    struct kept *k = &t->kept[app];
    t->n_replaced += k->message != NULL;
    if (k->message == NULL)
        timer_start(t->timer, TOKEN_MS, 0);
    forget(k);
    *k = (struct kept){mem_strdup(message), mem_strdup(uri), state};
    complain(t);
}

static bool say(struct throttle *t, size_t app)
{
    struct kept *k = &t->kept[app];
    if (t->say(t->arg, app, k->state, k->message, k->uri) != ERR_OK)
        return false;
    forget(k);
    return true;
}

static void on_timer(void *arg)
{
    struct throttle *t = arg;
    int64_t again_ms = 0;
    for (size_t i = 0; i < t->n_apps; i++) {
        if (t->kept[i].message == NULL)
            continue;
        if (!take_token(t))
            again_ms = again_ms > 0 ? again_ms : TOKEN_MS;
        else if (!say(t, i))
            again_ms = RETRY_MS;
    }
    if (again_ms > 0)
        timer_start(t->timer, again_ms, 0);
}

void throttle_flush(struct throttle *t)
{
    for (size_t i = 0; i < t->n_apps; i++)
        if (t->kept[i].message != NULL)
            (void)say(t, i);
}
