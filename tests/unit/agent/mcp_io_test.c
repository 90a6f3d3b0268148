/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: lines come whole and in order through pipes and files, none too long and none lost; reports
 * reach the agent in order, wait for one that starts anew, and end with its token.
 * Method: pipes and files in the same process; an agent's real control socket, a small HTTP server.
 */
#include "tests/unit/agent/web.h"

#include "agent/control.h"
#include "agent/mcp/reporter.h"
#include "agent/mcp/stdio.h"

#define LINE_MAX_HERE 1000

struct bench {
    struct lab lab;
    struct loop *loop;
    /* lines */
    struct stdio *stdio;
    int in, out; /* our ends */
    struct strbuf lines;
    unsigned n_lines, n_too_long, n_ends, n_may;
    bool is_broken, may;
    /* reports */
    struct control *control;
    struct mcp_reporter *reporter;
    struct web web;
    struct mcp_rest rest;
    const char *status, *body; /* of the gateway's answers */
    char path[128];
    struct strbuf said, done;
    unsigned n_done;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    lab_open(&b->lab);
    b->loop = loop_new();
    b->may = true;
    strbuf_init(&b->lines);
    strbuf_init(&b->said);
    strbuf_init(&b->done);
    snprintf(b->path, sizeof(b->path), "%s/agent.sock", b->lab.path);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    stdio_free(b->stdio);
    reporter_free(b->reporter);
    control_free(b->control);
    if (b->web.loop != NULL)
        web_shut(&b->web);
    loop_free(b->loop);
    lab_close(&b->lab);
    strbuf_done(&b->lines);
    strbuf_done(&b->said);
    strbuf_done(&b->done);
    free(b);
    return 0;
}

/* ---- lines ---- */

static bool may_take(void *arg)
{
    struct bench *b = arg;
    return b->may;
}

static void on_line(void *arg, const char *line, size_t n)
{
    struct bench *b = arg;
    strbuf_add(&b->lines, line, n);
    strbuf_addch(&b->lines, '|');
    b->n_lines++;
}

static void on_too_long(void *arg)
{
    struct bench *b = arg;
    strbuf_addstr(&b->lines, "LONG|");
    b->n_too_long++;
}

static void on_end(void *arg, bool is_broken)
{
    struct bench *b = arg;
    b->n_ends++;
    b->is_broken = is_broken;
}

static void open_on(struct bench *b, int fd_in, int fd_out)
{
    b->stdio = stdio_open(&(struct stdio_conf){.loop = b->loop,
        .fd_in = fd_in,
        .fd_out = fd_out,
        .line_bytes_max = LINE_MAX_HERE,
        .may_take = may_take,
        .on_line = on_line,
        .on_too_long = on_too_long,
        .on_end = on_end,
        .arg = b});
}

static void open_pipes(struct bench *b)
{
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    b->in = in[1];
    b->out = out[0];
    open_on(b, in[0], out[1]);
}

static void feed(struct bench *b, const char *text)
{
    assert_int_equal(write(b->in, text, strlen(text)), (ssize_t)strlen(text));
}

static bool has_ended(void *arg)
{
    struct bench *b = arg;
    return b->n_ends > 0;
}

static bool has_three_lines(void *arg)
{
    struct bench *b = arg;
    return b->n_lines + b->n_too_long >= 3;
}

static void lines_are_cut_wherever_they_come_apart(void **state)
{
    struct bench *b = *state;
    open_pipes(b);
    feed(b, "one\ntwo\nthr");
    feed(b, "ee\n\nlast");
    close(b->in);
    lab_run_until(b->loop, has_ended, b);
    assert_string_equal(b->lines.s, "one|two|three||last|");
    assert_int_equal(b->n_ends, 1);
    close(b->out);
}

static void a_long_line_is_thrown_away_and_the_next_one_is_not(void **state)
{
    struct bench *b = *state;
    char *text = calloc(1, 200001);
    memset(text, 'x', 200000);
    open_pipes(b);
    fcntl(b->in, F_SETPIPE_SZ, 1 << 20);
    feed(b, text);
    feed(b, "\nnext\n");
    text[LINE_MAX_HERE + 1] = '\0'; /* one too many, at once */
    feed(b, text);
    feed(b, "\n");
    text[LINE_MAX_HERE] = '\0'; /* fits */
    feed(b, text);
    feed(b, "\n");
    close(b->in);
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(b->n_too_long, 2);
    assert_int_equal(b->n_lines, 2);
    assert_int_equal(strncmp(b->lines.s, "LONG|next|LONG|xxx", 18), 0);
    close(b->out);
    free(text);
}

static void go_on(void *arg)
{
    struct bench *b = arg;
    b->may = true;
    stdio_pump(b->stdio);
}

static void lines_wait_while_there_is_enough_to_do(void **state)
{
    struct bench *b = *state;
    b->may = false;
    open_pipes(b);
    feed(b, "1\n2\n3\n");
    close(b->in);
    struct timer *timer = timer_new(b->loop, go_on, b);
    timer_start(timer, 30, 0);
    uv_run(loop_uv(b->loop), UV_RUN_NOWAIT);
    uv_run(loop_uv(b->loop), UV_RUN_NOWAIT);
    assert_int_equal(b->n_lines, 0);
    assert_int_equal(b->n_ends, 0);
    lab_run_until(b->loop, has_ended, b);
    assert_string_equal(b->lines.s, "1|2|3|");
    timer_free(timer);
    close(b->out);
}

static void what_is_written_comes_out(void **state)
{
    struct bench *b = *state;
    char got[64] = "";
    open_pipes(b);
    stdio_write(b->stdio, "hello\n", 6);
    while (!stdio_is_drained(b->stdio))
        uv_run(loop_uv(b->loop), UV_RUN_ONCE);
    assert_int_equal(read(b->out, got, sizeof(got)), 6);
    assert_string_equal(got, "hello\n");
    close(b->in);
    close(b->out);
}

static void a_reader_that_left_ends_it(void **state)
{
    struct bench *b = *state;
    open_pipes(b);
    close(b->out);
    stdio_write(b->stdio, "hello\n", 6);
    stdio_pump(b->stdio);
    lab_run_until(b->loop, has_ended, b);
    assert_true(b->is_broken);
    assert_true(stdio_is_drained(b->stdio));
    close(b->in);
}

static void files_do_as_well(void **state)
{
    struct bench *b = *state;
    char got[64] = "";
    lab_write(&b->lab, "in", "a\nb\nc", 5);
    lab_write(&b->lab, "out", "", 0);
    int in = openat(b->lab.dir, "in", O_RDONLY | O_CLOEXEC);
    int out = openat(b->lab.dir, "out", O_RDWR | O_CLOEXEC);
    open_on(b, in, out);
    stdio_write(b->stdio, "x\n", 2);
    lab_run_until(b->loop, has_ended, b);
    assert_true(has_three_lines(b));
    assert_string_equal(b->lines.s, "a|b|c|");
    assert_int_equal(pread(out, got, sizeof(got), 0), 2);
    close(in);
    close(out);
}

/* ---- reports to the agent ---- */

static enum err on_report(void *arg, const struct control_report *r, struct errctx *ctx)
{
    struct bench *b = arg;
    assert_string_equal(r->slug, "claude");
    if (strcmp(r->message, "refuse") == 0)
        return err_set(ctx, ERR_INVALID, "no app \"x\" here");
    if (strcmp(r->message, "revoked") == 0)
        return err_set(ctx, ERR_UNAUTHORIZED, "token");
    strbuf_addf(&b->said, "%s %s%s|", r->state, r->message, r->uri);
    return ERR_OK;
}

static void listen_at(struct bench *b)
{
    struct errctx ctx = {0};
    assert_int_equal(control_listen(b->loop, b->path, on_report, b, &b->control, &ctx), ERR_OK);
}

static void begin_reporting(struct bench *b, int64_t patience_ms)
{
    b->reporter = reporter_new(&(struct mcp_reporter_conf){.loop = b->loop,
        .slug = "claude",
        .socket_path = b->rest.url == NULL ? b->path : NULL,
        .rest = &b->rest,
        .patience_ms = patience_ms});
}

static void on_done(void *arg, enum err e, const char *text)
{
    struct bench *b = arg;
    strbuf_addf(&b->done, "%s %s|", err_name(e), text);
    b->n_done++;
}

static struct mcp_job *report(struct bench *b, const char *summary)
{
    const struct mcp_report r = {.state = "working", .summary = summary, .link = ""};
    return reporter_report(b->reporter, &r, on_done, b);
}

static bool has_done_one(void *arg)
{
    struct bench *b = arg;
    return b->n_done >= 1;
}

static bool has_done_three(void *arg)
{
    struct bench *b = arg;
    return b->n_done >= 3;
}

static void reports_arrive_in_order(void **state)
{
    struct bench *b = *state;
    listen_at(b);
    begin_reporting(b, 0);
    report(b, "1");
    report(b, "refuse");
    report(b, "3");
    lab_run_until(b->loop, has_done_three, b);
    assert_string_equal(b->said.s, "working 1|working 3|");
    assert_string_equal(b->done.s, "OK |INVALID no app \"x\" here|OK |");
}

static void listen_late(void *arg)
{
    listen_at(arg);
}

static void a_report_waits_for_an_agent_that_starts(void **state)
{
    struct bench *b = *state;
    begin_reporting(b, 0);
    struct timer *timer = timer_new(b->loop, listen_late, b);
    timer_start(timer, 300, 0);
    report(b, "1");
    lab_run_until(b->loop, has_done_one, b);
    assert_string_equal(b->done.s, "OK |");
    timer_free(timer);
}

static void its_patience_ends(void **state)
{
    struct bench *b = *state;
    begin_reporting(b, 300);
    report(b, "1");
    lab_run_until(b->loop, has_done_one, b);
    assert_non_null(strstr(b->done.s, "does not answer"));
    assert_int_equal(strncmp(b->done.s, "UNAVAILABLE ", 12), 0);
}

static void a_revoked_token_ends_all_reporting(void **state)
{
    struct bench *b = *state;
    listen_at(b);
    begin_reporting(b, 0);
    report(b, "revoked");
    report(b, "2");
    report(b, "3");
    lab_run_until(b->loop, has_done_three, b);
    assert_string_equal(b->said.s, "");
    const char *p = b->done.s;
    for (int i = 0; i < 3; i++, p = strchr(p, '|') + 1)
        assert_int_equal(strncmp(p, "UNAUTHORIZED stop reporting", 27), 0);
}

static void a_cancelled_report_that_waits_is_not_sent(void **state)
{
    struct bench *b = *state;
    listen_at(b);
    begin_reporting(b, 0);
    report(b, "1");
    struct mcp_job *second = report(b, "2");
    report(b, "3");
    report(b, "4");
    second->cancel(second);
    lab_run_until(b->loop, has_done_three, b);
    assert_string_equal(b->said.s, "working 1|working 3|working 4|");
}

static void freed_with_reports_on_their_way(void **state)
{
    struct bench *b = *state;
    listen_at(b);
    begin_reporting(b, 0);
    report(b, "1");
    report(b, "2");
    uv_run(loop_uv(b->loop), UV_RUN_ONCE);
}

/* ---- reports to the gateway ---- */

static void on_request(void *arg, struct web_conn *c, const char *what, const char *body)
{
    struct bench *b = arg;
    assert_non_null(strcasestr(c->head, "Coder-Session-Token: secret"));
    strbuf_addf(&b->said, "%s %s|", what, body);
    web_answer(c, b->status, b->body);
    if (strncmp(b->status, "503", 3) == 0)
        b->status = "200 OK", b->body = "null\n";
}

static void begin_over_rest(struct bench *b, const char *status, const char *body)
{
    web_open(&b->web, b->loop, on_request, b);
    b->rest = (struct mcp_rest){b->loop, b->web.url, "secret"};
    b->status = status;
    b->body = body;
    begin_reporting(b, 0);
}

static void without_a_socket_it_is_the_older_way(void **state)
{
    struct bench *b = *state;
    begin_over_rest(b, "200 OK", "null\n");
    report(b, "1");
    lab_run_until(b->loop, has_done_one, b);
    assert_string_equal(b->said.s,
        "PATCH /api/v2/workspaceagents/me/app-status "
        "{\"app_slug\":\"claude\",\"state\":\"working\",\"message\":\"1\",\"uri\":\"\"}|");
    assert_string_equal(b->done.s, "OK |");
}

static void what_the_gateway_refuses_is_told(void **state)
{
    struct bench *b = *state;
    begin_over_rest(b, "400 Bad Request",
        "{\"message\":\"Failed to get workspace app.\",\"detail\":\"No app found\"}");
    report(b, "1");
    lab_run_until(b->loop, has_done_one, b);
    assert_string_equal(b->done.s, "INVALID No app found|");
}

static void a_revoked_token_at_the_gateway(void **state)
{
    struct bench *b = *state;
    begin_over_rest(b, "401 Unauthorized", "{\"message\":\"x\"}");
    report(b, "1");
    report(b, "2");
    report(b, "3");
    lab_run_until(b->loop, has_done_three, b);
    assert_int_equal(b->web.n_requests, 1);
    assert_int_equal(strncmp(b->done.s, "UNAUTHORIZED stop reporting", 27), 0);
}

static void a_gateway_that_is_busy_is_asked_again(void **state)
{
    struct bench *b = *state;
    begin_over_rest(b, "503 Service Unavailable", "");
    report(b, "1");
    lab_run_until(b->loop, has_done_one, b);
    assert_int_equal(b->web.n_requests, 2);
    assert_string_equal(b->done.s, "OK |");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(lines_are_cut_wherever_they_come_apart),
        test(a_long_line_is_thrown_away_and_the_next_one_is_not),
        test(lines_wait_while_there_is_enough_to_do),
        test(what_is_written_comes_out),
        test(a_reader_that_left_ends_it),
        test(files_do_as_well),
        test(reports_arrive_in_order),
        test(a_report_waits_for_an_agent_that_starts),
        test(its_patience_ends),
        test(a_revoked_token_ends_all_reporting),
        test(a_cancelled_report_that_waits_is_not_sent),
        test(freed_with_reports_on_their_way),
        test(without_a_socket_it_is_the_older_way),
        test(what_the_gateway_refuses_is_told),
        test(a_revoked_token_at_the_gateway),
        test(a_gateway_that_is_busy_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
