/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_cache_test.c - nothing stale is ever shown: changes drop, and reads that were on their way
 * when a change came are not kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/task_cache.h"

static struct metric bytes;

static int set_up(void **state)
{
    struct task_cache *c = task_cache_new(&bytes);
    task_cache_set_valid(c, true);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    task_cache_free(*state);
    return 0;
}

static struct uuid id_of(unsigned n)
{
    struct uuid id = {{0}};
    memcpy(id.b, &n, sizeof(n));
    uuid_make_v4(&id);
    return id;
}

static void put(struct task_cache *c, unsigned n, size_t size, uint64_t mark)
{
    struct task_blob *b = task_blob_new(size, 0);
    b->id = id_of(n);
    task_cache_put(c, b, mark);
    task_blob_unref(b);
}

static bool has(struct task_cache *c, unsigned n)
{
    struct uuid id = id_of(n);
    return task_cache_get(c, &id) != NULL;
}

static void drop(struct task_cache *c, unsigned n)
{
    struct uuid id = id_of(n);
    task_cache_drop(c, &id);
}

static void what_was_put_is_there_until_it_changes(void **state)
{
    put(*state, 1, 100, task_cache_mark(*state));
    assert_true(has(*state, 1));
    assert_false(has(*state, 2));
    drop(*state, 1);
    assert_false(has(*state, 1));
}

static void a_read_overtaken_by_a_change_is_not_kept(void **state)
{
    uint64_t mark = task_cache_mark(*state);
    drop(*state, 1);
    put(*state, 1, 100, mark);
    assert_false(has(*state, 1));
    put(*state, 1, 100, task_cache_mark(*state));
    assert_true(has(*state, 1));
}

static void another_ones_change_does_not_matter(void **state)
{
    uint64_t mark = task_cache_mark(*state);
    drop(*state, 2);
    put(*state, 1, 100, mark);
    assert_true(has(*state, 1));
}

static void without_a_subscription_nothing_is_kept(void **state)
{
    uint64_t mark = task_cache_mark(*state);
    put(*state, 1, 100, mark);
    task_cache_set_valid(*state, false);
    assert_false(has(*state, 1));
    put(*state, 1, 100, task_cache_mark(*state));
    assert_false(has(*state, 1));
    task_cache_set_valid(*state, true);
    put(*state, 1, 100, mark);
    assert_false(has(*state, 1)); /* read before the subscription stood again */
    put(*state, 1, 100, task_cache_mark(*state));
    assert_true(has(*state, 1));
}

static void memory_is_bounded(void **state)
{
    for (unsigned n = 0; n < 1500; n++)
        put(*state, n, 60 * 1024, task_cache_mark(*state));
    assert_in_range(bytes.value, 1, 32 * 1024 * 1024);
    assert_false(has(*state, 0));
    assert_true(has(*state, 1499));
    put(*state, 9999, 65 * 1024, task_cache_mark(*state));
    assert_false(has(*state, 9999));
}

static void a_blob_outlives_the_cache(void **state)
{
    put(*state, 1, 100, task_cache_mark(*state));
    struct uuid id = id_of(1);
    struct task_blob *b = task_blob_ref(task_cache_get(*state, &id));
    drop(*state, 1);
    assert_int_equal(b->n, 100);
    task_blob_unref(b);
}

#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(what_was_put_is_there_until_it_changes),
        CACHE_TEST(a_read_overtaken_by_a_change_is_not_kept),
        CACHE_TEST(another_ones_change_does_not_matter),
        CACHE_TEST(without_a_subscription_nothing_is_kept),
        CACHE_TEST(memory_is_bounded),
        CACHE_TEST(a_blob_outlives_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
