/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every call ends once, with the answer or with a sentence, whatever the other side does; a
 * call that is cancelled says nothing any more and leaves nothing behind.
 * Method: a server on the same loop that says the bytes of a row, whole or one at a time.
 */
#include "tests/unit/agent/web.h"

#include "agent/http.h"
#include "agent/http_chunks.h"

struct bench {
    struct loop *loop;
    struct web web;
    const char *says; /* to any request; NULL: nothing */
    bool bytewise, stays_open;
    struct timer *drip;
    struct web_conn *conn;
    char what[64], body[64], *head;
    /* of the call */
    struct http_call *call;
    unsigned n_done, n_pieces, cancel_at_piece;
    enum err code;
    int status;
    bool was_sent;
    char why[256], type[64];
    struct strbuf got;
};

static void on_drip(void *arg)
{
    struct bench *b = arg;
    if (*b->says == '\0') {
        timer_stop(b->drip);
        if (!b->stays_open)
            web_end(b->conn);
        return;
    }
    web_sendn(b->conn, b->says++, 1);
}

static void on_request(void *arg, struct web_conn *c, const char *what, const char *body)
{
    struct bench *b = arg;
    b->conn = c;
    snprintf(b->what, sizeof(b->what), "%s", what);
    snprintf(b->body, sizeof(b->body), "%s", body);
    free(b->head);
    b->head = mem_strdup(c->head);
    if (b->says == NULL)
        return;
    if (b->bytewise) {
        timer_start(b->drip, 0, 1);
        return;
    }
    web_send(c, b->says);
    if (!b->stays_open)
        web_end(c);
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct bench *b = arg;
    b->call = NULL;
    b->n_done++;
    b->code = a->code;
    b->status = a->status;
    b->was_sent = a->was_sent;
    snprintf(b->why, sizeof(b->why), "%s", a->why);
    snprintf(b->type, sizeof(b->type), "%s", a->content_type);
    if (a->body != NULL) {
        assert_int_equal(a->body[a->n], '\0');
        strbuf_clear(&b->got);
        strbuf_add(&b->got, a->body, a->n);
    }
}

static void on_data(void *arg, const char *data, size_t n)
{
    struct bench *b = arg;
    assert_true(n > 0);
    strbuf_add(&b->got, data, n);
    b->n_pieces++;
    if (b->n_pieces == b->cancel_at_piece)
        http_cancel(b->call);
}

static int setup(void **state)
{
    struct bench *b = mem_alloc(sizeof(*b));
    b->loop = loop_new();
    web_open(&b->web, b->loop, on_request, b);
    b->drip = timer_new(b->loop, on_drip, b);
    strbuf_init(&b->got);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    timer_free(b->drip);
    web_shut(&b->web);
    loop_free(b->loop);
    strbuf_done(&b->got);
    free(b->head);
    free(b);
    return 0;
}

static void ask(struct bench *b, bool is_stream, int64_t timeout_ms)
{
    char url[128];
    snprintf(url, sizeof(url), "%s/a/b?c=d", b->web.url);
    struct http_request r = {.method = "GET",
        .url = url,
        .timeout_ms = timeout_ms,
        .bytes_max = 20,
        .on_data = is_stream ? on_data : NULL,
        .done = on_done,
        .arg = b};
    b->n_done = b->n_pieces = 0;
    strbuf_clear(&b->got);
    b->call = http_start(b->loop, &r);
    assert_int_equal(b->n_done, 0);
}

static bool is_done(void *arg)
{
    return ((struct bench *)arg)->n_done > 0;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\n"
#define LENGTH  OK_HEAD "Content-Length: "
#define GO_ON   "HTTP/1.1 100 Continue\r\n\r\n"
#define CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *says;
    enum err code;
    int status;
    const char *answer; /* the body, or what the sentence says */
} rows[] = {
    {LENGTH "5\r\n\r\nhello",                             ERR_OK,          200, "hello"         },
    {LENGTH "5\r\n\r\nhello and more",                    ERR_OK,          200, "hello"         },
    {LENGTH "0\r\n\r\n",                                  ERR_OK,          200, ""              },
    {OK_HEAD "\r\nup to the end",                         ERR_OK,          200, "up to the end" },
    {CHUNKED "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",     ERR_OK,          200, "hello!"        },
    {CHUNKED "5\nhello\n0\nTrailer: x\n\n",               ERR_OK,          200, "hello"         },
    {"HTTP/1.1 204 No Content\r\n\r\n",                   ERR_OK,          204, ""              },
    {GO_ON LENGTH "2\r\n\r\nhi",                          ERR_OK,          200, "hi"            },
    {"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno!", ERR_OK,          500, "no!"           },
    {LENGTH "21\r\n\r\n",                                 ERR_TOO_LARGE,   200, "at most 20"    },
    {OK_HEAD "\r\n123456789012345678901",                 ERR_TOO_LARGE,   200, "more than 20"  },
    {CHUNKED "15\r\n123456789012345678901\r\n0\r\n\r\n",  ERR_TOO_LARGE,   200, "more than 20"  },
    {LENGTH "5\r\n\r\nhel",                               ERR_UNAVAILABLE, 200, "broke off"     },
    {CHUNKED "5\r\nhel",                                  ERR_UNAVAILABLE, 200, "broke off"     },
    {CHUNKED "5\r\nhello",                                ERR_UNAVAILABLE, 200, "broke off"     },
    {CHUNKED "x\r\n",                                     ERR_INVALID,     200, "not in chunks" },
    {CHUNKED "5\r\nhelloX",                               ERR_INVALID,     200, "not in chunks" },
    {CHUNKED "ffffffffffffffffff\r\n",                    ERR_INVALID,     200, "not in chunks" },
    {LENGTH "-1\r\n\r\n",                                 ERR_INVALID,     200, "not understood"},
    {LENGTH "99999999999999999999\r\n\r\n",               ERR_INVALID,     200, "not understood"},
    {OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n",  ERR_INVALID,     200, "not understood"},
    {"GARBAGE\r\n\r\n",                                   ERR_INVALID,     0,   "no HTTP"       },
    {"",                                                  ERR_UNAVAILABLE, 0,   "no answer"     },
};

static void assert_row(struct bench *b, size_t i)
{
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->n_done, 1);
    assert_int_equal(b->code, rows[i].code);
    assert_int_equal(b->status, rows[i].status);
    if (rows[i].code == ERR_OK)
        assert_string_equal(b->got.s, rows[i].answer);
    else if (strstr(b->why, rows[i].answer) == NULL)
        fail_msg("row %zu: %s", i, b->why);
    assert_true(b->was_sent);
}

static void test_answers(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        b->says = rows[i].says;
        ask(b, false, 5000);
        assert_row(b, i);
    }
    assert_string_equal(b->what, "GET /a/b?c=d");
    assert_non_null(strstr(b->head, "\r\nHost: localhost:"));
}

static void test_answers_byte_by_byte(void **state)
{
    struct bench *b = *state;
    b->bytewise = true;
    for (size_t i = 0; i < COUNT(rows); i++) {
        b->says = rows[i].says;
        ask(b, false, 5000);
        assert_row(b, i);
        timer_stop(b->drip);
    }
}

static void test_request_is_sent_as_asked(void **state)
{
    struct bench *b = *state;
    const char *const headers[] = {"X-Key", "value", "Content-Type", "application/json", NULL};
    b->says = LENGTH "0\r\n\r\n";
    struct http_request r = {.method = "POST",
        .url = b->web.url,
        .headers = headers,
        .body = "{\"a\":1}",
        .body_n = 7,
        .timeout_ms = 5000,
        .bytes_max = 1,
        .done = on_done,
        .arg = b};
    http_start(b->loop, &r);
    lab_run_until(b->loop, is_done, b);
    assert_string_equal(b->what, "POST /");
    assert_string_equal(b->body, "{\"a\":1}");
    assert_non_null(strstr(b->head, "\r\nX-Key: value\r\n"));
    assert_string_equal(b->type, "text/x");
}

static void test_nobody_is_there(void **state)
{
    struct bench *b = *state;
    web_shut(&b->web);
    ask(b, false, 5000);
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->code, ERR_UNAVAILABLE);
    assert_non_null(strstr(b->why, "cannot connect to localhost:"));
    assert_false(b->was_sent);
    web_open(&b->web, b->loop, on_request, b);
}

static void test_bad_requests(void **state)
{
    struct bench *b = *state;
    const char *const broken[] = {"X", "a\r\nY: b", NULL};
    const struct {
        const char *url;
        const char *const *headers;
    } bad[] = {
        {"",                  NULL  },
        {"ftp://x/",          NULL  },
        {"http://",           NULL  },
        {"http://[::1",       NULL  },
        {"tcp://127.0.0.1:1", NULL  },
        {b->web.url,          broken}
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct http_request r = {.method = "GET",
            .url = bad[i].url,
            .headers = bad[i].headers,
            .timeout_ms = 1000,
            .done = on_done,
            .arg = b};
        b->n_done = 0;
        http_start(b->loop, &r);
        assert_int_equal(b->n_done, 0);
        lab_run_until(b->loop, is_done, b);
        assert_int_equal(b->code, ERR_INVALID);
        assert_false(b->was_sent);
    }
    assert_int_equal(b->web.n_requests, 0);
}

static void test_it_hangs(void **state)
{
    struct bench *b = *state;
    const char *const says[] = {NULL, "HTTP/1.1 200", LENGTH "9\r\n\r\nabc"};
    b->stays_open = true;
    for (size_t i = 0; i < COUNT(says); i++) {
        b->says = says[i];
        ask(b, false, 50);
        lab_run_until(b->loop, is_done, b);
        assert_int_equal(b->code, ERR_TIMEOUT);
        assert_true(b->was_sent);
    }
}

static void test_stream(void **state)
{
    struct bench *b = *state;
    b->bytewise = true;
    b->says = CHUNKED "5\r\nhello\r\n20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n";
    ask(b, true, 5000);
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->code, ERR_OK);
    assert_string_equal(b->got.s, "hello0123456789abcdef0123456789abcdef");
    assert_true(b->n_pieces > 1);
    b->says = CHUNKED "5\r\nhel";
    ask(b, true, 5000);
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->code, ERR_UNAVAILABLE);
    assert_string_equal(b->got.s, "hel");
    b->says = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!";
    ask(b, true, 5000);
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->status, 404);
    assert_int_equal(b->n_pieces, 0);
}

static void test_silent_stream(void **state)
{
    struct bench *b = *state;
    b->stays_open = true;
    b->says = CHUNKED "5\r\nhello\r\n";
    ask(b, true, 100);
    lab_run_until(b->loop, is_done, b);
    assert_int_equal(b->code, ERR_TIMEOUT);
    assert_string_equal(b->got.s, "hello");
}

static void wake(void *arg)
{
    loop_stop(arg);
}

static void run_for(struct bench *b, int64_t ms)
{
    struct timer *t = timer_new(b->loop, wake, b->loop);
    timer_start(t, ms, 0);
    loop_run(b->loop);
    timer_free(t);
}

/* At any instant of a call, and with the loop run afterwards or not. */
static void test_cancelled_at_any_time(void **state)
{
    struct bench *b = *state;
    b->bytewise = true;
    for (int ms = 0; ms < 60; ms++) {
        b->says = CHUNKED "5\r\nhello\r\n0\r\n\r\n";
        b->cancel_at_piece = 0;
        ask(b, ms % 2 == 0, 5000);
        run_for(b, ms % 20);
        if (b->call != NULL)
            http_cancel(b->call);
        timer_stop(b->drip);
        unsigned n_done = b->n_done;
        if (ms % 3 == 0)
            run_for(b, 2);
        assert_int_equal(b->n_done, n_done);
        web_drop_all(&b->web);
    }
}

static void test_cancelled_from_inside(void **state)
{
    struct bench *b = *state;
    b->bytewise = true;
    b->says = CHUNKED "5\r\nhello\r\n0\r\n\r\n";
    b->cancel_at_piece = 2;
    ask(b, true, 5000);
    run_for(b, 200);
    assert_int_equal(b->n_done, 0);
    assert_int_equal(b->n_pieces, 2);
}

static void test_many_at_once(void **state)
{
    struct bench *b = *state;
    b->says = LENGTH "5\r\n\r\nhello";
    for (int i = 0; i < 50; i++)
        ask(b, false, 5000);
    while (b->n_done < 50)
        run_for(b, 1);
}

static void test_chunks_cut_anywhere(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n3 ;a=b\r\n, w\r\n4\r\norld\r\n00\r\nT: x\r\n\r\nrest";
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct http_chunks c = {0};
        struct strbuf out;
        strbuf_init(&out);
        http_chunks_feed(&c, text, cut, &out);
        http_chunks_feed(&c, text + cut, sizeof(text) - 1 - (cut < sizeof(text) ? cut : 0), &out);
        assert_int_equal(c.state, HTTP_CHUNKS_DONE);
        assert_string_equal(out.s, "hello, world");
        strbuf_done(&out);
    }
}

static void test_chunks_of_endless_lines(void **state)
{
    (void)state;
    struct http_chunks size = {0}, trailer = {0};
    struct strbuf out;
    strbuf_init(&out);
    http_chunks_feed(&size, "1;", 2, &out);
    http_chunks_feed(&trailer, "0\r\n", 3, &out);
    for (int i = 0; i < HTTP_CHUNKS_TRAILER_MAX; i++) {
        http_chunks_feed(&size, "x", 1, &out);
        http_chunks_feed(&trailer, i % 2 == 0 ? "x" : "\n", 1, &out);
    }
    assert_int_equal(size.state, HTTP_CHUNKS_BAD);
    http_chunks_feed(&trailer, "x", 1, &out);
    assert_int_equal(trailer.state, HTTP_CHUNKS_BAD);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_is_sent_as_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_from_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_at_once, setup, teardown),
        cmocka_unit_test(test_chunks_cut_anywhere),
        cmocka_unit_test(test_chunks_of_endless_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
