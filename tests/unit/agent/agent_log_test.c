/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a program prints becomes numbered lines of text, never more than the limit, and no
 * program ever waits for its log.
 * Method: bytes are written into the pipe of a log, as a program would.
 */
#include "tests/unit/agent/bench.h"

#include <errno.h>

struct pipe {
    struct bench b;
    int in;
    struct log_pipe *out;
};

static void open_pipe(struct pipe *p)
{
    int ends[2];
    bench_open(&p->b);
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    p->in = ends[1];
    p->out = agent_log_read(p->b.log, "src", ends[0], NULL);
}

static void close_pipe(struct pipe *p)
{
    if (p->in >= 0)
        close(p->in);
    bench_close(&p->b);
}

/* The last writer is gone, the process too. */
static void finish(struct pipe *p)
{
    close(p->in);
    p->in = -1;
    log_pipe_settle(p->out);
}

static void put(struct pipe *p, const void *data, size_t n)
{
    for (const char *s = data; n > 0;) {
        ssize_t done = write(p->in, s, n);
        assert_true(done > 0 || errno == EAGAIN);
        uv_run(loop_uv(p->b.loop), done > 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        s += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
}

static const struct {
    const char *bytes, *says;
} lines[] = {
    {"one\ntwo\n",                "log 1 src info \"one\"\nlog 2 src info \"two\"\n"},
    {"no end",                    "log 1 src info \"no end\"\n"                     },
    {"dos\r\n\r\n",               "log 1 src info \"dos\"\n"                        },
    {"10%\r50%\r100%\n",          "log 1 src info \"100%\"\n"                       },
    {"10%\r50%\r",                "log 1 src info \"50%\"\n"                        },
    {"\033[1;31mred\033[0m\n",    "log 1 src info \"red\"\n"                        },
    {"bad \xff byte\n",           "log 1 src info \"bad \xef\xbf\xbd byte\"\n"      },
    {" \t \n\n\nafter nothing\n", "log 1 src info \"after nothing\"\n"              },
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct pipe p;
        open_pipe(&p);
        put(&p, lines[i].bytes, strlen(lines[i].bytes));
        finish(&p);
        assert_waiting(p.b.reports, lines[i].says);
        close_pipe(&p);
    }
}

/* 3,000 bytes of two each: pieces never cut a character. */
static void test_long_line(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    char text[3001] = "x";
    for (size_t i = 1; i + 1 < 3000; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    put(&p, text, 2999);
    finish(&p);
    struct report_batch batch;
    assert_int_equal(reports_sync_now(p.b.reports), ERR_OK);
    assert_int_equal(reports_read(p.b.reports, 1, 10, 10000, &batch), ERR_OK);
    assert_int_equal(batch.n, 3);
    size_t sizes[] = {1023, 1024, 952};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(strlen(batch.v[i]->agent_log->output), sizes[i]);
    report_batch_done(&batch);
    close_pipe(&p);
}

/* A line that never ends is not kept in memory. */
static void test_endless_line(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    char block[4096];
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 1024; i++)
        put(&p, block, sizeof(block));
    finish(&p);
    assert_int_equal(bench_count(&p.b, "The log is full"), 1);
    close_pipe(&p);
}

static void test_limit_of_the_log(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    char line[101];
    memset(line, 'x', sizeof(line));
    line[100] = '\n';
    const unsigned n = AGENT_LOG_BYTES_MAX / (100 + AGENT_LOG_LINE_COST);
    for (unsigned i = 0; i < 2 * n; i++)
        put(&p, line, sizeof(line));
    finish(&p);
    agent_log_say(p.b.log, "src", "error", "not kept either");
    assert_int_equal(reports_last(p.b.reports), n + 1);
    char last[128];
    snprintf(last, sizeof(last),
        "log %u agent warn \"The log is full; what comes after this is not kept.\"\n", n + 1);
    assert_true(bench_has(&p.b, last));
    close_pipe(&p);
}

/* Nobody waits for a store or a disk that is full; what is missing is told. */
static void test_full_store(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    reports_set_limits(p.b.reports, 1 << 20, 2);
    put(&p, "1\n2\n3\n4\n5\n", 10);
    reports_commit(p.b.reports, 1);
    reports_set_limits(p.b.reports, 1 << 20, 10);
    put(&p, "6\n", 2);
    finish(&p);
    assert_waiting(p.b.reports,
        "log 2 src info \"2\"\n"
        "log 3 agent warn \"3 lines could not be kept: the disk or the store was full.\"\n"
        "log 4 src info \"6\"\n");
    close_pipe(&p);
}

static void test_numbers_go_on_after_a_restart(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    struct errctx ctx = {0};
    struct uuid id = lab_uuid(1), next = lab_uuid(2);
    put(&p, "1\n2\n3\n", 6);
    finish(&p);
    /* In the same build: whatever was handed over, and whether the file was made smaller or not. */
    for (uint64_t committed = 0; committed <= 3; committed += 3) {
        assert_int_equal(reports_sync_now(p.b.reports), ERR_OK);
        reports_commit(p.b.reports, committed);
        reports_free(p.b.reports);
        assert_int_equal(reports_open(p.b.lab.dir, &id, &p.b.reports, &ctx), ERR_OK);
        assert_int_equal(reports_next_log_id(p.b.reports), 4);
    }
    /* A new build's agent has lines of its own. */
    reports_free(p.b.reports);
    assert_int_equal(reports_open(p.b.lab.dir, &next, &p.b.reports, &ctx), ERR_OK);
    assert_int_equal(reports_next_log_id(p.b.reports), 1);
    close_pipe(&p);
}

static void test_own_words(void **state)
{
    (void)state;
    struct pipe p;
    open_pipe(&p);
    agent_log_say(p.b.log, "web", "warn", "It has\nended (%d).", 7);
    assert_waiting(p.b.reports, "log 1 web warn \"It has ended (7).\"\n");
    close_pipe(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_limit_of_the_log),
        cmocka_unit_test(test_full_store),
        cmocka_unit_test(test_numbers_go_on_after_a_restart),
        cmocka_unit_test(test_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
