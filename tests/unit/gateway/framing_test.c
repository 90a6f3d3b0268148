/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing_test.c - one request by table, whole and byte by byte: where it ends, or what is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/framing.h"

#define HOST "Host: a\r\n"

static const struct row {
    const char *text;
    size_t n;
    enum framing_fault fault;
    enum framing_state end; /* when there is no fault */
} rows[] = {
#define ROW(text, fault, end) {text, sizeof(text) - 1, FRAMING_##fault, FRAMING_##end},
#include "tests/unit/gateway/framing_rows.def"
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t step = 1; step <= rows[i].n; step = step == 1 ? rows[i].n : step + 1) {
            struct framing f = {0};
            enum framing_fault fault = FRAMING_OK;
            size_t used;
            for (size_t at = 0; at < rows[i].n && fault == FRAMING_OK; at += step)
                fault = framing_feed(&f, (const unsigned char *)rows[i].text + at, step, &used);
            if (fault != rows[i].fault || (fault == FRAMING_OK && f.state != rows[i].end))
                fail_msg("row %zu by %zu: fault %d state %d: %s", i, step, (int)fault, (int)f.state,
                    rows[i].text);
        }
}

static enum framing_fault feed_text(const char *before, char c, size_t n, const char *after)
{
    struct framing f = {0};
    size_t used, n_before = strlen(before);
    unsigned char *text = malloc(n_before + n + strlen(after));
    memcpy(text, before, n_before);
    memset(text + n_before, c, n);
    memcpy(text + n_before + n, after, strlen(after));
    enum framing_fault fault = framing_feed(&f, text, n_before + n + strlen(after), &used);
    free(text);
    return fault;
}

static void test_sizes(void **state)
{
    (void)state;
    static const char end[] = " HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(feed_text("GET /", 'a', FRAMING_TARGET_MAX - 1, end), FRAMING_OK);
    assert_int_equal(feed_text("GET /", 'a', FRAMING_TARGET_MAX, end), FRAMING_URL_LONG);
    assert_int_equal(feed_text("GET /?", '&', FRAMING_PARTS_MAX, end), FRAMING_OK);
    assert_int_equal(feed_text("GET /?", '&', FRAMING_PARTS_MAX + 1, end), FRAMING_URL_LONG);
    assert_int_equal(
        feed_text("GET / HTTP/1.1\r\nX: ", 'a', FRAMING_HEAD_MAX - 64, "\r\n" HOST "\r\n"),
        FRAMING_OK);
    assert_int_equal(feed_text("GET / HTTP/1.1\r\nX: ", 'a', FRAMING_HEAD_MAX, "\r\n" HOST "\r\n"),
        FRAMING_LARGE);
}

static void test_many_headers(void **state)
{
    (void)state;
    struct framing f = {0};
    enum framing_fault fault = FRAMING_OK;
    size_t used, n = 0;
    framing_feed(&f, (const unsigned char *)"GET / HTTP/1.1\r\n", 16, &used);
    while (fault == FRAMING_OK && n < 200) {
        fault = framing_feed(&f, (const unsigned char *)"a: b\r\n", 6, &used);
        n++;
    }
    assert_int_equal(fault, FRAMING_LARGE);
    assert_int_equal(n, FRAMING_HEADERS_MAX + 1);
}

/* Sound requests before a bad one are kept apart from it. */
static void test_used(void **state)
{
    (void)state;
    static const char good[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab";
    static const char bad[] = "GET / HTTP/1.1\r\n" HOST "\n";
    char text[200];
    struct framing f = {0};
    size_t used;
    snprintf(text, sizeof(text), "%s%s", good, bad);
    assert_int_equal(framing_feed(&f, (unsigned char *)text, strlen(text), &used), FRAMING_LINE);
    assert_int_equal(used, sizeof(good) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_many_headers),
        cmocka_unit_test(test_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
