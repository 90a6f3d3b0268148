/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_query_test.c - filters, orders, members and cursors of lists by table.
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
#include "gateway/etag.h"
#include "gateway/page.h"
#include "gateway/task_query.h"

/* '&' stands for the NUL between two parameters. */
static bool parse(const char *query, struct task_query *q, struct task_query_error *e)
{
    static char text[1024];
    size_t n = strlen(query);
    memcpy(text, query, n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] == '&' ? '\0' : text[i];
    return task_query_parse(text, n > 0 ? n + 1 : 0, q, e);
}

/* ---- what is refused ---- */

static const struct {
    const char *query, *field;
} bad[] = {
    {"status=",                            "status"        },
    {"status=Active",                      "status"        },
    {"status=active,",                     "status"        },
    {"status=active,sleeping",             "status"        },
    {"status=active&status=paused",        "status"        },
    {"state=failure",                      "state"         },
    {"owner=",                             "owner"         },
    {"label=",                             "label"         },
    {"label=:web",                         "label"         },
    {"created_after=yesterday",            "created_after" },
    {"created_after=2026-02-30T00:00:00Z", "created_after" },
    {"created_before=2026-11-20",          "created_before"},
    {"has_error=yes",                      "has_error"     },
    {"order=name",                         "order"         },
    {"limit=",                             "limit"         },
    {"limit=0",                            "limit"         },
    {"limit=1001",                         "limit"         },
    {"limit=-1",                           "limit"         },
    {"limit=1e2",                          "limit"         },
    {"limit=99999999999999999999",         "limit"         },
    {"fields=",                            "fields"        },
    {"fields=id,,name",                    "fields"        },
    {"fields=password",                    "fields"        },
    {"cursor=",                            "cursor"        },
    {"cursor=AAAA",                        "cursor"        },
    {"cursor=not base64",                  "cursor"        },
    {"q=owner:me",                         "q"             },
    {"",                                   ""              },
};

static void refuses(void **state)
{
    (void)state;
    struct task_query q;
    struct task_query_error e = {0};
    for (size_t i = 0; i + 1 < COUNT(bad); i++) {
        if (parse(bad[i].query, &q, &e) || strcmp(e.field, bad[i].field) != 0)
            fail_msg("\"%s\": %s: %s", bad[i].query, e.field, e.detail);
        assert_true(strlen(e.detail) > 10);
    }
    char many[256] = "label=a";
    for (int i = 0; i < QUERY_LABELS_MAX; i++)
        strcat(many, "&label=a");
    assert_false(parse(many, &q, &e));
    assert_string_equal(e.field, "label");
}

/* ---- what is understood ---- */

static void nothing_is_everything(void **state)
{
    (void)state;
    struct task_query q;
    struct task_query_error e;
    assert_true(parse("", &q, &e));
    assert_int_equal(q.limit, PAGE_LIMIT);
    assert_int_equal(q.order, ORDER_CREATED);
    assert_int_equal(q.has_error, -1);
    assert_int_equal(q.n_statuses + q.n_states + q.n_labels, 0);
    assert_true(q.created_after == INT64_MIN && q.created_before == INT64_MIN);
    assert_true(q.fields == 0 && !q.has_cursor);
}

static void understands_all(void **state)
{
    (void)state;
    struct task_query q;
    struct task_query_error e;
    assert_true(parse("status=active,paused&state=failed&owner=me&template=shell&label=team:a:b"
                      "&label=urgent&name_prefix=fix&created_after=1970-01-01T00:00:01.5Z"
                      "&created_before=1970-01-01T02:00:00+01:00&has_error=false&order=priority"
                      "&limit=1000&fields=id,queue&organization=default&access_token=x",
        &q, &e));
    assert_int_equal(q.n_statuses, 2);
    assert_string_equal(q.statuses[1], "paused");
    assert_string_equal(q.states[0], "failed");
    assert_int_equal(q.n_labels, 2);
    assert_int_equal(q.labels[0].n, 4);
    assert_string_equal(q.labels[0].value, "a:b");
    assert_null(q.labels[1].value);
    assert_int_equal(q.created_after, 1500000);
    assert_int_equal(q.created_before, 3600 * INT64_C(1000000));
    assert_int_equal(q.has_error, 0);
    assert_int_equal(q.order, ORDER_PRIORITY);
    assert_int_equal(q.limit, 1000);
}

/* ---- cursors ---- */

static void cursors_come_back(void **state)
{
    (void)state;
    struct task_query q, again;
    struct task_query_error e;
    struct task_place last = {-7, 1800000000000001, {{1, 2, 3}}};
    char text[TASK_CURSOR_SIZE], query[256];
    assert_true(parse("status=active&label=a:b&order=priority", &q, &e));
    task_cursor_format(&q, &last, text);
    snprintf(
        query, sizeof(query), "label=a:b&cursor=%s&order=priority&limit=7&status=active", text);
    assert_true(parse(query, &again, &e)); /* other order of parameters, other limit */
    assert_true(again.has_cursor);
    assert_int_equal(again.after.key, -7);
    assert_int_equal(again.after.created_us, last.created_us);
    assert_memory_equal(&again.after.id, &last.id, sizeof(last.id));
}

static void cursors_of_other_lists_are_refused(void **state)
{
    (void)state;
    static const char *const others[] = {"", "order=updated", "status=paused", "owner=me"};
    struct task_query q;
    struct task_query_error e;
    char text[TASK_CURSOR_SIZE], query[256];
    assert_true(parse("status=active", &q, &e));
    task_cursor_format(&q, &(struct task_place){0}, text);
    for (size_t i = 0; i < COUNT(others); i++) {
        snprintf(query, sizeof(query), "%s%scursor=%s", others[i], i > 0 ? "&" : "", text);
        assert_false(parse(query, &q, &e));
        assert_string_equal(e.field, "cursor");
    }
}

static void cursors_of_numbers(void **state)
{
    (void)state;
    char text[PAGE_CURSOR_SIZE];
    int64_t numbers[4] = {1, -2, INT64_MAX, INT64_MIN}, got[4];
    page_cursor_format('l', numbers, 4, text);
    assert_true(page_cursor_parse(text, 'l', got, 4));
    assert_memory_equal(numbers, got, sizeof(got));
    assert_false(page_cursor_parse(text, 'm', got, 4));
    assert_false(page_cursor_parse(text, 'l', got, 3));
    assert_false(page_cursor_parse("", 'l', got, 4));
    assert_false(page_cursor_parse("====", 'l', got, 4));
}

/* ---- members ---- */

static void members_are_selected(void **state)
{
    (void)state;
    static const char json[] = "{\"id\":\"a\",\"name\":\"x,\\\"}{\",\"current_state\":{\"state\":"
                               "[1,{\"id\":2}]},\"labels\":{\"a\": \"b\"},\"queue\":null}";
    uint64_t fields;
    char unknown[32];
    struct strbuf out;
    strbuf_init(&out);
    assert_true(task_fields_parse("queue,name,current_state", &fields, unknown));
    task_fields_select(&out, json, strlen(json), fields);
    assert_string_equal(out.s,
        "{\"name\":\"x,\\\"}{\",\"current_state\":{\"state\":[1,{\"id\":2}]},"
        "\"queue\":null}");
    strbuf_clear(&out);
    assert_true(task_fields_parse("labels", &fields, unknown));
    task_fields_select(&out, json, strlen(json), fields);
    assert_string_equal(out.s, "{\"labels\":{\"a\": \"b\"}}");
    strbuf_done(&out);
}

/* ---- tags ---- */

static const struct {
    const char *list;
    bool is_object, is_shown;
} tags[] = {
    {"*",                true,  true },
    {"\"aa.bb\"",        true,  true },
    {"\"aa.cc\"",        true,  false},
    {"\"ab.bb\"",        false, false},
    {"\"x\", \"aa.bb\"", true,  true },
    {"W/\"aa.bb\"",      false, true },
    {"\"aa\"",           false, false},
    {"aa.bb",            false, false},
    {"\"aa.bb",          true,  true },
    {"",                 false, false},
    {"\"\"",             false, false},
};

static void tags_are_compared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(tags); i++) {
        assert_int_equal(etag_list_has(tags[i].list, "aa", NULL), tags[i].is_object);
        assert_int_equal(etag_list_has(tags[i].list, "aa", "bb"), tags[i].is_shown);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(nothing_is_everything),
        cmocka_unit_test(understands_all),
        cmocka_unit_test(cursors_come_back),
        cmocka_unit_test(cursors_of_other_lists_are_refused),
        cmocka_unit_test(cursors_of_numbers),
        cmocka_unit_test(members_are_selected),
        cmocka_unit_test(tags_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
