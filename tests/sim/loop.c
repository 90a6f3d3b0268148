/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - core/loop/loop.h on virtual time.
 *
 * A process may have several loops (the scheduler's ingest has its own); all of them have a turn
 * after each event of the process.  A thread that runs a loop is a coroutine that sleeps in
 * loop_run() from its first turn to its last: what it would do in between, events do.
 *
 * Work for the pool is begun at once, carried out at some moment, and done at a later one: a crash
 * may come before, between, or after.
 */
#include "core/loop/loop.h"

#include <stdlib.h>
#include <ucontext.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "tests/sim/part.h"
#include "tests/sim/provider.h"

#define STACK_BYTES (64 * 1024)

struct post {
    loop_fn fn;
    void *arg;
};

struct loop {
    struct proc *proc;
    loop_fn turn;
    void *turn_arg;
    VEC(struct post) posts;
    bool stopping;
    struct thread *thread; /* that runs it; NULL: the process' main one */
};

struct thread {
    ucontext_t own, caller;
    void *stack;
    void (*entry)(void *arg);
    void *arg;
    bool over;
};

struct timer {
    struct loop *loop;
    loop_fn fn;
    void *arg;
    int64_t repeat_us;
    unsigned generation;
    bool freed;
    unsigned pending; /* events that name it */
};

static struct thread *running; /* NULL: the main thread */

/* ---- loops ---- */

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof(*l));
    l->proc = sim->at_work;
    *vec_push(&l->proc->loops) = l;
    return l;
}

static void run_posts(struct loop *l)
{
    while (l->posts.n > 0) {
        VEC(struct post) posts = {l->posts.v, l->posts.n, l->posts.room};
        l->posts.v = NULL;
        l->posts.n = l->posts.room = 0;
        for (size_t i = 0; i < posts.n; i++)
            posts.v[i].fn(posts.v[i].arg);
        vec_done(&posts);
    }
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    run_posts(l);
    for (size_t i = 0; i < l->proc->loops.n; i++)
        if (l->proc->loops.v[i] == l)
            vec_remove_swap(&l->proc->loops, i);
    vec_done(&l->posts);
    free(l);
}

void loops_turn(struct proc *p)
{
    bool again = true;
    while (again) {
        again = false;
        for (size_t i = 0; i < p->loops.n; i++)
            run_posts(p->loops.v[i]);
        for (size_t i = 0; i < p->loops.n; i++)
            if (p->loops.v[i]->turn != NULL)
                p->loops.v[i]->turn(p->loops.v[i]->turn_arg);
        for (size_t i = 0; i < p->loops.n; i++)
            again = again || p->loops.v[i]->posts.n > 0;
    }
}

void loops_cut(struct proc *p)
{
    while (p->loops.n > 0)
        loop_free(p->loops.v[0]);
}

void loop_post(struct loop *l, loop_fn fn, void *arg)
{
    *vec_push(&l->posts) = (struct post){fn, arg};
}

void loop_on_turn(struct loop *l, loop_fn fn, void *arg)
{
    l->turn = fn;
    l->turn_arg = arg;
}

uv_loop_t *loop_uv(struct loop *l)
{
    (void)l;
    abort();
}

void loop_on_terminate(struct loop *l, loop_fn fn, void *arg)
{
    (void)l, (void)fn, (void)arg;
}

/* ---- threads ---- */

void loop_run(struct loop *l)
{
    if (running == NULL)
        abort(); /* the main thread's loop is the world */
    l->thread = running;
    if (!l->stopping)
        swapcontext(&running->own, &running->caller);
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

static void resume(struct thread *t)
{
    running = t;
    swapcontext(&t->caller, &t->own);
    running = NULL;
}

static void thread_main(void)
{
    struct thread *t = running;
    t->entry(t->arg);
    t->over = true;
    swapcontext(&t->own, &t->caller);
}

/* The thread's handle is a long: it holds the pointer. */
int uv_thread_create(uv_thread_t *tid, uv_thread_cb entry, void *arg)
{
    struct thread *t = mem_alloc(sizeof(*t));
    t->stack = mem_alloc(STACK_BYTES);
    t->entry = entry;
    t->arg = arg;
    getcontext(&t->own);
    t->own.uc_stack.ss_sp = t->stack;
    t->own.uc_stack.ss_size = STACK_BYTES;
    makecontext(&t->own, thread_main, 0);
    *tid = (uv_thread_t)(uintptr_t)t;
    resume(t);
    return 0;
}

int uv_thread_join(uv_thread_t *tid)
{
    struct thread *t = (struct thread *)(uintptr_t)*tid;
    struct proc *p = sim->at_work;
    for (size_t i = 0; i < p->loops.n; i++)
        if (p->loops.v[i]->thread == t)
            run_posts(p->loops.v[i]);
    while (!t->over)
        resume(t);
    free(t->stack);
    free(t);
    return 0;
}

/* ---- work for the pool ---- */

struct task_of_pool {
    struct proc *proc;
    loop_fn work, done;
    void *arg;
};

static void on_done(void *arg)
{
    struct task_of_pool t = *(struct task_of_pool *)arg;
    free(arg);
    t.done(t.arg);
}

static void on_work(void *arg)
{
    struct task_of_pool *t = arg;
    t->work(t->arg);
    sim_after(provider_takes_us() / 2, t->proc, on_done, free, t);
}

void loop_work(struct loop *l, loop_fn work, loop_fn done, void *arg)
{
    struct task_of_pool *t = mem_alloc(sizeof(*t));
    *t = (struct task_of_pool){l->proc, work, done, arg};
    sim_after(provider_takes_us(), l->proc, on_work, free, t);
}

/* ---- timers ---- */

struct timer *timer_new(struct loop *l, loop_fn fn, void *arg)
{
    struct timer *t = mem_alloc(sizeof(*t));
    *t = (struct timer){.loop = l, .fn = fn, .arg = arg};
    return t;
}

/* An event names a timer and which of its starts it belongs to. */
struct alarm {
    struct timer *timer;
    unsigned generation;
    int64_t at_us;
};

static void forget(struct alarm *a)
{
    struct timer *t = a->timer;
    free(a);
    if (--t->pending == 0 && t->freed)
        free(t);
}

static void on_forgotten(void *arg)
{
    forget(arg);
}

static void set(struct timer *t, int64_t at_us);

static void on_alarm(void *arg)
{
    struct alarm *a = arg;
    struct timer *t = a->timer;
    bool is_due = !t->freed && t->generation == a->generation;
    int64_t next_us = a->at_us + t->repeat_us;
    t->pending++; /* it may be freed by whom it calls */
    forget(a);
    if (is_due) {
        unsigned generation = t->generation;
        t->fn(t->arg);
        if (!t->freed && t->generation == generation && t->repeat_us > 0)
            set(t, next_us > sim->now_us ? next_us : sim->now_us + t->repeat_us);
    }
    if (--t->pending == 0 && t->freed)
        free(t);
}

static void set(struct timer *t, int64_t at_us)
{
    struct alarm *a = mem_alloc(sizeof(*a));
    *a = (struct alarm){t, t->generation, at_us};
    t->pending++;
    sim_after(at_us - sim->now_us, t->loop->proc, on_alarm, on_forgotten, a);
}

void timer_start(struct timer *t, int64_t after_ms, int64_t repeat_ms)
{
    t->generation++;
    t->repeat_us = repeat_ms * MS;
    set(t, sim->now_us + after_ms * MS);
}

void timer_stop(struct timer *t)
{
    t->generation++;
    t->repeat_us = 0;
}

void timer_free(struct timer *t)
{
    if (t == NULL)
        return;
    t->generation++;
    t->freed = true;
    if (t->pending == 0)
        free(t);
}
