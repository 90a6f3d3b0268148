/* SPDX-License-Identifier: Apache-2.0 */
/* heard.c - see heard.h. */
#include "tests/bench/heard.h"

#include "core/base/clock.h"
#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/kv/kv.h"

struct heard {
    struct kv *kv;
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

static void on_message(void *arg, const char *channel, const char *data, size_t len)
{
    struct heard *h = arg;
    (void)channel;
    if (data == NULL) {
        h->is_ready = true;
        return;
    }
    h->last = clock_mono_us();
    for (size_t at = 0; at + 16 <= len; at += 16) {
        struct uuid id;
        if (uuid_from_bytes(data + at, 16, &id))
            note(h, &id, h->last);
    }
}

static void on_state(void *arg, bool up)
{
    struct heard *h = arg;
    if (!up)
        h->is_ready = false;
}

struct heard *heard_new(struct loop *l, const char *redis_url)
{
    struct heard *h = mem_alloc(sizeof(*h));
    h->kv = kv_new(l, redis_url, on_state, h);
    kv_subscribe(h->kv, "stint:changed", on_message, h);
    return h;
}

void heard_free(struct heard *h)
{
    if (h == NULL)
        return;
    kv_free(h->kv);
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
