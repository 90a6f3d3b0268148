/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_load.c - the way of every read: what the cache has, the rest in one statement, then the
 * queue for those that wait.
 */
#include "gateway/task_load.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/map.h"
#include "core/base/mem.h"
#include "gateway/json_out.h"
#include "gateway/task.h"

/* So many at most go over the connection for short statements. */
#define SHORT_READ_MAX 16

void task_set_done(void *arg)
{
    struct task_set *set = arg;
    for (size_t i = 0; set->blobs != NULL && i < set->ids.n; i++)
        task_blob_unref(set->blobs[i]);
    free(set->blobs);
    vec_done(&set->ids);
}

/* ---- places in the queue ---- */

static void on_places(void *arg)
{
    struct request *r = arg;
    struct task_set *set = r->state;
    set->then(r);
}

static void ask_places(struct request *r)
{
    struct task_set *set = r->state;
    VEC(struct uuid) pending = {0};
    for (size_t i = 0; i < set->ids.n; i++)
        if (set->blobs[i] != NULL && set->blobs[i]->is_pending)
            *vec_push(&pending) = set->ids.v[i];
    if (pending.n == 0)
        set->then(r);
    else
        queue_ask(r->gw->queue, pending.v, pending.n, on_places, r);
    vec_done(&pending);
}

/* ---- reading ---- */

struct task_blob *task_blob_render(const struct db_result *rows, size_t i, struct strbuf *scratch)
{
    struct task_row t;
    task_row_read(rows, i, &t);
    strbuf_clear(scratch);
    task_row_write(&t, scratch);
    strbuf_addch(scratch, '\n');
    size_t n = scratch->len;
    task_row_write_more(&t, scratch);
    struct task_blob *b = task_blob_new(n, scratch->len - n);
    memcpy(b->json, scratch->s, scratch->len);
    struct task_current_state state;
    if (task_current_state(&t, &state))
        snprintf(b->state, sizeof(b->state), "%s", state.state);
    b->revision = t.revision;
    b->id = t.id;
    b->owner_id = t.owner_id;
    b->build_id = t.build_id;
    b->is_pending = strcmp(t.status, "pending") == 0;
    snprintf(b->status, sizeof(b->status), "%s", t.status);
    return b;
}

/* Rows come in any order: put each where its id stands. */
static void take_rows(struct task_set *set, struct task_cache *cache, const struct db_result *rows)
{
    struct map places = {0};
    struct strbuf scratch;
    strbuf_init(&scratch);
    for (size_t i = 0; i < set->ids.n; i++)
        if (set->blobs[i] == NULL)
            map_put(&places, &set->ids.v[i], &set->blobs[i]);
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct task_blob *b = task_blob_render(rows, i, &scratch);
        struct task_blob **place = map_get(&places, &b->id);
        task_cache_put(cache, b, set->mark);
        if (place != NULL && *place == NULL)
            *place = steal(b);
        task_blob_unref(b);
    }
    strbuf_done(&scratch);
    map_done(&places);
}

static void on_rows(struct request *r, const struct db_result *const *results)
{
    take_rows(r->state, r->gw->cache, results[0]);
    ask_places(r);
}

/* Ids of what the cache does not have; NULL when it has all. */
static struct db_array *look_into_cache(struct request *r, size_t *ret_n)
{
    struct task_set *set = r->state;
    struct db_array *missing = NULL;
    size_t n = 0;
    for (size_t i = 0; i < set->ids.n; i++) {
        struct task_blob *b = task_cache_get(r->gw->cache, &set->ids.v[i]);
        if (b != NULL) {
            set->blobs[i] = task_blob_ref(b);
            continue;
        }
        if (missing == NULL)
            missing = db_array_new(DB_UUID);
        db_array_uuid(missing, &set->ids.v[i]);
        n++;
    }
    metric_add(&r->gw->metrics.cache_hits, (int64_t)(set->ids.n - n));
    metric_add(&r->gw->metrics.cache_misses, (int64_t)n);
    *ret_n = n;
    return missing;
}

void task_load(struct request *r, request_fn then)
{
    struct task_set *set = r->state;
    set->then = then;
    set->mark = task_cache_mark(r->gw->cache);
    set->blobs = mem_calloc(set->ids.n + 1, sizeof(struct task_blob *));
    size_t n;
    struct db_array *missing = look_into_cache(r, &n);
    if (missing == NULL) {
        ask_places(r);
        return;
    }
    struct db_batch *b = db_batch_new();
    db_batch_add(b, SQL_TASK_READ);
    db_add_array(b, missing);
    if (n <= SHORT_READ_MAX)
        ask_db(r, b, on_rows);
    else
        ask_db_bulk(r, b, on_rows);
}

/* ---- answering ---- */

static void write_place(struct strbuf *out, struct queue_place place)
{
    json_key(out, "queue");
    json_open(out, '{');
    json_put_int(out, "position", place.position);
    json_put_int(out, "size", place.size);
    if (place.eta_ms > 0)
        json_put_int(out, "eta_seconds", (int64_t)((place.eta_ms + 999) / 1000));
    if (place.starts_in_ms > 0)
        json_put_int(out, "starts_in_seconds", (int64_t)((place.starts_in_ms + 999) / 1000));
    json_close(out, '}');
}

void task_blob_write(struct strbuf *out, const struct task_blob *b, struct queue_place place)
{
    size_t n = b->n - 1;
    if (place.position == 0 && place.starts_in_ms == 0) {
        json_raw(out, b->json, n);
        return;
    }
    json_raw(out, b->json, n - 1);
    write_place(out, place);
    json_close(out, '}');
}

void task_blob_write_own(struct strbuf *out, const struct task_blob *b, struct queue_place place)
{
    json_raw(out, b->json, b->n - 2);
    strbuf_add(out, b->json + b->n, b->n_more); /* begins with its comma */
    if (place.position == 0)
        json_put_null(out, "queue");
    else
        write_place(out, place);
    json_close(out, '}');
}

void task_answer(struct request *r, int status)
{
    const struct task_set *set = r->state;
    struct task_blob *b = set->blobs[0];
    struct queue_place place = {0};
    if (b->is_pending)
        place = queue_place(r->gw->queue, &b->id);
    if (place.position == 0 && place.starts_in_ms == 0) {
        answer_blob(r, status, b);
        return;
    }
    task_blob_write(&r->out, b, place);
    answer_json(r, status);
}
