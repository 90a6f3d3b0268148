/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search_test.c - the query language by table: what is understood, and what is refused in which
 * words.
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
#include "gateway/search.h"

static const char *const keys[] = {"owner", "organization", "status", NULL};

/* The terms as "key=value;" in order, or the error as "field: detail". */
static void show(const char *query, char *buf, size_t size)
{
    struct search s;
    struct search_error e;
    buf[0] = '\0';
    if (!search_parse(query, "owner", keys, &s, &e)) {
        snprintf(buf, size, "%s: %s", e.field, e.detail);
        return;
    }
    for (size_t i = 0; i < s.n_terms; i++)
        snprintf(buf + strlen(buf), size - strlen(buf), "%s=%s;", s.terms[i].key, s.terms[i].value);
}

#define TWICE         "q: Query parameter \"owner\" provided more than once, found 2 times"
#define ELEMENT(text) "q: Query element \"" text "\""
#define ENDS          " cannot start or end with ':'"

static const struct {
    const char *query, *expected;
} rows[] = {
    {"",                               ""                                             },
    {"   ",                            ""                                             },
    {"owner:me",                       "owner=me;"                                    },
    {"owner:\"me\" status:\"active\"", "owner=me;status=active;"                      },
    {"OWNER:Bob STATUS:Paused",        "owner=bob;status=paused;"                     },
    {"  status:active   owner:me  ",   "status=active;owner=me;"                      },
    {"owner:bob, status:active",       "owner=bob;status=active;"                     },
    {"owner:bob , status:active",      "owner=bob;status=active;"                     },
    {",",                              ""                                             },
    {"owner:\"\"",                     "owner=;"                                      },
    {"bob",                            "owner=bob;"                                   },
    {"bob smith",                      "owner=bob smith;"                             },
    {"\"bob smith\"",                  "owner=bob smith;"                             },
    {"status:active bob smith",        "status=active;owner=bob smith;"               },
    {"organization:\"a b\"",           "organization=a b;"                            },
    {"owner:\"a:b\"",                  "owner=a:b;"                                   },
    {":me",                            ELEMENT(":me") ENDS                            },
    {"owner:",                         ELEMENT("owner:") ENDS                         },
    {"owner:a:b",                      ELEMENT("owner:a:b") " can only contain 1 ':'" },
    {"owner:a owner:b",                TWICE                                          },
    {"owner:a bob",                    TWICE                                          },
    {"colour:red",                     "colour: \"colour\" is not a valid query param"},
    {"owner:me \"unclosed",            TWICE                                          },
};

static void queries_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[512];
        show(rows[i].query, got, sizeof(got));
        assert_string_equal(got, rows[i].expected);
    }
}

static void an_empty_value_counts_as_not_given(void **state)
{
    (void)state;
    struct search s;
    struct search_error e;
    assert_true(search_parse("owner:\"\" status:active", "owner", keys, &s, &e));
    assert_null(search_get(&s, "owner"));
    assert_string_equal(search_get(&s, "status"), "active");
    assert_null(search_get(&s, "organization"));
}

static void length_and_number_are_bounded(void **state)
{
    (void)state;
    struct search s;
    struct search_error e;
    char query[2 * SEARCH_BYTES_MAX];
    memset(query, 'a', sizeof(query));
    query[SEARCH_BYTES_MAX] = '\0';
    assert_true(search_parse(query, "owner", keys, &s, &e));
    query[SEARCH_BYTES_MAX] = 'a';
    query[SEARCH_BYTES_MAX + 1] = '\0';
    assert_false(search_parse(query, "owner", keys, &s, &e));

    query[0] = '\0';
    for (int i = 0; i < 100; i++)
        snprintf(query + strlen(query), sizeof(query) - strlen(query), "k%d:v ", i);
    assert_false(search_parse(query, "owner", keys, &s, &e));
    assert_string_equal(e.detail, "More than 16 terms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_by_table),
        cmocka_unit_test(an_empty_value_counts_as_not_given),
        cmocka_unit_test(length_and_number_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
