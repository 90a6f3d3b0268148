/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: which patterns are taken and what they match; which values parameters take. */
#include "tests/unit/core/unit.h"

#include "core/base/cleanup.h"
#include "core/base/parameter.h"
#include "core/base/pattern.h"

static void patterns_match(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *value;
        bool matches;
    } rows[] = {
        {"",                     "anything",    true },
        {"^a+$",                 "aaa",         true },
        {"^a+$",                 "ab",          false},
        {"b",                    "abc",         true },
        {"^\\d{2,4}$",           "123",         true },
        {"^\\d{2,4}$",           "12345",       false},
        {"^\\D$",                "5",           false},
        {"^[\\d.]+$",            "1.2",         true },
        {"^[\\w\\-.]+$",         "a-b_c.d",     true },
        {"^[\\w\\-.]+$",         "a b",         false},
        {"^[^\\s]+$",            "a\tb",        false},
        {"^[\\]x]+$",            "]x",          true },
        {"^(?:a|b)c$",           "bc",          true },
        {"^\\.\\{\\/$",          ".{/",         true },
        {"^[[:upper:]]$",        "Q",           true },
        {"^[]a]$",               "]",           true },
        {"^https://[^/]+/\\S+$", "https://x/y", true },
        {"^(a|b){3,}$",          "abab",        true },
        {"^x\\ty$",              "x\ty",        true },
        {"^a+?b*?c{2}?$",        "acc",         true },
        {"^[\\^a]$",             "a",           true },
        {"^[\\^a]$",             "b",           false},
        {"^[\\^]$",              "^",           true },
        {"^[a\\^\\-]+$",         "-^a",         true },
        {"^a+?$",                "",            false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct errctx why = {0};
        if (pattern_check(rows[i].pattern, &why) != ERR_OK)
            fail_msg("%s: %s", rows[i].pattern, why.text);
        if (pattern_matches(rows[i].pattern, rows[i].value) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].value);
    }
}

static void patterns_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *why;
    } rows[] = {
        {"(",                                           ""                 },
        {"a\\",                                         "backslash"        },
        {"(a)\\1",                                      "backslash"        },
        {"\\pL",                                        "backslash"        },
        {"[\\D]",                                       "backslash"        },
        {"(?=a)",                                       "(?:...)"          },
        {"(?i)a",                                       "(?:...)"          },
        {"[a",                                          "[ without ]"      },
        {"[[:alpha",                                    "[: without :]"    },
        {"a{",                                          "repeat"           },
        {"a{x}",                                        "repeat"           },
        {"a{1001}",                                     "1000"             },
        {"((a{25}){25}){25}",                           "256"              },
        {"((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)", "256"              },
        {"(a{100})(b{100})(c{100})",                    "256"              },
        {"a++",                                         "another repeat"   },
        {"*a",                                          "nothing before it"},
        {"(a",                                          "( without )"      },
        {"a)",                                          ") without ("      },
        {"a{99999999999999999999}",                     "1000"             },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct errctx why = {0};
        assert_int_equal(pattern_check(rows[i].pattern, &why), ERR_CONFIG);
        if (strstr(why.text, rows[i].why) == NULL)
            fail_msg("%s: %s", rows[i].pattern, why.text);
        assert_false(pattern_matches(rows[i].pattern, "a"));
    }
    char huge[PATTERN_BYTES_MAX + 2];
    memset(huge, 'a', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    assert_int_equal(pattern_check(huge, &(struct errctx){0}), ERR_CONFIG);
}

static const char *const sizes[] = {"small", "large"};

static void values_are_taken_or_refused(void **state)
{
    (void)state;
    static const struct parameter_rule text = {.type = "string"}, number = {.type = "number"},
                                       yes_no = {.type = "bool"}, list = {.type = "list(string)"},
                                       an_a = {.type = "string", .regex = "^a$", .error = "say a"},
                                       size = {.type = "string", .options = sizes, .n_options = 2},
                                       least = {.type = "number", .has_min = true, .min = 2},
                                       most = {.type = "number", .has_max = true, .max = 2};
    static const struct {
        const struct parameter_rule *rule;
        const char *value, *refusal; /* NULL: taken */
    } rows[] = {
        {&text,   "",                       NULL                                        },
        {&an_a,   "a",                      NULL                                        },
        {&an_a,   "b",                      "say a (value \"b\" does not match \"^a$\")"},
        {&size,   "large",                  NULL                                        },
        {&size,   "Large",                  "must match one of options: [small large]"  },
        {&number, "-5",                     NULL                                        },
        {&number, "5x",                     "value \"5x\" is not a number"              },
        {&number, "",                       "value \"\" is not a number"                },
        {&number, " 5",                     "value \" 5\" is not a number"              },
        {&number, "1.5",                    "value \"1.5\" is not a number"             },
        {&number, "9999999999999999999",    "is not a number"                           },
        {&least,  "1",                      "value 1 is less than the minimum 2"        },
        {&most,   "3",                      "value 3 is more than the maximum 2"        },
        {&most,   "2",                      NULL                                        },
        {&yes_no, "true",                   NULL                                        },
        {&yes_no, "yes",                    "can be either \"true\" or \"false\""       },
        {&list,   "[]",                     NULL                                        },
        {&list,   " [ \"a\" , \"b\\n\" ] ", NULL                                        },
        {&list,   "[\"a\",]",               "valid list of strings"                     },
        {&list,   "[\"a\" \"b\"]",          "valid list of strings"                     },
        {&list,   "[1]",                    "valid list of strings"                     },
        {&list,   "[\"a\"",                 "valid list of strings"                     },
        {&list,   "[\"\\",                  "valid list of strings"                     },
        {&list,   "a,b",                    "valid list of strings"                     },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct parameter_rule rule = *rows[i].rule;
        struct parameter_why why;
        if (rule.regex == NULL)
            rule.regex = rule.error = "";
        const char *refusal = parameter_refuses(&rule, rows[i].value, &why);
        bool as_wanted = rows[i].refusal == NULL
                             ? refusal == NULL
                             : refusal != NULL && strstr(refusal, rows[i].refusal) != NULL;
        if (!as_wanted)
            fail_msg("%s %s: %s", rule.type, rows[i].value, refusal);
    }
    char huge[PARAMETER_VALUE_MAX + 2];
    struct parameter_why why;
    memset(huge, 'a', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    struct parameter_rule any = {.type = "string", .regex = "", .error = ""};
    assert_non_null(parameter_refuses(&any, huge, &why));
    assert_null(parameter_refuses(&any, huge + 1, &why));
}

static void names_become_variables(void **state)
{
    (void)state;
    char variable[PARAMETER_VARIABLE_MAX + 1];
    parameter_variable("max-turns_2", variable);
    assert_string_equal(variable, "CODER_PARAMETER_MAX_TURNS_2");
    assert_true(parameter_is_name("A-z_0"));
    assert_false(parameter_is_name(""));
    assert_false(parameter_is_name("a b"));
    assert_false(parameter_is_name("ä"));
    char longest[PARAMETER_NAME_MAX + 2] = "";
    memset(longest, 'n', PARAMETER_NAME_MAX);
    assert_true(parameter_is_name(longest));
    parameter_variable(longest, variable);
    assert_int_equal(strlen(variable), PARAMETER_VARIABLE_MAX);
    longest[PARAMETER_NAME_MAX] = 'n';
    assert_false(parameter_is_name(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match),
        cmocka_unit_test(patterns_are_refused),
        cmocka_unit_test(values_are_taken_or_refused),
        cmocka_unit_test(names_become_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
