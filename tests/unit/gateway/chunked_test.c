/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunked_test.c - chunked bodies, whole and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/chunked.h"

#define MAX 32

static const struct {
    const char *wire;
    const char *body; /* NULL: refused */
    bool is_done;
} rows[] = {
    {"0\r\n\r\n",                                            "",            true },
    {"5\r\nhello\r\n0\r\n\r\n",                              "hello",       true },
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",               "hello world", true },
    {"A\r\n0123456789\r\n0\r\n\r\n",                         "0123456789",  true },
    {"5;name=value\r\nhello\r\n0\r\n\r\n",                   "hello",       true },
    {"2\r\nhi\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\n",     "hi",          true },
    {"5\nhello\n0\n\n",                                      NULL,          false},
    {"5\r\nhello\n0\r\n\r\n",                                NULL,          false},
    {"5\r\nhello\r0\r\n\r\n",                                NULL,          false},
    {"5;a\nhello\r\n0\r\n\r\n",                              NULL,          false},
    {"5;a\rhello\r\n0\r\n\r\n",                              NULL,          false},
    {"5 \r\nhello\r\n0\r\n\r\n",                             NULL,          false},
    {";a\r\n",                                               NULL,          false},
    {"0\r\nTrailer: x\n\r\n",                                NULL,          false},
    {"0\r\n\n",                                              NULL,          false},
    {"5\r\nhel",                                             "hel",         false},
    {"5\r\nhello\r\n",                                       "hello",       false},
    {"",                                                     "",            false},
    {"x\r\n",                                                NULL,          false},
    {"\r\n",                                                 NULL,          false},
    {"-1\r\n",                                               NULL,          false},
    {"5\r\nhelloX",                                          NULL,          false},
    {"123456789\r\n",                                        NULL,          false},
    {"ffffffff\r\nx",                                        "x",           false},
    {"21\r\n012345678901234567890123456789012\r\n0\r\n\r\n", NULL,          false},
};

static void feed(size_t row, size_t step)
{
    struct chunked c = {0};
    struct strbuf out;
    strbuf_init(&out);
    size_t n = strlen(rows[row].wire);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i += step)
        ok = chunked_feed(&c, rows[row].wire + i, i + step < n ? step : n - i, &out, MAX);
    assert_int_equal(ok, rows[row].body != NULL);
    if (ok) {
        assert_string_equal(out.s, rows[row].body);
        assert_int_equal(c.state == CHUNKED_DONE, rows[row].is_done);
    }
    strbuf_done(&out);
}

static void bodies_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t step = 1; step < 40; step += 3)
            feed(i, step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_by_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
