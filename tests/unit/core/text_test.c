/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: names follow the rule, and no byte of a program's output can do harm on a page or a
 * terminal. Method: tables of what goes in and what must come out; random bytes for what must hold
 * always.
 */
#include "tests/unit/core/unit.h"

#include "core/base/text.h"

#define ELLIPSIS "\xe2\x80\xa6"
#define TEN_1    "1234567890"
#define BAD      "\xef\xbf\xbd"
#define TEN_A    "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"

struct pair {
    const char *in, *out;
};
#define ROWS(table) (sizeof(table) / sizeof(*(table)))

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", "Z9", "fix-login", "a-b-c", "12345678901234567890123456789012"};
    static const char *const bad[] = {"", "-", "a-", "-a", "a--b", "a_b", "a b", "new", "create",
        "caf\xc3\xa9", "123456789012345678901234567890123"};
    for (size_t i = 0; i < ROWS(good); i++)
        assert_true(text_is_name(good[i]));
    for (size_t i = 0; i < ROWS(bad); i++)
        assert_false(text_is_name(bad[i]));
}

static void names_from_prompts(void **state)
{
    (void)state;
    static const struct pair rows[] = {
        {"Fix the login bug",                         "fix-the-login-bug-00ff"          },
        {"",                                          "able-allen-00ff"                 },
        {"!!! ???",                                   "able-allen-00ff"                 },
        {"  Fix\n\tthe   bug  ",                      "fix-the-bug-00ff"                },
        {"a - b -- c",                                "a-b-c-00ff"                      },
        {"Refactor the payment service entirely now", "refactor-the-payment-00ff"       },
        {"abcdefghijklmnopqrstuvwxyz0123456789",      "abcdefghijklmnopqrstuvwxyz0-00ff"},
        {"123456789 123456789 1234567 x",             "123456789-123456789-1234567-00ff"},
        {"\xc3\x9c"
         "ber uns",                          "ber-uns-00ff"                    },
        {"\x1b[31mred\x1b[0m alert",                  "red-alert-00ff"                  },
    };
    char name[TASK_NAME_MAX + 1];
    for (size_t i = 0; i < ROWS(rows); i++) {
        text_name_from_prompt(rows[i].in, 0xff, name);
        assert_string_equal(name, rows[i].out);
        assert_true(text_is_name(name));
    }
}

static void names_from_nothing(void **state)
{
    (void)state;
    char name[TASK_NAME_MAX + 1], display[TASK_DISPLAY_NAME_MAX + 1];
    size_t longest = 0;
    for (uint32_t random = 0; random < 0x10000; random++) {
        text_name_from_prompt("", random << 16 | 0xbeef, name);
        longest = strlen(name) > longest ? strlen(name) : longest;
        assert_true(text_is_name(name));
    }
    assert_true(longest <= TASK_NAME_MAX);
    text_name_from_prompt("", 0x17191234, name);
    assert_string_equal(name, "quiet-lovelace-1234");
    text_display_from_name(name, display);
    assert_string_equal(display, "Quiet lovelace");
    text_display_from_name("given", display);
    assert_string_equal(display, "Given");
}

static void shows(const char *prompt, const char *want)
{
    char name[TASK_DISPLAY_NAME_MAX + 1];
    text_display_from_prompt(prompt, name);
    assert_string_equal(name, want);
}

static void display_names_from_prompts(void **state)
{
    (void)state;
    shows("", "");
    shows("fix the bug", "Fix the bug");
    shows("fix\nthe\tbug", "Fix the bug");
    shows(TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 "1234", TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 "1234");
    shows(TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 "12345",
        TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 TEN_1 "1" ELLIPSIS);
    shows("the quick brown fox jumps over the lazy dog and then over another one",
        "The quick brown fox jumps over the lazy dog and then over" ELLIPSIS);
    shows(TEN_A TEN_A TEN_A "\xc3\xa4\xc3\xa4\xc3\xa4", TEN_A TEN_A TEN_A ELLIPSIS);
}

static void status_lines(void **state)
{
    (void)state;
    static const struct pair rows[] = {
        {"plain",                                "plain"               },
        {"  a \n\t b  ",                         "a b"                 },
        {"<b>bold</b> <script src=x>y</script>", "bold y"              },
        {"1 < 2 and 3 > 2",                      "1 < 2 and 3 > 2"     },
        {"open <tag",                            "open <tag"           },
        {"a<!-- x > y -->b",                     "ab"                  },
        {"\x1b[1;31mred\x1b[m",                  "red"                 },
        {"\x1b]0;title\x07text",                 "text"                },
        {"\x1b]8;;http://x\x1b\\link",           "link"                },
        {"bell\x07 del\x7f",                     "bell del"            },
        {"c1\xc2\x85x \xc2\x9b"
         "31my",                        "c1x y"               },
        {"bad \xff\xfe byte",                    "bad " BAD BAD " byte"},
        {"\x1b",                                 ""                    },
        {"",                                     ""                    },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct strbuf b;
        strbuf_init(&b);
        strbuf_addstr(&b, "> ");
        text_add_sanitized(&b, rows[i].in);
        assert_memory_equal(b.s, "> ", 2);
        assert_string_equal(b.s + 2, rows[i].out);
        strbuf_done(&b);
    }
}

static void program_output(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } rows[] = {
        {"a\r\nb\n\tc",           7,  "a\nb\n\tc"       },
        {"\x1b[2J\x1b[H$ ls",     11, "$ ls"            },
        {"a\0b",                  3,  "a" BAD "b"       },
        {"\xe2\x82\xac",          3,  "\xe2\x82\xac"    },
        {"\xe2\x82",              2,  BAD BAD           },
        {"\xc0\xaf",              2,  BAD BAD           },
        {"\xed\xa0\x80",          3,  BAD BAD BAD       },
        {"\xf4\x90\x80\x80",      4,  BAD BAD BAD BAD   },
        {"\xf0\x9f\x98\x80",      4,  "\xf0\x9f\x98\x80"},
        {"x\x1b]0;never ends\ny", 17, "x\ny"            },
        {"x\x1b",                 2,  "x"               },
        {"10%\r20%",              7,  "10%20%"          },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct strbuf b;
        strbuf_init(&b);
        text_add_output(&b, rows[i].in, rows[i].n);
        assert_string_equal(b.s, rows[i].out);
        strbuf_done(&b);
    }
}

static void random_bytes_come_out_clean(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 3000; round++) {
        char raw[65];
        size_t n = 0;
        while (n < 64) {
            seed = seed * 1103515245 + 12345;
            static const char likely[] = "\x1b[]<>\xc2\x9b\xe2\x82\xac\x07;m ";
            unsigned d = seed >> 16;
            raw[n++] = d % 2 ? likely[d % (sizeof(likely) - 1)] : (char)(d >> 4);
        }
        raw[n] = '\0';
        struct strbuf b;
        strbuf_init(&b);
        text_add_output(&b, raw, n);
        assert_true(text_is_utf8(b.s, b.len));
        assert_null(strchr(b.s, '\x1b'));
        strbuf_clear(&b);
        text_add_sanitized(&b, raw);
        assert_true(text_is_utf8(b.s, b.len));
        for (size_t i = 0; i < b.len; i++)
            assert_true((unsigned char)b.s[i] >= 0x20);
        strbuf_done(&b);
    }
}

static void utf8_at_its_edges(void **state)
{
    (void)state;
    assert_true(text_is_utf8("", 0));
    assert_true(text_is_utf8("0123456789abcdef", 16));
    assert_true(text_is_utf8("1234567\xc3\xa4 12345678", 18));
    assert_true(text_is_utf8("\xf4\x8f\xbf\xbf", 4));
    assert_false(text_is_utf8("1234567\0", 8));
    assert_false(text_is_utf8("12345678\x80", 9));
    assert_false(text_is_utf8("\xc3", 1));
    assert_false(text_is_utf8("\xf5\x80\x80\x80", 4));
    assert_false(text_is_utf8("\xe0\x80\x80", 3));
}

static void prefixes_keep_characters_whole(void **state)
{
    (void)state;
    const char *s = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"; /* 1 + 2 + 3 + 4 */
    static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    for (size_t max = 0; max < ROWS(want); max++)
        assert_int_equal(text_utf8_prefix(s, 10, max), want[max]);
    assert_int_equal(text_utf8_prefix("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(names_from_prompts),
        cmocka_unit_test(names_from_nothing),
        cmocka_unit_test(display_names_from_prompts),
        cmocka_unit_test(status_lines),
        cmocka_unit_test(program_output),
        cmocka_unit_test(random_bytes_come_out_clean),
        cmocka_unit_test(utf8_at_its_edges),
        cmocka_unit_test(prefixes_keep_characters_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
