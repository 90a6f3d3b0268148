/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each message reaches the app at most once and in order, each gets one kind of answer, and
 * what was promised as taken back never arrives.
 * Method: an app made of two flags; what is handed over and answered, as text.
 */
#include "tests/unit/agent/lab.h"

#include "agent/inbox.h"
#include "core/base/cleanup.h"

struct bench {
    struct inbox *inbox;
    bool is_stable, has_taken_7, doubts_7;
    bool answers_at_once;
    enum refusal at_once;
    struct strbuf log;
};

static int number(const struct uuid *id)
{
    return id->b[0];
}

static void on_deliver(void *arg, const struct uuid *send_id, const char *content, size_t n)
{
    struct bench *b = arg;
    strbuf_addf(&b->log, "take %d %.*s; ", number(send_id), (int)n, content);
    b->is_stable = false;
    if (b->answers_at_once)
        inbox_answered(b->inbox, send_id, b->at_once, "");
}

static bool on_is_stable(void *arg)
{
    return ((struct bench *)arg)->is_stable;
}

static bool on_has_taken(void *arg, const struct uuid *send_id)
{
    return number(send_id) == 7 && ((struct bench *)arg)->has_taken_7;
}

static bool on_may_have_taken(void *arg, const struct uuid *send_id)
{
    return number(send_id) == 7 && ((struct bench *)arg)->doubts_7;
}

static void on_answer(void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct bench *b = arg;
    const char *name = code == REFUSAL_NONE              ? "taken"
                       : code == REFUSAL_APP_BUSY        ? "busy"
                       : code == REFUSAL_APP_REJECTED    ? "rejected"
                       : code == REFUSAL_APP_UNREACHABLE ? "unreachable"
                       : code == REFUSAL_OVERLOADED      ? "overloaded"
                       : code == REFUSAL_WITHDRAWN       ? "withdrawn"
                                                         : "?";
    strbuf_addf(
        &b->log, "%s %d%s%s; ", name, number(send_id), detail[0] != '\0' ? " " : "", detail);
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    strbuf_init(&b->log);
    const struct inbox_conf conf = {.deliver = on_deliver,
        .is_stable = on_is_stable,
        .has_taken = on_has_taken,
        .may_have_taken = on_may_have_taken,
        .answer = on_answer,
        .arg = b};
    b->inbox = inbox_new(&conf);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    inbox_free(b->inbox);
    strbuf_done(&b->log);
    free(b);
    return 0;
}

static void message(struct bench *b, int id, bool when_stable)
{
    struct uuid send_id = lab_uuid(id);
    inbox_message(b->inbox, &send_id, "hi", 2, when_stable);
}

static void withdraw(struct bench *b, int id)
{
    struct uuid send_id = lab_uuid(id);
    inbox_withdraw(b->inbox, &send_id);
}

static void answer(struct bench *b, int id, enum refusal code)
{
    struct uuid send_id = lab_uuid(id);
    inbox_answered(b->inbox, &send_id, code, "");
}

static void be_stable(struct bench *b)
{
    b->is_stable = true;
    inbox_pump(b->inbox);
}

#define assert_log(b, expected)                    \
    do {                                           \
        assert_string_equal((b)->log.s, expected); \
        strbuf_clear(&(b)->log);                   \
    } while (0)

static void test_at_once(void **state)
{
    struct bench *b = *state;
    b->is_stable = true;
    message(b, 1, false);
    message(b, 1, false);
    assert_log(b, "take 1 hi; ");
    answer(b, 1, REFUSAL_NONE);
    assert_log(b, "taken 1; ");
    message(b, 2, false);
    answer(b, 2, REFUSAL_APP_BUSY);
    message(b, 2, false);
    b->is_stable = true;
    message(b, 2, false); /* the sender has been told no; it stays no */
    assert_log(b, "take 2 hi; busy 2; busy 2; busy 2; ");
    message(b, 3, false);
    answer(b, 3, REFUSAL_APP_UNREACHABLE);
    message(b, 3, false);
    assert_log(b, "take 3 hi; unreachable 3; unreachable 3; ");
}

static void test_waits_until_stable(void **state)
{
    struct bench *b = *state;
    for (int i = 1; i <= 3; i++)
        message(b, i, true);
    message(b, 2, true);
    inbox_pump(b->inbox);
    assert_log(b, "");
    be_stable(b);
    be_stable(b); /* the first is not answered yet */
    assert_log(b, "take 1 hi; ");
    answer(b, 1, REFUSAL_NONE);
    be_stable(b);
    answer(b, 2, REFUSAL_NONE);
    be_stable(b);
    answer(b, 3, REFUSAL_APP_REJECTED);
    message(b, 3, true);
    assert_log(b, "taken 1; take 2 hi; taken 2; take 3 hi; rejected 3; rejected 3; ");
}

static void test_one_that_does_not_wait_does_not_pass_those_that_do(void **state)
{
    struct bench *b = *state;
    message(b, 1, true);
    b->is_stable = true;
    message(b, 2, false);
    assert_log(b, "busy 2; ");
}

static void test_busy_after_all(void **state)
{
    struct bench *b = *state;
    message(b, 1, true);
    message(b, 2, true);
    be_stable(b);
    answer(b, 1, REFUSAL_APP_BUSY);
    inbox_pump(b->inbox);
    assert_log(b, "take 1 hi; ");
    be_stable(b);
    answer(b, 1, REFUSAL_NONE);
    assert_log(b, "take 1 hi; taken 1; ");
}

static void test_answered_from_inside(void **state)
{
    struct bench *b = *state;
    b->answers_at_once = true;
    b->at_once = REFUSAL_APP_BUSY;
    b->is_stable = true;
    message(b, 1, true);
    b->at_once = REFUSAL_NONE;
    be_stable(b);
    b->is_stable = true;
    message(b, 2, false);
    assert_log(b, "take 1 hi; take 1 hi; taken 1; take 2 hi; taken 2; ");
}

static void test_unreachable_is_tried_again(void **state)
{
    struct bench *b = *state;
    b->is_stable = true;
    message(b, 1, true);
    answer(b, 1, REFUSAL_APP_UNREACHABLE);
    b->is_stable = true;
    message(b, 1, true);
    answer(b, 1, REFUSAL_NONE);
    assert_log(b, "take 1 hi; unreachable 1; take 1 hi; taken 1; ");
}

static void test_taken_in_an_earlier_life(void **state)
{
    struct bench *b = *state;
    b->has_taken_7 = true;
    message(b, 7, true);
    message(b, 7, false);
    withdraw(b, 7);
    assert_log(b, "taken 7; taken 7; taken 7; ");
}

static void test_taken_back(void **state)
{
    struct bench *b = *state;
    message(b, 1, true);
    message(b, 2, true);
    withdraw(b, 1);
    withdraw(b, 1);
    be_stable(b);
    message(b, 1, true); /* sent again by somebody who does not know yet */
    withdraw(b, 3);      /* came before its message */
    message(b, 3, true);
    assert_log(b, "withdrawn 1; withdrawn 1; take 2 hi; withdrawn 1; withdrawn 3; withdrawn 3; ");
}

static void test_taken_back_too_late(void **state)
{
    struct bench *b = *state;
    b->is_stable = true;
    message(b, 1, true);
    withdraw(b, 1);
    answer(b, 1, REFUSAL_NONE);
    assert_log(b, "take 1 hi; taken 1; ");
    b->is_stable = true;
    message(b, 2, true);
    withdraw(b, 2);
    answer(b, 2, REFUSAL_APP_BUSY);
    be_stable(b);
    assert_log(b, "take 2 hi; withdrawn 2; ");
}

static void test_nothing_is_promised_in_doubt(void **state)
{
    struct bench *b = *state;
    b->doubts_7 = true;
    withdraw(b, 7);
    message(b, 7, true);
    withdraw(b, 7);
    assert_log(b, "");
    b->has_taken_7 = true;
    withdraw(b, 7);
    assert_log(b, "taken 7; ");
}

static void test_bounded(void **state)
{
    struct bench *b = *state;
    for (int i = 1; i <= INBOX_MAX + 1; i++)
        message(b, i, true);
    assert_log(b, "overloaded 65; ");
    be_stable(b);
    message(b, INBOX_MAX + 1, true);
    assert_log(b, "take 1 hi; ");
}

static void test_closed(void **state)
{
    struct bench *b = *state;
    message(b, 1, true);
    b->is_stable = true;
    inbox_close(b->inbox);
    inbox_pump(b->inbox);
    message(b, 2, true);
    assert_log(b, "");
    message(b, 3, false);
    assert_log(b, "rejected 3 The workspace is stopping.; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_until_stable, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_one_that_does_not_wait_does_not_pass_those_that_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_after_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answered_from_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreachable_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_in_an_earlier_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_promised_in_doubt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
