/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: output becomes messages that are cut where people would cut them, and nothing of it is
 * lost, however it comes and however long the store is full. Method: the cutting by table; then a
 * real pipe on a real loop into a real store.
 */
#include "tests/unit/agent/lab.h"

#include "agent/output.h"
#include "core/base/cleanup.h"

/* ---- cutting ---- */

static const struct {
    const char *text;
    size_t cut;
} cuts[] = {
    {"one\ntwo",            4 },
    {"one\ntwo\n",          8 },
    {"no line end",         11},
    {"\n",                  1 },
    {"caf\xc3",             3 }, /* half of é */
    {"caf\xc3\xa9",         5 }, /* all of it */
    {"\xe2\x82",            0 }, /* two thirds of € */
    {"\xf0\x9f\x98",        0 }, /* three quarters of a smiley */
    {"a\xf0\x9f\x98\x80",   5 }, /* a whole one */
    {"a\x80\x80\x80\x80",   5 }, /* no character at all: nothing to wait for */
    {"red\033[31",          3 }, /* colour that has begun */
    {"red\033[31m",         8 }, /* and ended */
    {"red\033",             3 }, /* perhaps a sequence */
    {"title\033]0;x",       5 }, /* a title that has begun */
    {"title\033]0;x\a",     11}, /* and ended one way */
    {"title\033]0;x\033\\", 12}, /* or the other */
    {"set\033(",            3 },
    {"set\033(B",           6 },
    {"line\n\033[31",       5 },
};

static void test_cutting(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cuts); i++) {
        size_t n = output_cut(cuts[i].text, strlen(cuts[i].text), false);
        if (n != cuts[i].cut)
            fail_msg("row %zu: cut at %zu, not %zu", i, n, cuts[i].cut);
        assert_int_equal(
            output_cut(cuts[i].text, strlen(cuts[i].text), true), strlen(cuts[i].text));
    }
}

static void test_sequence_without_end(void **state)
{
    (void)state;
    char text[600];
    memset(text, ';', sizeof(text));
    memcpy(text, "\033[", 2);
    assert_int_equal(output_cut(text, 100, false), 0);
    assert_int_equal(output_cut(text, sizeof(text), false), sizeof(text));
}

/* ---- a pipe ---- */

struct bench {
    struct lab lab;
    struct loop *loop;
    struct reports *reports;
    struct status *status;
    struct output *output;
    int writer;
    bool is_drained;
    uint64_t want_last;
};

static void on_turn(void *arg)
{
    struct bench *b = arg;
    if (b->output != NULL)
        output_pump(b->output);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct uuid id = lab_uuid(1);
    struct errctx ctx = {0};
    int ends[2];
    lab_open(&b->lab);
    b->loop = loop_new();
    assert_int_equal(reports_open(b->lab.dir, &id, &b->reports, &ctx), ERR_OK);
    b->status = status_new(b->reports, "app");
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    b->writer = ends[1];
    b->output = output_new(b->loop, b->status, ends[0]);
    loop_on_turn(b->loop, on_turn, b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    output_free(b->output);
    if (b->writer >= 0)
        close(b->writer);
    status_free(b->status);
    reports_free(b->reports);
    loop_free(b->loop);
    lab_close(&b->lab);
    free(b);
    return 0;
}

static void print(struct bench *b, const char *text)
{
    assert_int_equal(write(b->writer, text, strlen(text)), (ssize_t)strlen(text));
}

static void hang_up(struct bench *b)
{
    close(b->writer);
    b->writer = -1;
}

static bool has_reports(void *arg)
{
    struct bench *b = arg;
    return reports_last(b->reports) >= b->want_last;
}

static bool is_over(void *arg)
{
    struct bench *b = arg;
    return output_is_over(b->output);
}

static bool is_drained(void *arg)
{
    struct bench *b = arg;
    return b->is_drained;
}

static void on_drained(void *arg)
{
    struct bench *b = arg;
    b->is_drained = true;
}

static void test_lines_come_after_a_moment(void **state)
{
    struct bench *b = *state;
    int64_t begin = clock_mono_ms();
    print(b, "one\ntwo\nthr");
    b->want_last = 2;
    lab_run_until(b->loop, has_reports, b); /* the part of a line after another moment */
    assert_true(clock_mono_ms() - begin >= 2 * OUTPUT_FLUSH_MS - 50);
    print(b, "ee\n");
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_waiting(b->reports, "agent #0 \"one\ntwo\n\"\nagent #1 \"thr\"\nagent #2 \"ee\n\"\n");
    assert_string_equal(output_last_line(b->output), "three");
}

static void test_output_is_cleaned(void **state)
{
    struct bench *b = *state;
    print(b, "\033[1;31mred\033[0m \xff caf\xc3\xa9\r\n");
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_waiting(b->reports, "agent #0 \"red \xef\xbf\xbd caf\xc3\xa9\n\"\n");
    assert_string_equal(output_last_line(b->output), "red \xef\xbf\xbd caf\xc3\xa9");
}

static void test_last_line_is_not_empty(void **state)
{
    struct bench *b = *state;
    print(b, "12 passed\n\n   \n\033[0m\n");
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_string_equal(output_last_line(b->output), "12 passed");
}

static void test_nothing_but_colour_is_no_message(void **state)
{
    struct bench *b = *state;
    print(b, "\033[0m\033[31m");
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_int_equal(reports_last(b->reports), 0);
}

static void test_end_of_the_process_is_not_the_end_of_the_pipe(void **state)
{
    struct bench *b = *state;
    print(b, "from the process");
    output_finish(b->output, on_drained, b);
    assert_false(b->is_drained);
    lab_run_until(b->loop, is_drained, b);
    assert_waiting(b->reports, "agent #0 \"from the process\"\n");
    /* Somebody else still holds the pipe. */
    assert_false(output_is_over(b->output));
    print(b, "from what it left behind\n");
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_waiting(
        b->reports, "agent #0 \"from the process\"\nagent #1 \"from what it left behind\n\"\n");
}

/* ---- much output and little room ---- */

struct flood {
    struct bench *bench;
    struct timer *timer;
    size_t written, total;
    struct strbuf got;
    uint64_t seen;
};

/* What has been said, in order. */
static void collect(struct flood *f)
{
    struct reports *r = f->bench->reports;
    assert_int_equal(reports_sync_now(r), ERR_OK);
    while (f->seen < reports_last(r)) {
        struct report_batch batch;
        assert_int_equal(reports_read(r, f->seen + 1, 100, 1 << 20, &batch), ERR_OK);
        for (size_t i = 0; i < batch.n; i++) {
            const char *content = batch.v[i]->chat_message->content;
            assert_true(strlen(content) <= CHAT_CONTENT_BYTES_MAX);
            strbuf_addstr(&f->got, content);
        }
        f->seen += batch.n;
        report_batch_done(&batch);
    }
}

static void on_flood(void *arg)
{
    struct flood *f = arg;
    char line[64];
    while (f->written < f->total) {
        int n = snprintf(line, sizeof(line), "line %zu\n", f->written);
        if (write(f->bench->writer, line, (size_t)n) != n)
            break;
        f->written++;
    }
    if (f->written == f->total && f->bench->writer >= 0)
        hang_up(f->bench);
    /* Postgres takes everything once the store is full. */
    if (reports_is_full(f->bench->reports) || f->written == f->total) {
        collect(f);
        reports_commit(f->bench->reports, reports_last(f->bench->reports));
    }
}

static void test_full_store_holds_the_app_up(void **state)
{
    struct bench *b = *state;
    struct flood f = {.bench = b, .total = 100000};
    strbuf_init(&f.got);
    reports_set_limits(b->reports, 40000, 1000);
    f.timer = timer_new(b->loop, on_flood, &f);
    timer_start(f.timer, 0, 1);
    lab_run_until(b->loop, is_over, b);
    collect(&f);
    timer_free(f.timer);
    const char *p = f.got.s;
    for (size_t i = 0; i < f.total; i++) {
        char line[64];
        int n = snprintf(line, sizeof(line), "line %zu\n", i);
        assert_memory_equal(p, line, (size_t)n);
        p += n;
    }
    assert_int_equal(*p, '\0');
    strbuf_done(&f.got);
}

static void test_bytes_that_grow_when_cleaned(void **state)
{
    struct bench *b = *state;
    char noise[OUTPUT_PIECE_BYTES];
    memset(noise, 0xff, sizeof(noise));
    assert_int_equal(write(b->writer, noise, sizeof(noise)), sizeof(noise));
    hang_up(b);
    lab_run_until(b->loop, is_over, b);
    assert_int_equal(reports_sync_now(b->reports), ERR_OK);
    struct report_batch batch;
    assert_int_equal(reports_read(b->reports, 1, 100, 1 << 20, &batch), ERR_OK);
    size_t total = 0;
    for (size_t i = 0; i < batch.n; i++) {
        assert_true(strlen(batch.v[i]->chat_message->content) <= CHAT_CONTENT_BYTES_MAX);
        total += strlen(batch.v[i]->chat_message->content);
    }
    report_batch_done(&batch);
    assert_int_equal(total, 3 * sizeof(noise));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_sequence_without_end),
        cmocka_unit_test_setup_teardown(test_lines_come_after_a_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_is_cleaned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_line_is_not_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_but_colour_is_no_message, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_end_of_the_process_is_not_the_end_of_the_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_store_holds_the_app_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_grow_when_cleaned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
