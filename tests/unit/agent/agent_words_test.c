/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what apps say of themselves reaches the right one's status; a flood is thinned out at its
 * source and its last word is always said; what is not allowed is refused with what is.
 * Method: reports as the control socket gives them, on a real loop.
 */
#include "agent/words.h"
#include "tests/unit/agent/bench.h"

#include "agent/throttle.h"

#define APPS "\"command\":[\"x\"],\"apps\":[{\"slug\":\"web\"},{\"slug\":\"app\"}]"

struct run {
    struct bench b;
    struct words *words;
    enum err task_app_says; /* what the task's app is answered */
};

static enum err on_task_app(
    void *arg, enum app_state state, const char *message, const char *uri, struct errctx *ctx)
{
    struct run *r = arg;
    if (r->task_app_says != ERR_OK)
        return err_set(ctx, r->task_app_says, "not now");
    return status_app_says(r->b.status, state, message, uri, ctx);
}

static void open_words(struct run *r)
{
    *r = (struct run){0};
    bench_open(&r->b);
    bench_manifest(&r->b, APPS);
    const struct words_conf conf = {.loop = r->b.loop,
        .manifest = r->b.manifest,
        .reports = r->b.reports,
        .status = r->b.status,
        .on_task_app = on_task_app,
        .arg = r};
    r->words = words_new(&conf);
}

static void close_words(struct run *r)
{
    words_free(r->words);
    bench_close(&r->b);
}

static enum err report(
    struct run *r, const char *slug, const char *state, const char *message, struct errctx *ctx)
{
    const struct control_report report = {
        .state = state, .message = message, .uri = "", .slug = slug};
    *ctx = (struct errctx){0};
    return words_report(r->words, &report, ctx);
}

static void test_slugs(void **state)
{
    (void)state;
    struct run r;
    struct errctx ctx;
    open_words(&r);
    assert_int_equal(report(&r, NULL, "working", "one", &ctx), ERR_OK);
    assert_int_equal(report(&r, "app", "working", "two", &ctx), ERR_OK);
    assert_int_equal(report(&r, "web", "idle", "three", &ctx), ERR_OK);
    assert_int_equal(report(&r, "web", "idle", "three", &ctx), ERR_OK); /* a repetition */
    assert_int_equal(report(&r, "app", "idle", "three", &ctx), ERR_OK); /* of another: none */
    assert_waiting(
        r.b.reports, "working \"one\"\nworking \"two\"\nidle \"three\"\nidle \"three\"\n");
    close_words(&r);
}

/* Rows of tables, which the formatter lets be. */
#define ROW(...)    \
    {               \
        __VA_ARGS__ \
    }

static const struct {
    const char *slug, *state, *message, *says;
} wrong[] = {
    ROW("x", "working", "m", "no app \"x\" here; there are: web, app"),
    ROW("", "working", "m", "no app \"\" here; there are: web, app"),
    ROW("app", "busy", "m",
        "the state \"busy\" is not known; allowed are working, idle, complete, failure"),
    ROW("app", "idle", "a\nb", "the message has a line break; one line is allowed"),
    ROW("app", "idle", "", "the message is empty: say in a few words what is going on"),
    ROW("app", "idle",
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "0123"
        "4567890123456789012345678901234567890123456789012345678901234567890123456",
        "the message has 167 bytes; at most 160 are allowed"),
};

static void test_wrong_reports(void **state)
{
    (void)state;
    struct run r;
    open_words(&r);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct errctx ctx;
        assert_int_equal(
            report(&r, wrong[i].slug, wrong[i].state, wrong[i].message, &ctx), ERR_INVALID);
        assert_string_equal(ctx.text, wrong[i].says);
    }
    assert_waiting(r.b.reports, "");
    close_words(&r);
}

/* ---- floods ---- */

/* 10,000 reports: a burst of 200 and 20 a second go on, and the last one. */
static void test_flood_of_reports(void **state)
{
    (void)state;
    struct run r;
    struct errctx ctx;
    char message[32];
    open_words(&r);
    int64_t begin = clock_mono_ms();
    for (int i = 0; i < 10000; i++) {
        snprintf(message, sizeof(message), "step %d", i);
        assert_int_equal(report(&r, NULL, "working", message, &ctx), ERR_OK);
        uv_run(loop_uv(r.b.loop), UV_RUN_NOWAIT);
    }
    /* Another app is not harmed: its newest comes too. */
    assert_int_equal(report(&r, "web", "complete", "mine", &ctx), ERR_OK);
    bench_wait(&r.b, "working \"step 9999\"");
    bench_wait(&r.b, "complete \"mine\"");
    uint64_t room =
        THROTTLE_BURST + (uint64_t)(clock_mono_ms() - begin) * THROTTLE_PER_SECOND / 1000 + 2;
    assert_in_range(reports_last(r.b.reports), THROTTLE_BURST + 2, room);
    assert_true(bench_has(&r.b, "working \"step 199\"\n"));
    close_words(&r);
}

static void fill(struct run *r)
{
    struct errctx ctx;
    char message[32];
    for (int i = 0; i < THROTTLE_BURST; i++) {
        snprintf(message, sizeof(message), "fill %d", i);
        assert_int_equal(report(r, NULL, "working", message, &ctx), ERR_OK);
    }
}

static void test_last_word_of_a_flood_is_said_at_the_stop(void **state)
{
    (void)state;
    struct run r;
    struct errctx ctx;
    open_words(&r);
    fill(&r);
    assert_int_equal(report(&r, NULL, "complete", "Done.", &ctx), ERR_OK);
    assert_false(bench_has(&r.b, "complete"));
    words_flush(r.words);
    words_end(r.words);
    char *text = lab_waiting(r.b.reports);
    assert_string_equal(
        text + strlen(text) - strlen("complete \"Done.\"\n"), "complete \"Done.\"\n");
    free(text);
    close_words(&r);
}

/* The disk is full: who is answered at once is told so; what was kept is tried again. */
static void test_full_disk(void **state)
{
    (void)state;
    struct run r;
    struct errctx ctx;
    open_words(&r);
    r.task_app_says = ERR_NO_SPACE;
    assert_int_equal(report(&r, NULL, "working", "lost", &ctx), ERR_NO_SPACE);
    r.task_app_says = ERR_OK;
    fill(&r);
    assert_int_equal(report(&r, NULL, "complete", "kept", &ctx), ERR_OK);
    r.task_app_says = ERR_NO_SPACE;
    int64_t end = clock_mono_ms() + 200;
    while (clock_mono_ms() < end)
        uv_run(loop_uv(r.b.loop), UV_RUN_ONCE);
    assert_false(bench_has(&r.b, "kept"));
    r.task_app_says = ERR_OK;
    bench_wait(&r.b, "complete \"kept\"");
    close_words(&r);
}

/* ---- the end ---- */

/* "The task says working although its workspace was stopped hours ago." */
static void test_working_is_never_left_standing(void **state)
{
    (void)state;
    struct run r;
    struct errctx ctx;
    open_words(&r);
    assert_int_equal(report(&r, "app", "working", "at it", &ctx), ERR_OK);
    assert_int_equal(report(&r, "web", "working", "at it", &ctx), ERR_OK);
    words_end(r.words);
    assert_waiting(r.b.reports, "working \"at it\"\nworking \"at it\"\n"
                                "idle \"Paused while working.\"\nidle \"Paused while working.\"\n");
    words_end(r.words);
    assert_int_equal(reports_last(r.b.reports), 4);
    close_words(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slugs),
        cmocka_unit_test(test_wrong_reports),
        cmocka_unit_test(test_flood_of_reports),
        cmocka_unit_test(test_last_word_of_a_flood_is_said_at_the_stop),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_working_is_never_left_standing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
