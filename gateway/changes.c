/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.c - see changes.h.
 *
 * Places count up for ever; the ring holds those from `first` to before `head`.
 */
#include "gateway/changes.h"

#include <string.h>

#include "core/base/map.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "gateway/json_out.h"
#include "gateway/queue.h"
#include "gateway/task_load.h"

#define READ_MAX       256
#define READ_SHORT_MAX 16
#define WAITING_MAX    50000
/* After a read that failed. */
#define PAUSE_MS 250

struct heard {
    struct uuid task_id; /* nil: heard of again since, and further back in the line */
    struct feed_id id;
};

struct changes {
    struct gateway *gw;
    struct list listeners;
    struct change ring[CHANGES_MAX];
    uint64_t first, head;
    size_t bytes;
    struct map newest; /* task -> its place in the ring, + 1 */

    VEC(struct heard) waiting;
    struct map waits; /* task -> its place in the line, + 1 */
    VEC(struct heard) reading;
    struct task_blob **blobs; /* of `reading` */
    struct uuid *owners;
    uint64_t mark;
    bool is_reading;
    bool is_dropped; /* what is being read is not wanted any more */
    struct timer *pause;
};

/* ---- the ring ---- */

static struct change *at(struct changes *c, uint64_t place)
{
    return &c->ring[place % CHANGES_MAX];
}

static void *as_value(uint64_t place)
{
    return (void *)(uintptr_t)(place + 1);
}

static void drop_text(struct changes *c, struct change *ch)
{
    c->bytes -= ch->n;
    free(ch->text);
    ch->text = NULL;
    ch->n = 0;
    ch->is_over = true;
}

static void drop_first(struct changes *c)
{
    struct change *ch = at(c, c->first);
    if (map_get(&c->newest, &ch->task_id) == as_value(c->first))
        map_remove(&c->newest, &ch->task_id);
    drop_text(c, ch);
    c->first++;
}

static void drop_all(struct changes *c)
{
    while (c->first < c->head)
        drop_first(c);
}

static void append(struct changes *c, const struct change *take)
{
    void *before = map_get(&c->newest, &take->task_id);
    if (before != NULL)
        drop_text(c, at(c, (uint64_t)(uintptr_t)before - 1));
    while (c->head - c->first == CHANGES_MAX ||
           (c->head > c->first && c->bytes + take->n > CHANGES_BYTES_MAX))
        drop_first(c);
    *at(c, c->head) = *take;
    map_put(&c->newest, &take->task_id, as_value(c->head));
    c->bytes += take->n;
    c->head++;
}

/* ---- listeners ---- */

static void wake_all(struct changes *c)
{
    list_for_safe(it, &c->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        l->wake(l);
    }
}

void changes_join(struct changes *c, struct listener *l)
{
    list_append(&c->listeners, &l->link);
    changes_catch_up(c, l);
}

static void forget_waiting(struct changes *c)
{
    vec_clear(&c->waiting);
    map_done(&c->waits);
    c->waits = (struct map){0};
}

void changes_leave(struct changes *c, struct listener *l)
{
    list_unlink(&l->link);
    if (!list_is_empty(&c->listeners))
        return;
    drop_all(c);
    forget_waiting(c);
    c->is_dropped = true;
}

void changes_catch_up(struct changes *c, struct listener *l)
{
    l->next = c->head;
    l->is_lost = false;
}

const struct change *changes_next(struct changes *c, struct listener *l)
{
    l->is_lost |= l->next < c->first;
    while (!l->is_lost && l->next < c->head) {
        const struct change *ch = at(c, l->next++);
        if (!ch->is_over)
            return ch;
    }
    return NULL;
}

bool changes_goes_on(const struct changes *c, const struct listener *l, struct feed_id id)
{
    return l->next < c->head && feed_id_compare(c->ring[l->next % CHANGES_MAX].id, id) == 0;
}

void changes_lost(struct changes *c)
{
    forget_waiting(c);
    c->is_dropped = c->is_reading;
    drop_all(c);
    list_for(it, &c->listeners)
    {
        container_of(it, struct listener, link)->is_lost = true;
    }
    wake_all(c);
}

/* ---- reading ---- */

static void read_next(struct changes *c);

static void clear_reading(struct changes *c)
{
    for (size_t i = 0; i < c->reading.n && c->blobs != NULL; i++)
        task_blob_unref(c->blobs[i]);
    free(steal(c->blobs));
    free(steal(c->owners));
    vec_clear(&c->reading);
}

/* A task that nobody knows, an import say, has no owner and is nobody's news. */
static void take_in(struct changes *c, size_t i)
{
    struct change ch = {
        .id = c->reading.v[i].id, .task_id = c->reading.v[i].task_id, .owner_id = c->owners[i]};
    const struct task_blob *b = c->blobs[i];
    struct strbuf text;
    if (uuid_is_nil(&ch.owner_id))
        return;
    strbuf_init(&text);
    if (b != NULL) {
        struct queue_place place = {0};
        if (b->is_pending)
            place = queue_place(c->gw->queue, &b->id);
        task_blob_write_own(&text, b, place);
        ch.n = text.len;
        ch.text = strbuf_detach(&text);
    }
    append(c, &ch);
    strbuf_done(&text);
}

static void on_places(void *arg)
{
    struct changes *c = arg;
    for (size_t i = 0; i < c->reading.n && !c->is_dropped; i++)
        take_in(c, i);
    clear_reading(c);
    c->is_reading = false;
    wake_all(c);
    read_next(c);
}

static void ask_places(struct changes *c)
{
    VEC(struct uuid) pending = {0};
    for (size_t i = 0; i < c->reading.n; i++)
        if (c->blobs[i] != NULL && c->blobs[i]->is_pending)
            *vec_push(&pending) = c->reading.v[i].task_id;
    if (pending.n == 0)
        on_places(c);
    else
        queue_ask(c->gw->queue, pending.v, pending.n, on_places, c);
    vec_done(&pending);
}

static void take_rows(
    struct changes *c, const struct db_result *tasks, const struct db_result *owners)
{
    struct map places = {0};
    struct strbuf scratch;
    strbuf_init(&scratch);
    c->blobs = mem_calloc(c->reading.n, sizeof(struct task_blob *));
    c->owners = mem_calloc(c->reading.n, sizeof(struct uuid));
    for (size_t i = 0; i < c->reading.n; i++)
        map_put(&places, &c->reading.v[i].task_id, as_value(i));
    for (size_t i = 0; i < db_rows(tasks); i++) {
        struct task_blob *b = task_blob_render(tasks, i, &scratch);
        uintptr_t place = (uintptr_t)map_get(&places, &b->id);
        task_cache_put(c->gw->cache, b, c->mark);
        if (place != 0)
            c->blobs[place - 1] = b;
        else
            task_blob_unref(b);
    }
    for (size_t i = 0; i < db_rows(owners); i++) {
        struct uuid id = db_uuid(owners, i, 0);
        uintptr_t place = (uintptr_t)map_get(&places, &id);
        if (place != 0)
            c->owners[place - 1] = db_uuid(owners, i, 1);
    }
    strbuf_done(&scratch);
    map_done(&places);
}

static void hear(struct changes *c, const struct uuid *task_id, struct feed_id id)
{
    uintptr_t before = (uintptr_t)map_get(&c->waits, task_id);
    if (before != 0)
        c->waiting.v[before - 1].task_id = (struct uuid){{0}};
    *vec_push(&c->waiting) = (struct heard){*task_id, id};
    map_put(&c->waits, task_id, as_value(c->waiting.n - 1));
}

/* Whoever listens begins anew, and finds out himself whether the database is back. */
static void on_rows(void *arg, enum err code, const struct db_result *const *results, size_t n,
    const struct errctx *ctx)
{
    struct changes *c = arg;
    (void)ctx;
    if (code == ERR_CANCELED)
        return; /* the gateway ends */
    if (code == ERR_OK && n == 2 && !c->is_dropped) {
        take_rows(c, results[0], results[1]);
        ask_places(c);
        return;
    }
    clear_reading(c);
    c->is_reading = false;
    if (code != ERR_OK) {
        changes_lost(c);
        timer_start(c->pause, PAUSE_MS, 0);
    } else {
        read_next(c);
    }
}

/* From the front of the line. */
static void fill_reading(struct changes *c)
{
    size_t i = 0;
    for (; i < c->waiting.n && c->reading.n < READ_MAX; i++)
        if (!uuid_is_nil(&c->waiting.v[i].task_id))
            *vec_push(&c->reading) = c->waiting.v[i];
    VEC(struct heard) rest = {0};
    for (; i < c->waiting.n; i++)
        if (!uuid_is_nil(&c->waiting.v[i].task_id))
            *vec_push(&rest) = c->waiting.v[i];
    forget_waiting(c);
    for (i = 0; i < rest.n; i++)
        hear(c, &rest.v[i].task_id, rest.v[i].id);
    vec_done(&rest);
}

static void read_next(struct changes *c)
{
    if (c->is_reading || c->waiting.n == 0)
        return;
    fill_reading(c);
    c->is_reading = true;
    c->is_dropped = false;
    c->mark = task_cache_mark(c->gw->cache);
    struct db_array *ids = db_array_new(DB_UUID), *again = db_array_new(DB_UUID);
    for (size_t i = 0; i < c->reading.n; i++) {
        db_array_uuid(ids, &c->reading.v[i].task_id);
        db_array_uuid(again, &c->reading.v[i].task_id);
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TASK_READ);
    db_add_array(b, ids);
    db_batch_add(b, SQL_EVENT_OWNERS);
    db_add_array(b, again);
    db_send(c->reading.n <= READ_SHORT_MAX ? c->gw->db : c->gw->db_bulk, b, on_rows, c);
}

static void on_pause_over(void *arg)
{
    read_next(arg);
}

void changes_heard(struct changes *c, struct feed_id id, const struct uuid *ids, size_t n)
{
    if (list_is_empty(&c->listeners))
        return;
    if (c->waiting.n + n > WAITING_MAX) {
        changes_lost(c);
        return;
    }
    for (size_t i = 0; i < n; i++)
        hear(c, &ids[i], id);
    read_next(c);
}

/* ---- life ---- */

struct changes *changes_new(struct gateway *gw)
{
    struct changes *c = mem_alloc(sizeof(*c));
    c->gw = gw;
    list_init(&c->listeners);
    c->pause = timer_new(gw->loop, on_pause_over, c);
    return c;
}

void changes_free(struct changes *c)
{
    if (c == NULL)
        return;
    drop_all(c);
    map_done(&c->newest);
    forget_waiting(c);
    clear_reading(c);
    vec_done(&c->waiting);
    vec_done(&c->reading);
    timer_free(c->pause);
    free(c);
}
