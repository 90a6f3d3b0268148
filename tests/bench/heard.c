/* SPDX-License-Identifier: Apache-2.0 */
/* heard.c - see heard.h. */
#include "tests/bench/heard.h"

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/kv/feed.h"

struct heard {
    struct feed *feed;
    struct map times; /* task -> int64_t * */
    int64_t last;
    bool is_ready;
};

static void note(struct heard *h, const struct uuid *id, int64_t now)
{
    int64_t *at = map_get(&h->times, id);
    if (at == NULL) {
        at = mem_alloc(sizeof(*at));
        map_put(&h->times, id, at);
    }
    *at = now;
}

static void on_change(void *arg, struct feed_id at, const struct uuid *ids, size_t n)
{
    struct heard *h = arg;
    (void)at;
    h->last = clock_mono_us();
    for (size_t i = 0; i < n; i++)
        note(h, &ids[i], h->last);
}

static void on_gap(void *arg, struct feed_id at)
{
    (void)arg;
    (void)at;
}

static void on_state(void *arg, bool heard)
{
    struct heard *h = arg;
    h->is_ready = heard;
}

struct heard *heard_new(struct loop *l, const char *redis_url)
{
    struct heard *h = mem_alloc(sizeof(*h));
    const struct feed_sink sink = {
        .on_change = on_change, .on_gap = on_gap, .on_state = on_state, .arg = h};
    h->feed = feed_new(l, redis_url, &sink);
    return h;
}

void heard_free(struct heard *h)
{
    if (h == NULL)
        return;
    feed_free(h->feed);
    int64_t *at;
    for (size_t i = 0; (at = map_next(&h->times, &i)) != NULL;)
        free(at);
    map_done(&h->times);
    free(h);
}

bool heard_is_ready(const struct heard *h)
{
    return h->is_ready;
}

int64_t heard_at(const struct heard *h, const struct uuid *task_id)
{
    const int64_t *at = map_get(&h->times, task_id);
    return at != NULL ? *at : 0;
}

int64_t heard_last(const struct heard *h)
{
    return h->last;
}
