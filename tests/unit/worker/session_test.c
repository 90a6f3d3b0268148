/* SPDX-License-Identifier: Apache-2.0 */
/* Agents' sessions: who is there, whose poll waits, which message is due. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "worker/session.h"

static const struct uuid ann = {{1}}, bob = {{2}}, letter = {{9}};
static int call_a, call_b;
static const struct session_manner at_once, when_stable = {.when_stable = true},
                                            withdraw = {.withdraw = true};

static void known_by_its_number(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 7, 3, 0, &held);
    assert_null(held);
    assert_ptr_equal(session_find(&set, &ann, 7, 0), s);
    assert_null(session_find(&set, &ann, 8, 0));
    assert_null(session_find(&set, &ann, 0, 0));
    assert_null(session_find(&set, &bob, 7, 0));
    session_set_done(&set);
}

static void hello_again_ends_the_old_session(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 7, 3, 0, &held);
    session_hold(&set, s, &call_a, 0, &held);
    assert_null(held);
    session_add_message(s, &letter, "hi", at_once, 0);
    session_message_sent(session_find_message(s, &letter), 5);
    s = session_open(&set, &ann, 8, 2, 10, &held);
    assert_ptr_equal(held, &call_a);
    assert_null(session_find(&set, &ann, 7, 10));
    assert_int_equal(s->watermark, 3);    /* never back */
    assert_true(session_has_mail(s, 10)); /* the agent may have lost what it had */
    session_set_done(&set);
}

static void silence_ends_it(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 7, 0, 1000, &held);
    assert_false(session_is_silent(s, 5999));
    assert_true(session_is_silent(s, 6000));
    (void)session_find(&set, &ann, 7, 6000);
    assert_false(session_is_silent(s, 10999));
    session_hold(&set, s, &call_a, 6000, &held);
    assert_false(session_is_silent(s, 100000)); /* its poll is here */
    (void)session_unhold(s);
    session_close(&set, s, true);
    assert_int_equal(set.news.n, 1);
    assert_false(set.news.v[0].is_open);

    /* Back before the scheduler was told: it is not told that it had gone. */
    (void)session_open(&set, &ann, 9, 0, 7000, &held);
    assert_int_equal(set.news.n, 1);
    assert_true(set.news.v[0].is_open);
    session_set_done(&set);
}

/* Polls 3 and 4 are out; the answers come as they like. */
static void news_are_told_with_the_poll_that_carried_them(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    (void)session_open(&set, &ann, 7, 0, 1000, &held);
    set.news.v[0].poll = 3;
    (void)session_open(&set, &bob, 8, 0, 1000, &held);
    session_news_told(&set, 2);
    assert_int_equal(set.news.n, 2);
    session_news_told(&set, 4);
    assert_int_equal(set.news.n, 1);
    assert_true(uuid_eq(&set.news.v[0].agent_id, &bob));
    session_set_done(&set);
}

static void polls_wait_in_turn(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *a = session_open(&set, &ann, 1, 0, 0, &held),
                   *b = session_open(&set, &bob, 2, 0, 0, &held);
    session_hold(&set, a, &call_a, 0, &held);
    session_hold(&set, b, &call_b, 500, &held);
    assert_null(session_held_due(&set, 999));
    assert_ptr_equal(session_held_due(&set, 1000), a);
    assert_ptr_equal(session_unhold(a), &call_a);
    assert_null(session_unhold(a));
    assert_null(session_held_due(&set, 1000));
    assert_ptr_equal(session_held_due(&set, 1500), b);
    session_hold(&set, b, &call_a, 1500, &held);
    assert_ptr_equal(held, &call_b);
    session_set_done(&set);
}

static void messages_are_due_until_answered(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 1, 0, 0, &held);
    assert_false(session_has_mail(s, 0));
    assert_true(session_add_message(s, &letter, "hi", at_once, 0));
    assert_false(session_add_message(s, &letter, "hi", at_once, 0)); /* twice is once */
    assert_true(session_has_mail(s, 0));
    struct session_message *m = session_find_message(s, &letter);
    session_message_sent(m, 100);
    assert_false(session_has_mail(s, 2099));
    assert_true(session_has_mail(s, 2100)); /* perhaps it was lost */
    assert_false(session_message_is_old(m, 9999));
    assert_true(session_message_is_old(m, 10000));
    session_drop_message(m);
    assert_false(session_has_mail(s, 5000));
    session_set_done(&set);
}

static void one_that_waits_does_not_grow_old_and_comes_less_and_less_often(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 1, 0, 0, &held);
    assert_true(session_add_message(s, &letter, "hi", when_stable, 0));
    struct session_message *m = session_find_message(s, &letter);
    int64_t now_ms = 0;
    int n = 0;
    for (; now_ms < 3600 * 1000; now_ms += 100) {
        assert_false(session_message_is_old(m, now_ms));
        if (!session_message_is_due(m, now_ms))
            continue;
        session_message_sent(m, now_ms);
        n++;
    }
    assert_in_range(n, 60, 70);
    s = session_open(&set, &ann, 2, 0, now_ms, &held);
    assert_true(session_has_mail(s, now_ms)); /* another life of the agent: at once */
    session_set_done(&set);
}

static void one_that_takes_back_takes_the_place_of_the_other(void **state)
{
    (void)state;
    struct session_set set;
    void *held;
    session_set_init(&set);
    struct session *s = session_open(&set, &ann, 1, 0, 0, &held);
    assert_true(session_add_message(s, &letter, "hi", when_stable, 0));
    session_message_sent(session_find_message(s, &letter), 0);
    assert_true(session_add_message(s, &letter, "", withdraw, 10));
    assert_true(session_has_mail(s, 10));
    assert_true(session_find_message(s, &letter)->manner.withdraw);
    assert_false(session_add_message(s, &letter, "", withdraw, 20));
    assert_false(session_add_message(s, &letter, "hi", when_stable, 30)); /* a late one */
    assert_true(session_message_is_old(session_find_message(s, &letter), 10010));
    session_set_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_by_its_number),
        cmocka_unit_test(hello_again_ends_the_old_session),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(news_are_told_with_the_poll_that_carried_them),
        cmocka_unit_test(polls_wait_in_turn),
        cmocka_unit_test(messages_are_due_until_answered),
        cmocka_unit_test(one_that_waits_does_not_grow_old_and_comes_less_and_less_often),
        cmocka_unit_test(one_that_takes_back_takes_the_place_of_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
