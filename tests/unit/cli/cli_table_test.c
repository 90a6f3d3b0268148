/* SPDX-License-Identifier: Apache-2.0 */
/* cli_table_test.c - goal: cells, widths, times and columns.  Method: rows in, text out. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"
#include "tests/unit/cli/fake.h"

static const struct column columns[] = {
    {"name",         "name", COLUMN_TEXT},
    {"state",   "report.state", COLUMN_STATUS},
    {"count",        "count", COLUMN_TEXT},
    {0},
};

static void print(struct fake *f, const char *rows)
{
    json_t *json = json_loads(rows, 0, NULL);
    assert_non_null(json);
    table_print(&f->cli, columns, json);
    fflush(f->cli.out);
    json_decref(json);
}

static void test_columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    print(&f, "[{\"name\":\"a\",\"report\":{\"state\":\"working\"},\"count\":7},"
              "{\"name\":\"Größe\",\"report\":null,\"count\":true}]");
    assert_string_equal(f.out, "NAME   STATE    COUNT\n"
                               "a      working  7\n"
                               "Größe           true\n");
    fake_close(&f);
}

static void test_a_terminal_gets_colour_and_a_cut(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    f.cli.colour = true;
    f.cli.width = 24;
    print(&f,
        "[{\"name\":\"a\",\"report\":{\"state\":\"failed\"},\"count\":\"much longer than that\"}]");
    assert_string_equal(f.out, "NAME  STATE   COUNT\n"
                               "a     \033[31mfailed\033[0m  much long…\n");
    fake_close(&f);
}

static void test_nothing_of_a_server_moves_the_cursor(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    print(&f, "[{\"name\":\"a\\u001b[2J\\r\\nb\",\"count\":{\"x\":1}}]");
    assert_null(strchr(f.out, '\033'));
    assert_null(strchr(f.out, '\r'));
    fake_close(&f);
}

static void test_times(void **state)
{
    (void)state;
    int64_t us = 0;
    assert_true(table_parse_time("1970-01-01T00:00:01Z", &us));
    assert_int_equal(us, 1000000);
    assert_true(table_parse_time("1970-01-01T00:00:00.25Z", &us));
    assert_int_equal(us, 250000);
    assert_true(table_parse_time("1970-01-01T02:00:00.123456789+02:00", &us));
    assert_int_equal(us, 123456);
    assert_false(table_parse_time("yesterday", &us));
    assert_false(table_parse_time("1970-01-01T00:00:01", &us));
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {-5,     "0s" },
        {59,     "59s"},
        {60,     "1m" },
        {7199,   "1h" },
        {90000,  "25h"},
        {200000, "2d" }
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct strbuf b;
        strbuf_init(&b);
        table_add_duration(&b, rows[i].seconds);
        assert_string_equal(b.s, rows[i].text);
        strbuf_done(&b);
    }
}

static void test_picking_columns(void **state)
{
    (void)state;
    struct fake f;
    struct column picked[COLUMNS_MAX + 1];
    fake_open(&f);
    assert_int_equal(table_pick(&f.cli, columns, "count, NAME", picked), ERR_OK);
    assert_string_equal(picked[0].name, "count");
    assert_string_equal(picked[1].name, "name");
    assert_null(picked[2].name);
    assert_int_equal(table_pick(&f.cli, columns, "nmae", picked), ERR_USAGE);
    assert_non_null(strstr(f.cli.problem.s, "did you mean \"name\"?"));
    assert_string_equal(f.cli.hint.s, "the columns are: name, state, count");
    assert_int_equal(table_pick(&f.cli, columns, "", picked), ERR_USAGE);
    fake_close(&f);
}

int main(void)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(test_a_terminal_gets_colour_and_a_cut),
        cmocka_unit_test(test_nothing_of_a_server_moves_the_cursor),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_picking_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
