/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a strbuf is a terminated string at every moment, whatever is added and taken.
 */
#include "tests/unit/core/unit.h"

#include "core/base/strbuf.h"

static void begins_empty_and_terminated(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b);
    assert_string_equal(b.s, "");
    strbuf_clear(&b);
    strbuf_add(&b, NULL, 0);
    strbuf_consume(&b, 0);
    assert_string_equal(b.s, "");
    strbuf_done(&b);
}

static void grows_by_pieces(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b);
    for (int i = 0; i < 10000; i++) {
        strbuf_addch(&b, 'a');
        strbuf_addstr(&b, "bc");
        strbuf_addf(&b, "%d", i % 10);
    }
    assert_int_equal(b.len, 40000);
    assert_int_equal(strlen(b.s), 40000);
    assert_memory_equal(b.s + 4 * 7777, "abc7abc8", 8);
    strbuf_done(&b);
}

static void carries_nul_bytes(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b);
    strbuf_add(&b, "a\0b", 3);
    strbuf_addstr(&b, "c");
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.s, "a\0bc", 5);
    strbuf_done(&b);
}

static void gives_up_what_is_consumed(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b);
    strbuf_addstr(&b, "hello world");
    strbuf_consume(&b, 6);
    assert_string_equal(b.s, "world");
    strbuf_consume(&b, 5);
    assert_string_equal(b.s, "");
    strbuf_done(&b);
}

static void hands_its_string_out(void **state)
{
    (void)state;
    struct strbuf b;
    strbuf_init(&b);
    char *nothing = strbuf_detach(&b);
    assert_string_equal(nothing, "");
    strbuf_addstr(&b, "x");
    char *s = strbuf_detach(&b);
    assert_string_equal(s, "x");
    assert_string_equal(b.s, "");
    free(nothing);
    free(s);
    strbuf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_empty_and_terminated),
        cmocka_unit_test(grows_by_pieces),
        cmocka_unit_test(carries_nul_bytes),
        cmocka_unit_test(gives_up_what_is_consumed),
        cmocka_unit_test(hands_its_string_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
