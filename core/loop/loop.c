/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - libuv with a mailbox and a turn.
 *
 * libuv goes round like this:  timers -> [prepare] -> wait -> input, output, posts -> timers -> ...
 * The turn hook hangs on `prepare`: it comes after everything that one wait has brought, posts and
 * due timers included, and right before the loop may sleep again.  A hook that posts or starts
 * something makes that wait short, not absent: sockets get their turn between any two hooks.
 *
 * The mailbox is a vector under a mutex.  Only the post that finds it empty wakes the loop, which
 * takes the whole vector at once and leaves an empty one: a thousand posts cost one wake-up.  What
 * is posted while the vector is being worked off waits for the next turn.
 */
#include "core/loop/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

struct post {
    loop_fn fn;
    void *arg;
};

struct posts {
    struct post *items;
    size_t n, room;
};

struct hook {
    loop_fn fn;
    void *arg;
};

struct loop {
    size_t n_work; /* under way on other threads */
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t turn;
    uv_signal_t on_term, on_int, on_hup;
    struct hook hook, terminate, hangup;
    bool stopping;

    pthread_mutex_t lock;
    struct posts mailbox; /* under lock */
    struct posts spare;   /* the emptied vector of the last drain */
};

static void call(struct hook h)
{
    if (h.fn != NULL)
        h.fn(h.arg);
}

/* ---- mailbox ---- */

void loop_post(struct loop *l, loop_fn fn, void *arg)
{
    pthread_mutex_lock(&l->lock);
    struct posts *box = &l->mailbox;
    if (box->n == box->room) {
        box->room = box->room > 0 ? 2 * box->room : 64;
        box->items = mem_realloc(box->items, box->room * sizeof(*box->items));
    }
    box->items[box->n++] = (struct post){fn, arg};
    bool first = box->n == 1;
    pthread_mutex_unlock(&l->lock);
    if (first)
        uv_async_send(&l->wake);
}

/* False when there was nothing. */
static bool drain(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct posts taken = l->mailbox;
    l->mailbox = l->spare;
    l->spare = (struct posts){0};
    pthread_mutex_unlock(&l->lock);

    for (size_t i = 0; i < taken.n; i++)
        taken.items[i].fn(taken.items[i].arg);

    bool any = taken.n > 0;
    taken.n = 0;
    free(l->spare.items); /* a drain inside a drain has left one */
    l->spare = taken;
    return any;
}

static void on_wake(uv_async_t *h)
{
    drain(h->data);
}

static void on_turn(uv_prepare_t *h)
{
    struct loop *l = h->data;
    call(l->hook);
}

static void on_signal(uv_signal_t *h, int number)
{
    struct loop *l = h->data;
    call(number == SIGHUP ? l->hangup : l->terminate);
}

/* ---- life ---- */

static void must(int status)
{
    if (status == 0)
        return;
    log_error("an event loop cannot be made error=%s", LOG_Q(uv_strerror(status)));
    abort();
}

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&l->lock, NULL);
    must(uv_loop_init(&l->uv));
    must(uv_async_init(&l->uv, &l->wake, on_wake));
    uv_prepare_init(&l->uv, &l->turn);
    uv_prepare_start(&l->turn, on_turn);
    uv_signal_init(&l->uv, &l->on_term);
    uv_signal_init(&l->uv, &l->on_int);
    uv_signal_init(&l->uv, &l->on_hup);
    l->wake.data = l->turn.data = l;
    l->on_term.data = l->on_int.data = l->on_hup.data = l;
    return l;
}

static void assert_closing(uv_handle_t *h, void *arg)
{
    (void)arg;
    assert(uv_is_closing(h) && "a handle outlives its loop");
    (void)h;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    l->hook.fn = NULL;
    while (drain(l))
        ;
    uv_handle_t *own[] = {(uv_handle_t *)&l->wake, (uv_handle_t *)&l->turn,
        (uv_handle_t *)&l->on_term, (uv_handle_t *)&l->on_int, (uv_handle_t *)&l->on_hup};
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        uv_close(own[i], NULL);
    uv_walk(&l->uv, assert_closing, NULL);
    do
        uv_run(&l->uv, UV_RUN_DEFAULT); /* comes back early when it had been stopped before */
    while (uv_loop_close(&l->uv) == UV_EBUSY);
    free(l->mailbox.items);
    free(l->spare.items);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void loop_run(struct loop *l)
{
    while (!l->stopping)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    call(l->hook); /* the turn that stopped the loop ends like any other */
    l->stopping = false;
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    uv_stop(&l->uv);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_on_turn(struct loop *l, loop_fn fn, void *arg)
{
    l->hook = (struct hook){fn, arg};
}

void loop_on_terminate(struct loop *l, loop_fn fn, void *arg)
{
    l->terminate = (struct hook){fn, arg};
    uv_signal_start(&l->on_term, on_signal, SIGTERM);
    uv_signal_start(&l->on_int, on_signal, SIGINT);
}

void loop_on_hangup(struct loop *l, loop_fn fn, void *arg)
{
    l->hangup = (struct hook){fn, arg};
    uv_signal_start(&l->on_hup, on_signal, SIGHUP);
}

/* ---- work for other threads ---- */

struct job {
    uv_work_t req;
    struct loop *loop;
    loop_fn work, done;
    void *arg;
};

static void on_work(uv_work_t *req)
{
    struct job *j = (struct job *)req;
    j->work(j->arg);
}

static void on_work_done(uv_work_t *req, int status)
{
    struct job *j = (struct job *)req;
    (void)status;
    j->loop->n_work--;
    if (j->done != NULL)
        j->done(j->arg);
    free(j);
}

void loop_work(struct loop *l, loop_fn work, loop_fn done, void *arg)
{
    struct job *j = mem_alloc(sizeof(*j));
    j->loop = l;
    l->n_work++;
    j->work = work;
    j->done = done;
    j->arg = arg;
    must(uv_queue_work(&l->uv, &j->req, on_work, on_work_done));
}

void loop_finish_work(struct loop *l)
{
    while (l->n_work > 0)
        uv_run(&l->uv, UV_RUN_ONCE);
}

/* ---- timers ---- */

struct timer {
    uv_timer_t uv;
    loop_fn fn;
    void *arg;
};

static void on_timer(uv_timer_t *h)
{
    struct timer *t = (struct timer *)h;
    t->fn(t->arg);
}

static void on_timer_closed(uv_handle_t *h)
{
    free((struct timer *)h);
}

struct timer *timer_new(struct loop *l, loop_fn fn, void *arg)
{
    struct timer *t = mem_alloc(sizeof(*t));
    uv_timer_init(&l->uv, &t->uv);
    t->fn = fn;
    t->arg = arg;
    return t;
}

void timer_start(struct timer *t, int64_t after_ms, int64_t repeat_ms)
{
    /* libuv counts from when the turn began, which may be a while ago. */
    uv_update_time(t->uv.loop);
    uv_timer_start(&t->uv, on_timer, after_ms > 0 ? (uint64_t)after_ms : 0,
        repeat_ms > 0 ? (uint64_t)repeat_ms : 0);
}

void timer_stop(struct timer *t)
{
    uv_timer_stop(&t->uv);
}

void timer_free(struct timer *t)
{
    if (t != NULL)
        uv_close((uv_handle_t *)&t->uv, on_timer_closed);
}
