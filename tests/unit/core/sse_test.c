/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the same events whatever pieces a stream comes in, and nothing of it grows without end.
 * Method: each row whole, byte by byte, and cut at every place.
 */
#include "core/base/sse.h"

#include "tests/unit/core/unit.h"

#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

static bool on_event(void *arg, const char *name, const char *data, size_t n)
{
    assert_int_equal(data[n], '\0');
    strbuf_addf(arg, "%s=%s;", name, data);
    return strcmp(name, "stop") != 0;
}

static const struct {
    const char *says, *events;
} rows[] = {
    {"event: a\ndata: 1\n\n",                               "a=1;"           },
    {"event:a\r\ndata:1\r\n\r\nevent:b\rdata:2\r\r",        "a=1;b=2;"       },
    {"data: x\ndata: y\ndata\n\n",                          "message=x\ny\n;"},
    {": comment\n\nid: 5\nretry: 10\nevent: a\n\n",         ""               },
    {"data: 1\n",                                           ""               },
    {"\xef\xbb\xbf"
     "data: 1\n\n",                                    "message=1;"     },
    {"event: a\ndata: 1\n\ndata: 2\n\n",                    "a=1;message=2;" },
    {"data:  two\n\nDATA: 3\n\nnonsense\n\n:\n",            "message= two;"  },
    {"data: 123456789012345678901234567890\n\ndata: 2\n\n", "message=2;"     },
    {"data: 12345678901\ndata: 12345678901\n\ndata: 2\n\n", "message=2;"     },
    {"event: stop\ndata: 1\n\ndata: 2\n\n",                 "stop=1;"        },
};

static void feed(const char *text, size_t first, size_t piece, const char *expected)
{
    struct sse s;
    struct strbuf said;
    strbuf_init(&said);
    sse_init(&s, on_event, &said);
    s.event_bytes_max = 20;
    size_t n = strlen(text);
    bool goes_on = true;
    for (size_t at = 0; at < n && goes_on;) {
        size_t take = at == 0 && first > 0 ? first : piece;
        take = take < n - at ? take : n - at;
        goes_on = sse_feed(&s, text + at, take);
        at += take;
    }
    assert_string_equal(said.s, expected);
    assert_true(s.line.len <= 20 && s.data.len <= 20);
    sse_done(&s);
    strbuf_done(&said);
}

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = strlen(rows[i].says);
        feed(rows[i].says, 0, n, rows[i].events);
        feed(rows[i].says, 0, 1, rows[i].events);
        for (size_t cut = 1; cut < n; cut++)
            feed(rows[i].says, cut, n, rows[i].events);
    }
}

static void test_skipped_events_are_counted_and_a_reset_forgets(void **state)
{
    (void)state;
    struct sse s;
    struct strbuf said;
    strbuf_init(&said);
    sse_init(&s, on_event, &said);
    s.event_bytes_max = 20;
    char line[100];
    memset(line, 'x', sizeof(line));
    sse_feed(&s, "data: ", 6);
    sse_feed(&s, line, sizeof(line));
    sse_feed(&s, "\n\ndata: 1\n\nevent: a\ndata: half", 30);
    assert_int_equal(s.n_skipped, 1);
    sse_reset(&s);
    sse_feed(&s, "\ndata: 2\n\n", 10);
    assert_string_equal(said.s, "message=1;message=2;");
    sse_done(&s);
    strbuf_done(&said);
}

/* Only an event that is over has told its id. */
static void test_ids(void **state)
{
    (void)state;
    static const struct {
        const char *says, *id;
    } id_rows[] = {
        {"id: 5-1;m=2\ndata: 1\n\n",               "5-1;m=2"},
        {"id: 5\ndata: 1\n",                       ""       },
        {"id: 5\n\ndata: 1\n\n",                   "5"      },
        {"id: 5\ndata: 1\n\nid: 6\ndata: 2\n",     "5"      },
        {"id: 5\ndata: 1\n\nid\ndata: 2\n\n",      ""       },
        {"id: 5\ndata: 123456789012345678901\n\n", "5"      },
    };
    for (size_t i = 0; i < COUNT(id_rows); i++) {
        struct sse s;
        struct strbuf said;
        strbuf_init(&said);
        sse_init(&s, on_event, &said);
        s.event_bytes_max = 20;
        sse_feed(&s, id_rows[i].says, strlen(id_rows[i].says));
        sse_reset(&s);
        sse_feed(&s, "\n", 1);
        assert_string_equal(s.id, id_rows[i].id);
        sse_done(&s);
        strbuf_done(&said);
    }
}

static void test_an_id_that_is_too_long_is_passed_over(void **state)
{
    (void)state;
    struct sse s;
    struct strbuf said;
    char id[SSE_ID_BYTES_MAX + 1];
    memset(id, 'x', sizeof(id));
    strbuf_init(&said);
    sse_init(&s, on_event, &said);
    sse_feed(&s, "id: 7\ndata: 1\n\nid: ", 20);
    sse_feed(&s, id, sizeof(id));
    sse_feed(&s, "\ndata: 2\n\n", 10);
    assert_string_equal(said.s, "message=1;message=2;");
    assert_string_equal(s.id, "7");
    sse_done(&s);
    strbuf_done(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_skipped_events_are_counted_and_a_reset_forgets),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_an_id_that_is_too_long_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
