/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_close.c - closes on a thread of its own and waits for it up to a limit; what hangs then is
 * given up, and stays until the process ends.
 */
#include "core/bus/bus_close.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/mem.h"

/* Freed by whoever is last, the thread or the one who waits; when given up, by nobody. */
struct closing {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
    void (*close)(void *owner);
    void *owner;
    struct closing *next; /* of those given up */
};

static pthread_mutex_t given_up_lock = PTHREAD_MUTEX_INITIALIZER;
static struct closing *given_up;

static void *run_close(void *arg)
{
    struct closing *c = arg;
    c->close(c->owner);
    pthread_mutex_lock(&c->lock);
    c->is_over = true;
    pthread_cond_signal(&c->over);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static bool await(struct closing *c)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += BUS_CLOSE_MS / 1000;
    int rv = 0;
    pthread_mutex_lock(&c->lock);
    while (!c->is_over && rv == 0)
        rv = pthread_cond_timedwait(&c->over, &c->lock, &until);
    bool is_over = c->is_over;
    pthread_mutex_unlock(&c->lock);
    return is_over;
}

static void keep(struct closing *c)
{
    pthread_mutex_lock(&given_up_lock);
    c->next = given_up;
    given_up = c;
    pthread_mutex_unlock(&given_up_lock);
}

static struct closing *closing_new(void (*close)(void *), void *owner)
{
    struct closing *c = mem_alloc(sizeof(*c));
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->over, &clock);
    pthread_condattr_destroy(&clock);
    c->close = close;
    c->owner = owner;
    return c;
}

bool bus_close(void (*close)(void *owner), void *owner)
{
    struct closing *c = closing_new(close, owner);
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_close, c) != 0)
        mem_out();
    if (!await(c)) {
        pthread_detach(thread);
        keep(c);
        log_warn("a bus socket cannot be closed, it is left to the end of the process");
        return false;
    }
    pthread_join(thread, NULL);
    pthread_cond_destroy(&c->over);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return true;
}

nng_msg *bus_message_new(size_t n)
{
    nng_msg *m;
    if (nng_msg_alloc(&m, n) != 0)
        mem_out();
    return m;
}
