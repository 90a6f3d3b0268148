/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.h - cmocka with the headers it wants, and a loop that cannot hang a test.
 */
#ifndef TESTS_UNIT_CORE_UNIT_H
#define TESTS_UNIT_CORE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* counts on the first of them */

#define PATIENCE_MS 30000

#ifdef UNIT_WITH_LOOP
#include "core/loop/loop.h"

static inline void unit_out_of_patience(void *arg)
{
    (void)arg;
    fail_msg("the loop was not stopped in time");
}

/* Run until somebody calls loop_stop(); fail rather than wait for ever. */
static inline void unit_run(struct loop *l)
{
    struct timer *guard = timer_new(l, unit_out_of_patience, NULL);
    timer_start(guard, PATIENCE_MS, 0);
    loop_run(l);
    timer_free(guard);
}

static inline void unit_stop(void *loop)
{
    loop_stop(loop);
}

/* Run for about `ms`, for what must not happen. */
static inline void unit_run_for(struct loop *l, int64_t ms)
{
    struct timer *end = timer_new(l, unit_stop, l);
    timer_start(end, ms, 0);
    loop_run(l);
    timer_free(end);
}
#endif

#endif
