/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window_test.c - the sliding estimate by table, and what is shared is counted once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/window.h"

#define BEGIN (INT64_C(28000000) * WINDOW_MS)

static void count(struct window *w, int64_t at, unsigned n)
{
    window_turn(w, at);
    while (n-- > 0)
        window_count(w);
}

static void test_estimates(void **state)
{
    (void)state;
    static const struct {
        unsigned before, now;
        int64_t at_ms; /* of the second minute */
        uint32_t rate;
    } rows[] = {
        {0,   0,  0,     0  },
        {100, 0,  0,     100},
        {100, 0,  15000, 75 },
        {100, 10, 30000, 60 },
        {100, 10, 59999, 10 },
        {1,   0,  29999, 1  }, /* rounded */
        {1,   0,  30001, 0  },
        {512, 7,  45000, 135},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window w = {0};
        count(&w, BEGIN, rows[i].before);
        count(&w, BEGIN + WINDOW_MS + rows[i].at_ms, rows[i].now);
        assert_int_equal(window_rate(&w, BEGIN + WINDOW_MS + rows[i].at_ms), rows[i].rate);
    }
}

static void test_silence_forgets(void **state)
{
    (void)state;
    struct window w = {0};
    count(&w, BEGIN, 500);
    window_turn(&w, BEGIN + 2 * WINDOW_MS);
    assert_int_equal(window_rate(&w, BEGIN + 2 * WINDOW_MS), 0);
}

static void test_shared_is_counted_once(void **state)
{
    (void)state;
    struct window w = {0};
    count(&w, BEGIN, 10);
    assert_int_equal(window_send(&w), 10);
    count(&w, BEGIN, 5); /* while it is on its way */
    assert_int_equal(window_rate(&w, BEGIN), 15);
    window_sent(&w, 40); /* others had 30 */
    assert_int_equal(window_rate(&w, BEGIN), 45);
    assert_int_equal(window_send(&w), 5);
    window_send_failed(&w);
    assert_int_equal(window_rate(&w, BEGIN), 45);
    assert_int_equal(window_send(&w), 5);
    window_sent(&w, 5); /* Redis has forgotten: we have not */
    assert_int_equal(window_rate(&w, BEGIN), 45);
}

static void test_learns_the_minute_before(void **state)
{
    (void)state;
    struct window w = {0};
    count(&w, BEGIN, 3);
    window_learn_previous(&w, 120);
    assert_int_equal(window_rate(&w, BEGIN + 30000), 63);
    window_learn_previous(&w, 20);
    assert_int_equal(window_rate(&w, BEGIN + 30000), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimates),
        cmocka_unit_test(test_silence_forgets),
        cmocka_unit_test(test_shared_is_counted_once),
        cmocka_unit_test(test_learns_the_minute_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
