/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a map behaves like the simplest thing that could be a map.
 * Method: random puts, removals and look-ups over few keys, so that they collide and run into each
 * other, against an array that answers by linear search.
 */
#include "tests/unit/core/unit.h"

#include "core/base/map.h"

#define KEYS  300
#define STEPS 200000

static unsigned seed = 12345;

static unsigned dice(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

/* Keys that differ in few bits only. */
static struct uuid key_of(unsigned i)
{
    struct uuid u = {0};
    u.b[0] = (uint8_t)i;
    u.b[15] = (uint8_t)(i >> 8);
    return u;
}

static void assert_same(const struct map *m, int **model)
{
    size_t n = 0, seen = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        struct uuid k = key_of(i);
        assert_ptr_equal(map_get(m, &k), model[i]);
        n += model[i] != NULL;
    }
    assert_int_equal(m->n, n);
    for (size_t i = 0; map_next(m, &i) != NULL;)
        seen++;
    assert_int_equal(seen, n);
}

static void agrees_with_a_model(void **state)
{
    (void)state;
    struct map m = {0};
    static int values[KEYS];
    int *model[KEYS] = {0};
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = dice(KEYS);
        struct uuid k = key_of(i);
        /* Waves: now the map fills, now it empties. */
        if (dice(100) < ((step / 2000) % 2 == 0 ? 70u : 30u)) {
            model[i] = &values[dice(KEYS)];
            map_put(&m, &k, model[i]);
        } else {
            assert_ptr_equal(map_remove(&m, &k), model[i]);
            model[i] = NULL;
        }
        if (step % 1000 == 0)
            assert_same(&m, model);
    }
    assert_same(&m, model);
    map_done(&m);
}

static void an_empty_map_has_nothing(void **state)
{
    (void)state;
    struct map m = {0};
    struct uuid k = key_of(1);
    size_t i = 0;
    assert_null(map_get(&m, &k));
    assert_null(map_remove(&m, &k));
    assert_null(map_next(&m, &i));
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
