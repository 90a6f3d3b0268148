/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a log line is one line, and in JSON it is JSON, whatever is logged.
 * Method: stderr is a pipe while something is logged.
 */
#include "tests/unit/core/unit.h"

#include <unistd.h>

#include "core/base/log.h"
#include "core/base/text.h"

static char line[8192];

/* The line that one log_info() writes, after its time stamp. */
#define LOGGED(...) (begin(), log_info(__VA_ARGS__), end())

static int saved, ends[2];

static void begin(void)
{
    assert_int_equal(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
}

static const char *end(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], line, sizeof(line) - 1);
    close(ends[0]);
    line[n > 0 ? n : 0] = '\0';
    assert_true(n <= 4096);
    char *lf = strchr(line, '\n');
    assert_non_null(lf);
    assert_string_equal(lf, "\n");
    *lf = '\0';
    char *rest = strstr(line, "level");
    assert_non_null(rest);
    return rest;
}

static void logfmt(void **state)
{
    (void)state;
    log_set_json(false);
    assert_string_equal(LOGGED("ready"), "level=info part=test msg=\"ready\"");
    assert_string_equal(LOGGED("leased job=%d why=%s", 7, LOG_Q("a \"b\"")),
        "level=info part=test msg=\"leased\" job=7 why=\"a \\\"b\\\"\"");
    assert_string_equal(
        LOGGED("two\nlines\x1b[31m"), "level=info part=test msg=\"two lines [31m\"");
    assert_string_equal(LOGGED("stray \xff"), "level=info part=test msg=\"stray ?\"");
}

static void json(void **state)
{
    (void)state;
    log_set_json(true);
    assert_string_equal(LOGGED("ready"), "level\":\"info\",\"part\":\"test\",\"msg\":\"ready\"}");
    assert_string_equal(LOGGED("took it job=7 why=%s", LOG_Q("a \"b\"\n\\c")),
        "level\":\"info\",\"part\":\"test\",\"msg\":\"took it\",\"job\":\"7\","
        "\"why\":\"a \\\"b\\\"\\n\\\\c\"}");
    assert_string_equal(LOGGED("odd path=C:\\x q=a\"b open=\"never"),
        "level\":\"info\",\"part\":\"test\",\"msg\":\"odd\",\"path\":\"C:\\\\x\",\"q\":\"a\\\"b\","
        "\"open\":\"never\"}");
    assert_string_equal(LOGGED("tab v=\"a\\tb\" w=\"\""),
        "level\":\"info\",\"part\":\"test\",\"msg\":\"tab\",\"v\":\"a\\\\tb\",\"w\":\"\"}");
}

/* A walk over one JSON object of strings. */
static bool is_flat_json(const char *s)
{
    if (*s++ != '{')
        return false;
    for (;;) {
        for (int part = 0; part < 2; part++) {
            if (*s++ != '"')
                return false;
            for (; *s != '"'; s++)
                if ((unsigned char)*s < 0x20 || (*s == '\\' && strchr("\"\\n", *++s) == NULL))
                    return false;
            s++;
            if (part == 0 && *s++ != ':')
                return false;
        }
        if (*s == '}')
            return s[1] == '\0';
        if (*s++ != ',')
            return false;
    }
}

static void json_holds_for_anything(void **state)
{
    (void)state;
    log_set_json(true);
    unsigned seed = 99;
    for (int round = 0; round < 2000; round++) {
        char text[6000];
        size_t n = (size_t)(round % 10 == 0 ? 5999 : 80);
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            unsigned d = seed >> 16;
            text[i] = d % 3 ? "k= \"\\v\n=\"x "[d % 11] : (char)(1 + d % 255);
        }
        text[n] = '\0';
        LOGGED("%s", text);
        assert_true(is_flat_json(line));
        assert_true(text_is_utf8(line, strlen(line)));
    }
}

static void levels(void **state)
{
    (void)state;
    enum log_level level;
    assert_true(log_level_parse("warn", &level));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse("loud", &level));
    log_set_json(false);
    log_set_level(LOG_ERROR);
    begin();
    log_info("unheard");
    log_error("heard");
    assert_string_equal(end(), "level=error part=test msg=\"heard\"");
    log_set_level(LOG_INFO);
}

static void quotes_fit_their_room(void **state)
{
    (void)state;
    char small[8];
    assert_string_equal(log_quote(small, sizeof(small), "abcdefghij"), "\"abc\"");
    assert_string_equal(log_quote(small, sizeof(small), NULL), "\"\"");
}

int main(void)
{
    log_init("test");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt),
        cmocka_unit_test(json),
        cmocka_unit_test(json_holds_for_anything),
        cmocka_unit_test(levels),
        cmocka_unit_test(quotes_fit_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
