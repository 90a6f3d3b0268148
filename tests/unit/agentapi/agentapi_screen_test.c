/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the text of a terminal is what a person would read from it.
 * Method: rows of bytes and the text they leave; each whole, and byte by byte.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include "agent/agentapi/screen.h"
#include "core/base/mem.h"
#include "core/base/text.h"

static void on_answer(void *arg, const char *data, size_t n)
{
    strbuf_add(arg, data, n);
}

static const struct {
    const char *bytes, *text;
} rows[] = {
    {"hello",                                 "hello"                        },
    {"one\r\ntwo  \r\n\r\n",                  "one\ntwo"                     },
    {"\x1b[31mred\x1b[0m \x1b[1mbold\x1b[0m", "red bold"                     },
    {"draft\r\x1b[Kfinal",                    "final"                        },
    {"你好 e\xcc\x81",                      "你好 e\xcc\x81"             },
    {"a\tb",                                  "a       b"                    },
    {"\xff\xfe!",                             "\xef\xbf\xbd\xef\xbf\xbd!"    },
    {"main\x1b[?1049halt",                    "    alt"                      },
    {"main\x1b[?1049h\x1b[Halt\x1b[?1049l",   "main"                         },
    {"\x1b]0;a title\atext",                  "text"                         },
    {"\x1b[3;3Hx\x1b[H",                      "\n\n  x"                      },
    {"0123456789abcdefghijwrapped",           "0123456789abcdefghij\nwrapped"},
    {"a\xc2\xa0\xc2\xa0",                     "a"                            },
    {"1\r\n2\r\n3\r\n4\r\n5\r\n6",            "2\n3\n4\n5\n6"                },
};

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = strlen(rows[i].bytes);
        for (size_t piece = 1; piece <= n; piece += n - 1 > 0 ? n - 1 : 1) {
            struct strbuf answer;
            strbuf_init(&answer);
            struct screen *s = screen_new(5, 20, on_answer, &answer);
            for (size_t at = 0; at < n; at += piece)
                screen_feed(s, rows[i].bytes + at, piece < n - at ? piece : n - at);
            if (strcmp(screen_text(s)->s, rows[i].text) != 0)
                fail_msg("\"%s\" instead of \"%s\"", screen_text(s)->s, rows[i].text);
            screen_free(s);
            strbuf_done(&answer);
        }
    }
}

static void test_questions_are_answered(void **state)
{
    (void)state;
    struct strbuf answer;
    strbuf_init(&answer);
    struct screen *s = screen_new(5, 20, on_answer, &answer);
    screen_feed(s, "ab\x1b[6n", 6);
    assert_string_equal(answer.s, "\x1b[1;3R");
    screen_free(s);
    strbuf_done(&answer);
}

static void test_paste_has_brackets_when_they_are_wanted(void **state)
{
    (void)state;
    struct strbuf answer;
    strbuf_init(&answer);
    struct screen *s = screen_new(5, 20, on_answer, &answer);
    screen_paste(s, "one", 3);
    assert_string_equal(answer.s, "one");
    screen_feed(s, "\x1b[?2004h", 8);
    screen_paste(s, "two", 3);
    assert_string_equal(answer.s, "one\x1b[200~two\x1b[201~");
    screen_free(s);
    strbuf_done(&answer);
}

static void test_control_string_without_end_costs_nothing(void **state)
{
    (void)state;
    struct strbuf answer;
    strbuf_init(&answer);
    struct screen *s = screen_new(5, 20, on_answer, &answer);
    char block[4096];
    memset(block, 'x', sizeof(block));
    screen_feed(s, "\x1b]0;", 4);
    for (int i = 0; i < 20000; i++) /* 80 MB */
        screen_feed(s, block, sizeof(block));
    screen_feed(s, "\a", 1);
    screen_feed(s, "text", 4);
    assert_string_equal(screen_text(s)->s, "text");
    screen_free(s);
    strbuf_done(&answer);
}

static void test_text_is_always_utf8(void **state)
{
    (void)state;
    struct strbuf answer;
    strbuf_init(&answer);
    struct screen *s = screen_new(24, 80, on_answer, &answer);
    unsigned x = 1;
    for (int i = 0; i < 200000; i++) {
        x = x * 1103515245 + 12345;
        char c = (char)(x >> 16);
        screen_feed(s, &c, 1);
    }
    assert_true(text_is_utf8(screen_text(s)->s, screen_text(s)->len));
    screen_free(s);
    strbuf_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_questions_are_answered),
        cmocka_unit_test(test_paste_has_brackets_when_they_are_wanted),
        cmocka_unit_test(test_control_string_without_end_costs_nothing),
        cmocka_unit_test(test_text_is_always_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
