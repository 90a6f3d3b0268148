/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: times read as RFC 3339 with no more digits than they need; clocks do not run backwards.
 */
#include "tests/unit/core/unit.h"

#include "core/base/clock.h"

static void formats(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0,                  "1970-01-01T00:00:00Z"       },
        {1,                  "1970-01-01T00:00:00.000001Z"},
        {500000,             "1970-01-01T00:00:00.5Z"     },
        {1500000,            "1970-01-01T00:00:01.5Z"     },
        {-1,                 "1969-12-31T23:59:59.999999Z"},
        {-1000000,           "1969-12-31T23:59:59Z"       },
        {1794931262500000,   "2026-11-17T16:01:02.5Z"     },
        {1709208000123450,   "2024-02-29T12:00:00.12345Z" },
        {951782399000000,    "2000-02-28T23:59:59Z"       },
        {951868800000000,    "2000-03-01T00:00:00Z"       },
        {4107542400000000,   "2100-03-01T00:00:00Z"       },
        {1767225599999999,   "2025-12-31T23:59:59.999999Z"},
        {-2208988800000000,  "1900-01-01T00:00:00Z"       },
        {253402300799000000, "9999-12-31T23:59:59Z"       },
    };
    char text[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        clock_format(rows[i].us, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void parses_what_it_writes_and_offsets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* INT64_MIN: refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z",           0               },
        {"1969-12-31T23:59:59.999999Z",    INT64_MIN       },
        {"2026-11-17T16:01:02.5Z",         1794931262500000},
        {"2026-11-17T18:01:02.5+02:00",    1794931262500000},
        {"2026-11-17t16:01:02.500000999z", 1794931262500000},
        {"2026-11-17T10:31:02.5-05:30",    1794931262500000},
        {"2026-02-29T00:00:00Z",           INT64_MIN       },
        {"2026-13-01T00:00:00Z",           INT64_MIN       },
        {"2026-11-17T16:01:02",            INT64_MIN       },
        {"2026-11-17T16:01:02.Z",          INT64_MIN       },
        {"2026-11-17T16:01:02Zx",          INT64_MIN       },
        {"2026-11-17T16:01:02+2:00",       INT64_MIN       },
        {"2026-1-1T0:0:0Z",                INT64_MIN       },
        {"yesterday",                      INT64_MIN       },
        {"",                               INT64_MIN       },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int64_t us = INT64_MIN;
        assert_int_equal(clock_parse(rows[i].text, &us), rows[i].us != INT64_MIN);
        assert_int_equal(us, rows[i].us);
    }
}

static void monotonic_time_does_not_fall(void **state)
{
    (void)state;
    int64_t before = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_us() > INT64_C(1600000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(parses_what_it_writes_and_offsets),
        cmocka_unit_test(monotonic_time_does_not_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
