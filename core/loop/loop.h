/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - one thread's event loop (libuv).
 *
 * Everything of a loop belongs to the thread that runs it, but loop_post(), which any thread may
 * call.  Objects made on a loop are freed on its thread before loop_free().
 *
 * A turn of the loop: wait for something -> callbacks run -> the turn hook runs once.  The
 * scheduler's group commit hangs on the turn hook: all that arrived in one turn becomes one batch.
 */
#ifndef CORE_LOOP_LOOP_H
#define CORE_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/err.h"

struct loop;

typedef void (*loop_fn)(void *arg);

struct loop *loop_new(void);
/* All handles made on the loop have been closed before; runs what is left of closing ones. */
void loop_free(struct loop *l);

/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* libuv's loop, for libraries with an adapter. */
uv_loop_t *loop_uv(struct loop *l);

/* From any thread: run fn(arg) on the loop's thread, in order of posting. */
void loop_post(struct loop *l, loop_fn fn, void *arg);

/* At the end of each turn in which anything ran, fn(arg).  One hook; NULL takes it away. */
void loop_on_turn(struct loop *l, loop_fn fn, void *arg);

/* fn(arg) on each SIGTERM and SIGINT (and SIGHUP for loop_on_hangup); SIGPIPE is ignored. */
void loop_on_terminate(struct loop *l, loop_fn fn, void *arg);
void loop_on_hangup(struct loop *l, loop_fn fn, void *arg);

/* Run `work` on a thread of libuv's pool, then `done` on the loop's thread. */
void loop_work(struct loop *l, loop_fn work, loop_fn done, void *arg);
/* Waits for all that is under way; what is done next may begin more. */
void loop_finish_work(struct loop *l);

/* A timer; monotonic.  timer_start() on a running one restarts it; repeat_ms 0: once. */
struct timer;
struct timer *timer_new(struct loop *l, loop_fn fn, void *arg);
void timer_start(struct timer *t, int64_t after_ms, int64_t repeat_ms);
void timer_stop(struct timer *t);
void timer_free(struct timer *t);

#endif
