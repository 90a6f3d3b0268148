/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: posts arrive once, in order, from any thread; the turn hook ends each turn and starves
 * nobody; timers, signals and work of other threads come back to the loop.
 */
#define UNIT_WITH_LOOP
#include "tests/unit/core/unit.h"

#include <pthread.h>
#include <signal.h>

#define THREADS 4
#define POSTS   20000

static struct loop *loop;

/* ---- posts ---- */

struct poster {
    pthread_t thread;
    int sent, received;
};

struct letter {
    struct poster *from;
    int number;
};

static int posters_done;

static void on_letter(void *arg)
{
    struct letter *l = arg;
    assert_int_equal(l->number, l->from->received);
    if (++l->from->received == POSTS && ++posters_done == THREADS)
        loop_stop(loop);
    free(l);
}

static void *post_letters(void *arg)
{
    struct poster *p = arg;
    for (; p->sent < POSTS; p->sent++) {
        struct letter *l = malloc(sizeof(*l));
        *l = (struct letter){p, p->sent};
        loop_post(loop, on_letter, l);
    }
    return NULL;
}

static void posts_arrive_in_order_from_threads(void **state)
{
    (void)state;
    struct poster posters[THREADS] = {0};
    loop = loop_new();
    posters_done = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&posters[i].thread, NULL, post_letters, &posters[i]);
    unit_run(loop);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].received, POSTS);
    }
    loop_free(loop);
}

static int counted;

static void count(void *arg)
{
    (void)arg;
    counted++;
}

static void posts_left_over_are_run(void **state)
{
    (void)state;
    loop = loop_new();
    counted = 0;
    loop_post(loop, count, NULL);
    loop_post(loop, count, NULL);
    loop_free(loop);
    assert_int_equal(counted, 2);
}

/* ---- turns ---- */

static int turns, posted_in_turn, ticks;

static void on_batch_turn(void *arg)
{
    (void)arg;
    if (counted > 0) {
        turns++;
        assert_int_equal(counted, 10); /* all that came together ends one turn */
        loop_stop(loop);
    }
}

static void post_ten(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        loop_post(loop, count, NULL);
}

static void the_hook_runs_once_after_all(void **state)
{
    (void)state;
    loop = loop_new();
    counted = turns = 0;
    loop_on_turn(loop, on_batch_turn, NULL);
    struct timer *t = timer_new(loop, post_ten, NULL);
    timer_start(t, 1, 0);
    unit_run(loop);
    assert_true(turns >= 1);
    timer_free(t);
    loop_free(loop);
}

static void post_again(void *arg)
{
    (void)arg;
    posted_in_turn++;
    loop_post(loop, count, NULL);
}

static void tick(void *arg)
{
    (void)arg;
    if (++ticks == 3)
        loop_stop(loop);
}

static void a_hook_that_posts_starves_no_timer(void **state)
{
    (void)state;
    loop = loop_new();
    ticks = 0;
    loop_on_turn(loop, post_again, NULL);
    struct timer *t = timer_new(loop, tick, NULL);
    timer_start(t, 1, 1);
    unit_run(loop);
    assert_true(posted_in_turn > 3);
    timer_free(t);
    loop_free(loop);
}

static void count_turn(void *arg)
{
    (void)arg;
    turns++;
}

static void an_idle_loop_does_not_turn(void **state)
{
    (void)state;
    loop = loop_new();
    turns = 0;
    loop_on_turn(loop, count_turn, NULL);
    unit_run_for(loop, 50);
    assert_true(turns <= 4);
    loop_free(loop);
}

static void timers_of_a_turn_end_before_its_hook(void **state)
{
    (void)state;
    loop = loop_new();
    turns = counted = 0;
    loop_on_turn(loop, on_batch_turn, NULL);
    struct timer *timers[10];
    for (int i = 0; i < 10; i++) {
        timers[i] = timer_new(loop, count, NULL);
        timer_start(timers[i], 0, 0);
    }
    unit_run(loop);
    assert_true(turns >= 1);
    for (int i = 0; i < 10; i++)
        timer_free(timers[i]);
    loop_free(loop);
}

/* ---- the rest ---- */

static void timers_start_stop_and_restart(void **state)
{
    (void)state;
    loop = loop_new();
    counted = 0;
    struct timer *stopped = timer_new(loop, count, NULL), *once = timer_new(loop, count, NULL);
    timer_start(stopped, 1, 1);
    timer_start(once, 60000, 0);
    timer_start(once, 1, 0);
    timer_stop(stopped);
    unit_run_for(loop, 30);
    assert_int_equal(counted, 1);
    timer_free(stopped);
    timer_free(once);
    timer_free(NULL);
    loop_free(loop);
}

static void signals_come_to_the_loop(void **state)
{
    (void)state;
    loop = loop_new();
    loop_on_terminate(loop, unit_stop, loop);
    loop_on_hangup(loop, count, NULL);
    counted = 0;
    raise(SIGPIPE);
    raise(SIGHUP);
    raise(SIGTERM);
    unit_run(loop);
    assert_int_equal(counted, 1);
    loop_free(loop);
}

static pthread_t worker_thread;

static void work(void *arg)
{
    (void)arg;
    worker_thread = pthread_self();
}

static void work_is_done_elsewhere(void **state)
{
    (void)state;
    loop = loop_new();
    loop_work(loop, work, unit_stop, loop);
    unit_run(loop);
    assert_false(pthread_equal(worker_thread, pthread_self()));
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_arrive_in_order_from_threads),
        cmocka_unit_test(posts_left_over_are_run),
        cmocka_unit_test(the_hook_runs_once_after_all),
        cmocka_unit_test(a_hook_that_posts_starves_no_timer),
        cmocka_unit_test(an_idle_loop_does_not_turn),
        cmocka_unit_test(timers_of_a_turn_end_before_its_hook),
        cmocka_unit_test(timers_start_stop_and_restart),
        cmocka_unit_test(signals_come_to_the_loop),
        cmocka_unit_test(work_is_done_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
