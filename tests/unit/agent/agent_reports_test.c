/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no report is lost, doubled or numbered twice by whatever happens to the process or the
 * file. Method: a store in a directory; restarts are simulated by opening it anew, crashes by
 * cutting and spoiling the file.
 */
#include "tests/unit/agent/lab.h"

#include <signal.h>
#include <sys/resource.h>

#include "agent/report_file.h"

static struct lab lab;

static int setup(void **state)
{
    (void)state;
    lab_open(&lab);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static struct reports *open_store(int agent)
{
    struct uuid id = lab_uuid(agent);
    struct reports *r;
    struct errctx ctx = {0};
    assert_int_equal(reports_open(lab.dir, &id, &r, &ctx), ERR_OK);
    return r;
}

/* As a killed process leaves it: nothing is tidied up. */
static struct reports *reopen(struct reports *r, int agent)
{
    struct reports *other = open_store(agent);
    reports_free(r);
    return other;
}

static Stint__V1__Report lifecycle_report(Stint__V1__Lifecycle *body, char *state)
{
    stint__v1__lifecycle__init(body);
    body->state = state;
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.what_case = STINT__V1__REPORT__WHAT_LIFECYCLE;
    report.lifecycle = body;
    return report;
}

static void add(struct reports *r, const char *text)
{
    Stint__V1__Lifecycle body;
    Stint__V1__Report report = lifecycle_report(&body, (char *)(uintptr_t)text);
    assert_int_equal(reports_add(r, &report), ERR_OK);
}

static enum err try_add(struct reports *r, const char *text)
{
    Stint__V1__Lifecycle body;
    Stint__V1__Report report = lifecycle_report(&body, (char *)(uintptr_t)text);
    return reports_add(r, &report);
}

static void add_chat(struct reports *r, const char *text)
{
    Stint__V1__ChatMessage body = STINT__V1__CHAT_MESSAGE__INIT;
    body.id = reports_next_message_id(r);
    body.role = (char *)(uintptr_t) "agent";
    body.content = (char *)(uintptr_t)text;
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.what_case = STINT__V1__REPORT__WHAT_CHAT_MESSAGE;
    report.chat_message = &body;
    assert_int_equal(reports_add(r, &report), ERR_OK);
}

static void test_numbers_from_one(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    assert_int_equal(reports_last(r), 0);
    assert_true(reports_is_settled(r));
    add(r, "a");
    add(r, "b");
    assert_int_equal(reports_last(r), 2);
    assert_false(reports_is_settled(r));
    assert_waiting(r, "lifecycle a\nlifecycle b\n");
    reports_free(r);
}

static void test_nothing_is_read_before_it_is_on_disk(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    struct report_batch batch;
    add(r, "a");
    assert_int_equal(reports_durable(r), 0);
    assert_int_equal(reports_read(r, 1, 10, 1000, &batch), ERR_NOT_FOUND);
    assert_int_equal(reports_sync_now(r), ERR_OK);
    assert_int_equal(reports_durable(r), 1);
    assert_int_equal(reports_read(r, 1, 10, 1000, &batch), ERR_OK);
    assert_int_equal(batch.n, 1);
    report_batch_done(&batch);
    reports_free(r);
}

static void test_numbering_goes_on_after_a_restart(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add(r, "a");
    add(r, "b");
    r = reopen(r, 1);
    assert_int_equal(reports_last(r), 2);
    add(r, "c");
    assert_int_equal(reports_last(r), 3);
    assert_waiting(r, "lifecycle a\nlifecycle b\nlifecycle c\n");
    reports_free(r);
}

static void test_committed_ones_are_forgotten(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add(r, "a");
    add(r, "b");
    add(r, "c");
    reports_commit(r, 2);
    assert_waiting(r, "lifecycle c\n");
    reports_commit(r, 1); /* older news change nothing */
    assert_int_equal(reports_committed(r), 2);
    reports_commit(r, 3);
    assert_true(reports_is_settled(r));
    reports_free(r);
    assert_int_equal(lab_size(&lab, "reports"), 48);

    r = open_store(1);
    assert_int_equal(reports_last(r), 3);
    add(r, "d");
    assert_int_equal(reports_last(r), 4);
    reports_free(r);
}

static void test_file_stays_small(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    char text[1001] = {0};
    memset(text, 'x', 1000);
    for (unsigned i = 1; i <= 2000; i++) {
        add(r, text);
        if (i > 20)
            reports_commit(r, i - 20);
        assert_true(lab_size(&lab, "reports") < 200 * 1024);
    }
    assert_int_equal(reports_last(r), 2000);
    r = reopen(r, 1);
    assert_int_equal(reports_last(r), 2000);
    reports_free(r);
}

static void test_torn_tail_is_cut(void **state)
{
    (void)state;
    /* However many bytes of the last record a crash has left, the ones before are whole. */
    struct reports *r = open_store(1);
    add(r, "first");
    off_t keep = lab_size(&lab, "reports");
    add(r, "second");
    off_t end = lab_size(&lab, "reports");
    reports_free(r);
    char path[100];
    snprintf(path, sizeof(path), "%s/reports", lab.path);
    for (off_t size = end - 1; size >= keep; size--) {
        assert_int_equal(truncate(path, size), 0);
        r = open_store(1);
        assert_int_equal(reports_last(r), 1);
        assert_int_equal(lab_size(&lab, "reports"), keep);
        add(r, "second");
        assert_int_equal(reports_last(r), 2);
        assert_waiting(r, "lifecycle first\nlifecycle second\n");
        reports_free(r);
    }
}

static void spoil(off_t at)
{
    char path[100];
    snprintf(path, sizeof(path), "%s/reports", lab.path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char c;
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)~c;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void test_garbage_behind_is_cut(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add(r, "first");
    off_t keep = lab_size(&lab, "reports");
    add(r, "second");
    reports_free(r);
    spoil(keep + 9);
    r = open_store(1);
    assert_waiting(r, "lifecycle first\n");
    reports_free(r);
}

static void test_damaged_file_is_kept_aside(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add_chat(r, "hello");
    reports_free(r);
    spoil(3);
    r = open_store(1);
    assert_true(lab_size(&lab, "reports.bad") > 0);
    assert_int_equal(reports_last(r), 0);
    /* No message that was written before is written over. */
    assert_true(reports_next_message_id(r) > 1000000);
    reports_free(r);
}

static void test_new_agent_starts_at_one(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add(r, "starting");
    add_chat(r, "one");
    add(r, "off");
    add_chat(r, "two");
    r = reopen(r, 2);
    /* The conversation is carried over, what was true of the old agent is not; ids go on. */
    assert_waiting(r, "agent #0 \"one\"\nagent #1 \"two\"\n");
    assert_int_equal(reports_next_message_id(r), 2);
    add_chat(r, "three");
    reports_commit(r, 3);
    r = reopen(r, 3);
    assert_int_equal(reports_next_message_id(r), 3);
    reports_free(r);
}

static void add_state(struct reports *r, const char *message)
{
    Stint__V1__AppState body = STINT__V1__APP_STATE__INIT;
    body.app_slug = (char *)(uintptr_t) "shell";
    body.state = (char *)(uintptr_t) "working";
    body.message = (char *)(uintptr_t)message;
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.what_case = STINT__V1__REPORT__WHAT_APP_STATE;
    report.app_state = &body;
    assert_int_equal(reports_add(r, &report), ERR_OK);
}

static void assert_signed(const Stint__V1__Report *r, int agent, uint64_t seq, const char *message)
{
    struct uuid id = lab_uuid(agent), of;
    assert_int_equal(r->what_case, STINT__V1__REPORT__WHAT_APP_STATE);
    assert_string_equal(r->app_state->message, message);
    assert_true(wire_get_uuid(&r->of_agent_id, &of));
    assert_true(uuid_eq(&of, &id));
    assert_int_equal(r->of_seq, seq);
}

/* What a killed agent had taken goes on under the next ones, as its own. */
static void test_states_are_carried_over_with_their_name(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add(r, "starting");
    add_state(r, "first");
    r = reopen(r, 2);
    add_state(r, "second");
    r = reopen(r, 3);
    struct report_batch batch;
    assert_int_equal(reports_sync_now(r), ERR_OK);
    assert_int_equal(reports_read(r, 1, 10, 10000, &batch), ERR_OK);
    assert_int_equal(batch.n, 2);
    assert_signed(batch.v[0], 1, 2, "first");
    assert_signed(batch.v[1], 2, 2, "second");
    report_batch_done(&batch);
    reports_free(r);
}

static void test_message_ids_survive_forgetting(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    add_chat(r, "one");
    add_chat(r, "two");
    reports_commit(r, 2);
    reports_free(r);
    assert_int_equal(lab_size(&lab, "reports"), 48);
    r = open_store(2);
    assert_int_equal(reports_last(r), 0);
    assert_int_equal(reports_next_message_id(r), 2);
    reports_free(r);
}

static void test_limit_of_number(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    reports_set_limits(r, 1 << 20, 3);
    add(r, "a");
    add(r, "b");
    assert_false(reports_is_full(r));
    add(r, "c");
    assert_true(reports_is_full(r));
    assert_int_equal(try_add(r, "d"), ERR_FULL);
    reports_commit(r, 1);
    assert_false(reports_is_full(r));
    add(r, "d");
    assert_waiting(r, "lifecycle b\nlifecycle c\nlifecycle d\n");
    reports_free(r);
}

static void test_limit_of_bytes(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    reports_set_limits(r, 10, 1000);
    add(r, "abc");
    assert_int_equal(try_add(r, "d"), ERR_FULL);
    /* What must be said passes. */
    Stint__V1__Lifecycle body;
    Stint__V1__Report report = lifecycle_report(&body, (char *)(uintptr_t) "off");
    reports_add_always(r, &report);
    assert_waiting(r, "lifecycle abc\nlifecycle off\n");
    reports_free(r);
}

static void test_watermark_beyond_the_end(void **state)
{
    (void)state;
    /* The disk has lost reports that Postgres has: what is left goes on behind them. */
    struct reports *r = open_store(1);
    add(r, "a");
    reports_commit(r, 10);
    assert_int_equal(reports_committed(r), 10);
    assert_int_equal(reports_last(r), 11);
    assert_waiting(r, "lifecycle a\n");
    r = reopen(r, 1);
    assert_int_equal(reports_last(r), 11);
    reports_free(r);
}

static void test_batches_are_bounded(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    char text[1001] = {0};
    memset(text, 'x', 1000);
    for (int i = 0; i < 10; i++)
        add(r, text);
    assert_int_equal(reports_sync_now(r), ERR_OK);
    struct report_batch batch;
    assert_int_equal(reports_read(r, 1, 4, 1 << 20, &batch), ERR_OK);
    assert_int_equal(batch.n, 4);
    report_batch_done(&batch);
    assert_int_equal(reports_read(r, 5, 100, 3500, &batch), ERR_OK);
    assert_int_equal(batch.n, 3);
    assert_int_equal(batch.v[0]->seq, 5);
    report_batch_done(&batch);
    assert_int_equal(reports_read(r, 10, 100, 1, &batch), ERR_OK);
    assert_int_equal(batch.n, 1);
    report_batch_done(&batch);
    assert_int_equal(reports_read(r, 11, 100, 1, &batch), ERR_NOT_FOUND);
    reports_free(r);
}

/* As far as files can tell, the disk is full. */
static void set_room(rlim_t bytes)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool has_settled(void *arg)
{
    return reports_sync_now(arg) == ERR_OK;
}

static void test_full_disk(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct reports *r = open_store(1);
    add(r, "a");
    set_room((rlim_t)lab_size(&lab, "reports") + 10);
    assert_int_equal(try_add(r, "b"), ERR_NO_SPACE);
    assert_int_equal(try_add(r, "b"), ERR_NO_SPACE); /* and is not asked again at once */
    assert_int_equal(reports_last(r), 1);
    /* What must be said waits in memory, and what is said later stays behind it. */
    Stint__V1__Lifecycle body;
    Stint__V1__Report report = lifecycle_report(&body, (char *)(uintptr_t) "off");
    reports_add_always(r, &report);
    assert_false(reports_is_settled(r));
    set_room(RLIM_INFINITY);
    lab_run_until(l, has_settled, r);
    add(r, "c");
    assert_waiting(r, "lifecycle a\nlifecycle off\nlifecycle c\n");
    reports_free(r);
    loop_free(l);
}

static void test_full_disk_is_cleared_by_a_commit(void **state)
{
    (void)state;
    struct reports *r = open_store(1);
    char text[1001] = {0};
    memset(text, 'x', 1000);
    for (int i = 0; i < 100; i++)
        add(r, text);
    add_chat(r, "last");
    assert_int_equal(
        symlinkat("/dev/full", lab.dir, "reports.new"), 0); /* no room for a new file */
    reports_commit(r, 101);
    assert_int_equal(unlinkat(lab.dir, "reports.new", 0), 0);
    assert_int_equal(lab_size(&lab, "reports"), 48);
    r = reopen(r, 1);
    assert_int_equal(reports_last(r), 101);
    assert_int_equal(reports_next_message_id(r), 1);
    add(r, "next");
    assert_waiting(r, "lifecycle next\n");
    reports_free(r);
}

static void count_done(void *arg)
{
    ++*(int *)arg;
}

static bool is_one(void *arg)
{
    return *(int *)arg == 1;
}

static void test_many_adds_are_one_sync(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct reports *r = open_store(1);
    int n_done = 0;
    assert_false(reports_sync(r, l, count_done, &n_done)); /* nothing to do */
    for (int i = 0; i < 100; i++)
        add(r, "a");
    assert_true(reports_sync(r, l, count_done, &n_done));
    assert_true(reports_is_syncing(r));
    assert_false(reports_sync(r, l, count_done, &n_done)); /* one at a time */
    add(r, "b");
    lab_run_until(l, is_one, &n_done);
    assert_int_equal(reports_durable(r), 100);
    assert_int_equal(reports_last(r), 101);
    reports_free(r);
    loop_free(l);
}

static void test_file_replaced_during_a_sync(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct reports *r = open_store(1);
    int n_done = 0;
    add(r, "a");
    assert_true(reports_sync(r, l, count_done, &n_done));
    reports_commit(r, 7); /* makes a new file */
    lab_run_until(l, is_one, &n_done);
    assert_int_equal(reports_last(r), 8);
    assert_int_equal(reports_durable(r), 8);
    reports_free(r);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_from_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_read_before_it_is_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbering_goes_on_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_committed_ones_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_stays_small, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_behind_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_file_is_kept_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_agent_starts_at_one, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_states_are_carried_over_with_their_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_ids_survive_forgetting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watermark_beyond_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk_is_cleared_by_a_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_adds_are_one_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_replaced_during_a_sync, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
