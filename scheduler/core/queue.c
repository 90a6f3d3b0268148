/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - who starts next.
 *
 *   core ─ pools (provisioner × host: the same workers can take the jobs)
 *            ├─ urgent: stops, deletes, imports and retries that hold compute already; no cap
 *            └─ levels, by priority
 *                 └─ heap of lanes, one per owner: holds least first, then served longest ago,
 *                      then oldest job
 *                      └─ jobs, oldest first
 *
 * A start leaves the queue when the cap has room and a worker that can take it has a free slot and
 * a held poll.  Order: priority, then fair share between owners (who holds less compute goes
 * first), then age.  All is O(log owners) a job; a pool whose workers are full costs nothing.
 */
#include <assert.h>

#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define PLACES_PER_MS 500 /* jobs numbered per millisecond gone by: a few percent of the time */
#define WAITED_MS     500 /* less is no waiting */

/* ---- heap of lanes ---- */

static const struct job *lane_head(const struct lane *l)
{
    return container_of(l->jobs.next, struct job, link);
}

static bool lane_before(const struct lane *a, const struct lane *b)
{
    if (a->owner->holding != b->owner->holding)
        return a->owner->holding < b->owner->holding;
    if (a->owner->served_seq != b->owner->served_seq)
        return a->owner->served_seq < b->owner->served_seq;
    return lane_head(a)->seq < lane_head(b)->seq;
}

static void heap_set(struct level *v, size_t at, struct lane *l)
{
    v->heap.v[at] = l;
    l->heap_at = at;
}

static void heap_fix(struct level *v, struct lane *l)
{
    size_t at = l->heap_at;
    while (at > 0 && lane_before(l, v->heap.v[(at - 1) / 2])) {
        heap_set(v, at, v->heap.v[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= v->heap.n)
            break;
        if (child + 1 < v->heap.n && lane_before(v->heap.v[child + 1], v->heap.v[child]))
            child++;
        if (!lane_before(v->heap.v[child], l))
            break;
        heap_set(v, at, v->heap.v[child]);
        at = child;
    }
    heap_set(v, at, l);
}

static void heap_push(struct level *v, struct lane *l)
{
    *vec_push(&v->heap) = l;
    l->heap_at = v->heap.n - 1;
    heap_fix(v, l);
}

static void heap_remove(struct level *v, struct lane *l)
{
    struct lane *last = v->heap.v[--v->heap.n];
    if (last == l)
        return;
    heap_set(v, l->heap_at, last);
    heap_fix(v, last);
}

/* ---- pools, levels, lanes ---- */

struct pool *queue_pool(struct core *c, const char *provisioner, const char *host)
{
    for (size_t i = 0; i < c->pools.n; i++)
        if (c->pools.v[i]->provisioner == provisioner && c->pools.v[i]->host == host)
            return c->pools.v[i];
    struct pool *p = mem_alloc(sizeof(*p));
    p->provisioner = provisioner;
    p->host = host;
    list_init(&p->urgent);
    return *vec_push(&c->pools) = p;
}

static struct level *pool_level(struct pool *p, int32_t priority)
{
    size_t at = 0;
    while (at < p->levels.n && p->levels.v[at]->priority > priority)
        at++;
    if (at < p->levels.n && p->levels.v[at]->priority == priority)
        return p->levels.v[at];

    struct level *v = mem_alloc(sizeof(*v));
    v->priority = priority;
    (void)vec_push(&p->levels);
    memmove(&p->levels.v[at + 1], &p->levels.v[at], (p->levels.n - 1 - at) * sizeof(v));
    return p->levels.v[at] = v;
}

static struct lane *owner_lane(struct owner *o, struct pool *p, int32_t priority)
{
    for (size_t i = 0; i < o->lanes.n; i++)
        if (o->lanes.v[i]->pool == p && o->lanes.v[i]->priority == priority)
            return o->lanes.v[i];
    struct lane *l = mem_alloc(sizeof(*l));
    *l = (struct lane){.owner = o, .pool = p, .priority = priority};
    list_init(&l->jobs);
    return *vec_push(&o->lanes) = l;
}

void queue_owner_changed(struct core *c, struct owner *o)
{
    c->queue_version++;
    for (size_t i = 0; i < o->lanes.n; i++)
        if (!list_is_empty(&o->lanes.v[i]->jobs))
            heap_fix(pool_level(o->lanes.v[i]->pool, o->lanes.v[i]->priority), o->lanes.v[i]);
}

static void free_lanes(struct core *c)
{
    struct owner *o;
    for (size_t i = 0; (o = map_next(&c->owners, &i)) != NULL;)
        for (size_t k = 0; k < o->lanes.n; k++)
            free(o->lanes.v[k]);
}

void queue_done(struct core *c)
{
    free_lanes(c);
    for (size_t i = 0; i < c->pools.n; i++) {
        struct pool *p = c->pools.v[i];
        for (size_t k = 0; k < p->levels.n; k++) {
            vec_done(&p->levels.v[k]->heap);
            free(p->levels.v[k]);
        }
        vec_done(&p->levels);
        free(p);
    }
    vec_done(&c->pools);
}

/* ---- in and out ---- */

/* Among the lane's jobs by age: at the end for a new one, towards the front for one that comes
 * back. */
static void lane_insert(struct lane *l, struct job *j)
{
    struct list *after = l->jobs.prev;
    while (after != &l->jobs && container_of(after, struct job, link)->seq > j->seq)
        after = after->prev;
    list_append(after->next, &j->link);
}

static void add_waiting(struct core *c, struct job *j)
{
    struct pool *p = j->pool;
    struct lane *l = owner_lane(j->task->owner, p, j->priority);
    bool was_empty = list_is_empty(&l->jobs);
    lane_insert(l, j);
    j->lane = l;
    struct level *v = pool_level(p, j->priority);
    if (was_empty)
        heap_push(v, l);
    else
        heap_fix(v, l);
    p->n_waiting++;
    j->position = (uint32_t)++c->n_waiting; /* the last, until it is looked at */
    c->queue_version++;
}

void queue_add(struct core *c, struct job *j)
{
    assert(j->state == JOB_PENDING && !list_is_linked(&j->link));
    if (j->kind == JOB_START && j->task->start_after_us != 0) {
        earliest_sleep(c, j);
        return;
    }
    if (j->seq == 0) {
        j->seq = ++c->next_seq;
        j->waiting_since_ms = c->now_ms;
    }
    if (j->ready_at_ms > c->now_ms)
        list_append(&c->retries, &j->link);
    else if (j->kind == JOB_START && !j->holds_compute)
        add_waiting(c, j);
    else
        list_append(&j->pool->urgent, &j->link);
}

void queue_remove(struct core *c, struct job *j)
{
    struct lane *l = j->lane;
    list_unlink(&j->link);
    earliest_forget(c, j);
    if (l == NULL)
        return;
    struct level *v = pool_level(l->pool, l->priority);
    if (list_is_empty(&l->jobs))
        heap_remove(v, l);
    else
        heap_fix(v, l);
    l->pool->n_waiting--;
    c->n_waiting--;
    c->queue_version++;
    j->lane = NULL;
    j->position = 0;
}

/* ---- planning ---- */

/* The worker with most room among those that can take jobs of this pool now. */
static struct worker *pool_worker(const struct core *c, const struct pool *p)
{
    struct worker *best = NULL, *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;) {
        if (w->ticket == NULL || w->free_slots <= 0 || !worker_can(w, p))
            continue;
        if (best == NULL || w->free_slots > best->free_slots)
            best = w;
    }
    return best;
}

static struct lane *pool_best(const struct pool *p)
{
    for (size_t i = 0; i < p->levels.n; i++)
        if (p->levels.v[i]->heap.n > 0)
            return p->levels.v[i]->heap.v[0];
    return NULL;
}

static bool ahead(const struct lane *a, const struct lane *b)
{
    return b == NULL || a->priority > b->priority ||
           (a->priority == b->priority && lane_before(a, b));
}

/* How fast the queue moves, for the ETA: a moving average of the pauses between starts of jobs that
 * had to wait.  Those that found a place at once say nothing about it. */
static void note_start(struct core *c, const struct job *j)
{
    if (c->now_ms - j->waiting_since_ms < WAITED_MS)
        return;
    int64_t since = c->last_start_ms > j->waiting_since_ms ? c->last_start_ms : j->waiting_since_ms;
    double pause = (double)(c->now_ms - since);
    c->start_interval_ms += (pause - c->start_interval_ms) / (c->start_interval_ms > 0 ? 8 : 1);
    c->last_start_ms = c->now_ms;
}

static void plan_urgent(struct core *c, struct pool *p)
{
    while (!list_is_empty(&p->urgent)) {
        struct worker *w = pool_worker(c, p);
        if (w == NULL)
            return;
        struct job *j = container_of(p->urgent.next, struct job, link);
        queue_remove(c, j);
        job_lease(c, j, w);
    }
}

/* The next start over all pools that have a worker with room. */
static struct lane *next_lane(const struct core *c, struct worker **ret_worker)
{
    struct lane *best = NULL;
    for (size_t i = 0; i < c->pools.n; i++) {
        struct lane *l = pool_best(c->pools.v[i]);
        if (l == NULL || !ahead(l, best))
            continue;
        struct worker *w = pool_worker(c, c->pools.v[i]);
        if (w == NULL)
            continue;
        best = l;
        *ret_worker = w;
    }
    return best;
}

void queue_plan(struct core *c)
{
    for (size_t i = 0; i < c->pools.n; i++)
        plan_urgent(c, c->pools.v[i]);

    while (c->n_waiting > 0 && (int64_t)c->n_holding < c->conf.cap) {
        struct worker *w = NULL;
        struct lane *l = next_lane(c, &w);
        if (l == NULL)
            return;
        struct job *j = container_of(l->jobs.next, struct job, link);
        l->owner->served_seq = ++c->next_seq; /* job_lease() moves its lanes */
        queue_remove(c, j);
        note_start(c, j);
        job_lease(c, j, w);
    }
}

static bool has_worker(const struct core *c, const struct pool *p)
{
    const struct worker *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;)
        if (worker_can(w, p))
            return true;
    return false;
}

size_t queue_waits_for_room(const struct core *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->pools.n; i++)
        if (c->pools.v[i]->n_waiting > 0 && has_worker(c, c->pools.v[i]))
            n += c->pools.v[i]->n_waiting;
    return n;
}

/* ---- places, as people ask for them ---- */

/* A lane as the rehearsal sees it. */
struct rehearsal {
    struct owner *owner;
    struct list *at; /* next job */
    struct lane *lane;
};

/* A turn that an owner has taken in the rehearsal, with what to put back. */
struct turn {
    struct owner *owner;
    uint64_t served_seq;
};

static bool rehearsal_before(const struct rehearsal *a, const struct rehearsal *b)
{
    if (a->lane->priority != b->lane->priority)
        return a->lane->priority > b->lane->priority;
    if (a->owner->holding != b->owner->holding)
        return a->owner->holding < b->owner->holding;
    if (a->owner->served_seq != b->owner->served_seq)
        return a->owner->served_seq < b->owner->served_seq;
    return container_of(a->at, struct job, link)->seq < container_of(b->at, struct job, link)->seq;
}

static void rehearsal_down(struct rehearsal *v, size_t n, size_t at)
{
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= n)
            return;
        if (child + 1 < n && rehearsal_before(&v[child + 1], &v[child]))
            child++;
        if (!rehearsal_before(&v[child], &v[at]))
            return;
        struct rehearsal t = v[at];
        v[at] = v[child];
        v[child] = t;
        at = child;
    }
}

/*
 * Number all waiting jobs by rehearsing the starts as if nothing else happened: each one raises its
 * owner's share and turn, which are put back at the end.  Exact for owners with one lane; where an
 * owner waits at several priorities or hosts, its other lanes may stand a little too far ahead.
 *
 * It costs O(queue), so a long queue is numbered again only after a while, whoever asks; until then
 * a job that has just come is told the last place, and others the one they had.
 */
static void number_places(struct core *c)
{
    VEC(struct rehearsal) heap = {0};
    VEC(struct turn) turns = {0};
    uint64_t seq = c->next_seq;
    struct owner *o;
    for (size_t i = 0; (o = map_next(&c->owners, &i)) != NULL;)
        for (size_t k = 0; k < o->lanes.n; k++)
            if (!list_is_empty(&o->lanes.v[k]->jobs))
                *vec_push(&heap) = (struct rehearsal){o, o->lanes.v[k]->jobs.next, o->lanes.v[k]};
    for (size_t i = heap.n / 2; i-- > 0;)
        rehearsal_down(heap.v, heap.n, i);

    for (uint32_t place = 1; heap.n > 0; place++) {
        struct rehearsal *top = &heap.v[0];
        container_of(top->at, struct job, link)->position = place;
        *vec_push(&turns) = (struct turn){top->owner, top->owner->served_seq};
        top->owner->holding++;
        top->owner->served_seq = ++seq;
        top->at = top->at->next;
        if (top->at == &top->lane->jobs)
            vec_remove_swap(&heap, 0);
        rehearsal_down(heap.v, heap.n, 0);
    }
    for (size_t i = turns.n; i-- > 0;) {
        turns.v[i].owner->holding--;
        turns.v[i].owner->served_seq = turns.v[i].served_seq;
    }
    vec_done(&heap);
    vec_done(&turns);
}

/* Outside the queue; in it there would be the tasks that wait now, as far as one can tell. */
static struct queue_place sleeping_place(const struct core *c, const struct job *j)
{
    if (j->start_at_ms == INT64_MAX)
        return (struct queue_place){0};
    int64_t left_ms = j->start_at_ms > c->now_ms ? j->start_at_ms - c->now_ms : 1;
    bool is_full = (int64_t)c->n_holding >= c->conf.cap;
    double queue_ms = is_full ? c->start_interval_ms * (double)(c->n_waiting + 1) : 0;
    return (struct queue_place){
        .starts_in_ms = (uint64_t)left_ms, .eta_ms = (uint64_t)left_ms + (uint64_t)queue_ms};
}

static void freshen_places(struct core *c)
{
    int64_t pause_ms = (int64_t)(c->n_waiting / PLACES_PER_MS);
    if (c->placed_version == c->queue_version || c->now_ms - c->placed_at_ms < pause_ms)
        return;
    number_places(c);
    c->placed_version = c->queue_version;
    c->placed_at_ms = c->now_ms;
}

static struct queue_place place_of(const struct core *c, const struct job *j)
{
    double eta = c->start_interval_ms * j->position;
    return (struct queue_place){.position = j->position, .eta_ms = eta >= 1 ? (uint64_t)eta : 0};
}

struct queue_place core_queue_place(struct core *c, const struct uuid *task_id)
{
    struct task *t = map_get(&c->tasks, task_id);
    if (t != NULL && t->job.sleeps)
        return sleeping_place(c, &t->job);
    if (t == NULL || t->job.lane == NULL)
        return (struct queue_place){0};
    freshen_places(c);
    return place_of(c, &t->job);
}

/* ---- the list ---- */

/* A heap of the places that are furthest ahead, with the last of them on top, so that a long queue
 * costs a comparison for each that waits. */
static void front_down(struct queue_entry *v, size_t n, size_t at)
{
    for (size_t child; (child = at * 2 + 1) < n; at = child) {
        if (child + 1 < n && v[child + 1].place.position > v[child].place.position)
            child++;
        if (v[child].place.position <= v[at].place.position)
            return;
        struct queue_entry t = v[at];
        v[at] = v[child];
        v[child] = t;
    }
}

static size_t front_add(struct queue_entry *v, size_t n, size_t max, struct queue_entry e)
{
    if (n < max) {
        v[n++] = e;
        for (size_t i = n / 2; n == max && i-- > 0;)
            front_down(v, n, i);
        return n;
    }
    if (max > 0 && e.place.position < v[0].place.position) {
        v[0] = e;
        front_down(v, n, 0);
    }
    return n;
}

static int by_place(const void *a, const void *b)
{
    uint32_t x = ((const struct queue_entry *)a)->place.position;
    uint32_t y = ((const struct queue_entry *)b)->place.position;
    return (x > y) - (x < y);
}

size_t core_queue_list(struct core *c, const struct uuid *owner_id, uint32_t after,
    struct queue_entry *ret, size_t max, size_t *ret_size)
{
    size_t n = 0;
    struct owner *o;
    *ret_size = 0;
    freshen_places(c);
    for (size_t i = 0; (o = map_next(&c->owners, &i)) != NULL;) {
        for (size_t k = 0; k < o->lanes.n && (owner_id == NULL || uuid_eq(&o->id, owner_id)); k++) {
            list_for(it, &o->lanes.v[k]->jobs)
            {
                const struct job *j = container_of(it, struct job, link);
                ++*ret_size;
                if (j->position > after)
                    n = front_add(ret, n, max, (struct queue_entry){j->task->id, place_of(c, j)});
            }
        }
    }
    qsort(ret, n, sizeof(*ret), by_place);
    return n;
}
