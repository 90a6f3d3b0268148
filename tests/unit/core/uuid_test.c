/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the text form goes both ways, and nothing else is taken for an id.
 */
#include "tests/unit/core/unit.h"

#include "core/base/uuid.h"

static void text_goes_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct uuid u = uuid_random(), back;
        assert_true(uuid_parse(uuid_format(&u).s, &back));
        assert_true(uuid_eq(&u, &back));
        assert_int_equal(u.b[6] >> 4, 4);
        assert_int_equal(u.b[8] >> 6, 2);
    }
}

static void upper_case_is_read_and_lower_case_written(void **state)
{
    (void)state;
    struct uuid u;
    assert_true(uuid_parse("00112233-4455-6677-8899-AABBCCDDEEFF", &u));
    assert_string_equal(uuid_format(&u).s, "00112233-4455-6677-8899-aabbccddeeff");
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "0",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899_aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        " 0112233-4455-6677-8899-aabbccddeeff",
        "{0112233-4455-6677-8899-aabbccddeef}",
        "0011223344-55-6677-8899-aabbccddeeff",
    };
    struct uuid u;
    assert_false(uuid_parse(NULL, &u));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(uuid_parse(wrong[i], &u));
}

static void bytes_must_be_sixteen(void **state)
{
    (void)state;
    struct uuid u;
    assert_true(uuid_from_bytes("0123456789abcdef", 16, &u));
    assert_memory_equal(u.b, "0123456789abcdef", 16);
    assert_false(uuid_from_bytes("0123456789abcde", 15, &u));
    assert_false(uuid_from_bytes(NULL, 0, &u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_goes_both_ways),
        cmocka_unit_test(upper_case_is_read_and_lower_case_written),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(bytes_must_be_sixteen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
