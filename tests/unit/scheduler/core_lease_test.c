/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_lease_test.c - when a worker's jobs are given to others, and when not (rules 3 and 11).
 */
#include "tests/unit/scheduler/core_stage.h"

#define LEASE_MS     5000
#define HEARTBEAT_MS 1000
#define FOR_EVER     INT64_MAX / 2

/* Worker 1 has a start in hand and is not heard of again. */
static struct job_spec abandoned_start(struct stage *s)
{
    stage_open(s, default_conf());
    create(s, 1);
    poll(s, 1, 1);
    take(s);
    return given(s, 0);
}

/* What worker 2 is given when it asks. */
static size_t given_to_another(struct stage *s)
{
    poll(s, 2, 1);
    take(s);
    return jobs_given(s);
}

static void over_means_that_postgres_says_so(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec was = abandoned_start(&s);
    s.lease_left_ms = 3000; /* its clock goes slower than ours, or ours was set */
    pass(&s, LEASE_MS + 100);
    assert_int_equal(given_to_another(&s), 0);
    pass(&s, 2900);
    assert_int_equal(given_to_another(&s), 0);
    s.lease_left_ms = 0;
    pass(&s, 600);
    assert_int_equal(given_to_another(&s), 1);
    assert_int_equal(given(&s, 0).token, was.token + 1);
    assert_int_equal(core_counts(s.c).leases_lost, 1);
    stage_close(&s);
}

static void an_answer_that_comes_after_the_next_poll_says_nothing(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec was = abandoned_start(&s);
    struct uuid w = id_of(1);
    core_set_now(s.c, s.now_ms += HEARTBEAT_MS + 100);
    core_tick(s.c);
    for (int i = 0; i < 10; i++) {
        core_set_now(s.c, s.now_ms += LEASE_MS / 10);
        core_tick(s.c);
    }
    core_take_effects(s.c, &s.e);
    assert_int_equal(s.e.silent.n, 1);
    poll_as(&s, 1, 1, &(struct job_ref){was.job_id, was.token}, 1);
    core_worker_lease(s.c, &w, -1);
    take(&s);
    assert_int_equal(core_counts(s.c).leases_lost, 0);
    stage_close(&s);
}

static void each_heartbeat_is_written_down(void **state)
{
    (void)state;
    struct stage s;
    abandoned_start(&s);
    for (int i = 0; i < 5; i++) {
        pass(&s, HEARTBEAT_MS);
        poll(&s, 1, 0);
        take(&s);
        assert_int_equal(s.e.workers.n, 1);
        assert_int_equal(s.e.workers.v[0].lease_left_ms, LEASE_MS);
        poll(&s, 1, 0); /* at once again: nothing new to say */
        take(&s);
        assert_int_equal(s.e.workers.n, 0);
    }
    stage_close(&s);
}

/* What a worker is told is never more than what its row says. */
static void the_worker_is_told_what_its_row_says(void **state)
{
    (void)state;
    struct stage s;
    abandoned_start(&s);
    static const struct {
        int64_t pause_ms, told_ms;
    } rows[] = {
        {400,  LEASE_MS - 400}, /* too soon for another row */
        {700,  LEASE_MS      },
        {1000, LEASE_MS      },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        pass(&s, rows[i].pause_ms);
        poll(&s, 1, 0);
        take(&s);
        poll(&s, 1, 0); /* the older one is dropped and tells nothing */
        take(&s);
        assert_int_equal(s.e.dispatches.v[0].work.lease_ms, 0);
        core_set_now(s.c, s.now_ms += HEARTBEAT_MS);
        core_tick(s.c);
        take(&s);
        assert_int_equal(s.e.dispatches.n, 1);
        assert_int_equal(s.e.dispatches.v[0].work.lease_ms, rows[i].told_ms);
        core_set_now(s.c, s.now_ms -= HEARTBEAT_MS);
    }
    stage_close(&s);
}

/* A new leader neither lengthens nor shortens it; it listens for one heartbeat before it judges. */
static void a_new_leader_counts_on(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms, asked_after_ms;
    } rows[] = {
        {-60000,   HEARTBEAT_MS}, /* over long since */
        {0,        HEARTBEAT_MS},
        {500,      HEARTBEAT_MS},
        {3000,     3000        },
        {LEASE_MS, LEASE_MS    },
        {FOR_EVER, LEASE_MS    }, /* a row of longer leases: asked then, and Postgres says no */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct uuid w = id_of(1);
        core_load_worker(s.c, &w, "w", "h", "local", rows[i].left_ms);
        core_load_done(s.c);
        int64_t asked_after_ms = 0;
        for (; asked_after_ms <= 2 * LEASE_MS; asked_after_ms += 100) {
            core_set_now(s.c, s.now_ms + asked_after_ms);
            core_tick(s.c);
            core_take_effects(s.c, &s.e);
            if (s.e.silent.n > 0)
                break;
        }
        assert_int_equal(asked_after_ms, rows[i].asked_after_ms);
        stage_close(&s);
    }
}

static void a_leader_that_slept_listens_first(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec was = abandoned_start(&s);
    core_set_now(s.c, s.now_ms += 60000);
    core_tick(s.c);
    take(&s);
    core_set_now(s.c, s.now_ms += 100);
    core_tick(s.c);
    take(&s);
    assert_int_equal(core_counts(s.c).leases_lost, 0);
    poll_as(&s, 1, 1, &(struct job_ref){was.job_id, was.token}, 1); /* it was read now */
    pass(&s, 3000);
    assert_int_equal(core_counts(s.c).leases_lost, 0);
    pass(&s, LEASE_MS);
    assert_int_equal(core_counts(s.c).leases_lost, 1);
    stage_close(&s);
}

/* Worker 1 may have begun, or begin yet; that worker 2 has left nothing says nothing of that. */
static void one_that_left_nothing_does_not_speak_for_one_before_it(void **state)
{
    (void)state;
    struct stage s;
    abandoned_start(&s);
    pass(&s, LEASE_MS + 1000);
    assert_int_equal(given_to_another(&s), 1);
    struct job_spec again = given(&s, 0);
    result_of(&s, 2, &again, OUTCOME_FAILED_FOR_GOOD, true);
    assert_int_equal(core_counts(s.c).holding, 1);
    poll(&s, 2, 1);
    take(&s);
    struct job_spec cleanup = given(&s, 0);
    assert_int_equal(cleanup.kind, JOB_STOP);
    result_of(&s, 2, &cleanup, OUTCOME_SUCCEEDED, true);
    assert_int_equal(core_counts(s.c).holding, 0);
    stage_close(&s);
}

/* It knows this leader, and says nothing of the agents that it has; the leader has forgotten them.
 */
static void one_that_comes_back_is_asked_for_its_sessions(void **state)
{
    (void)state;
    struct stage s;
    abandoned_start(&s);
    pass(&s, LEASE_MS + 1000);
    assert_int_equal(core_counts(s.c).leases_lost, 1);
    struct worker_poll p = {.worker_id = id_of(1),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local",
        .knows_us = true};
    core_worker_poll(s.c, &p, ticket(10001));
    take(&s);
    bool asked = false;
    for (size_t i = 0; i < s.e.dispatches.n; i++)
        asked = asked || s.e.dispatches.v[i].work.resync;
    assert_true(asked);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_means_that_postgres_says_so),
        cmocka_unit_test(an_answer_that_comes_after_the_next_poll_says_nothing),
        cmocka_unit_test(each_heartbeat_is_written_down),
        cmocka_unit_test(the_worker_is_told_what_its_row_says),
        cmocka_unit_test(a_new_leader_counts_on),
        cmocka_unit_test(a_leader_that_slept_listens_first),
        cmocka_unit_test(one_that_comes_back_is_asked_for_its_sessions),
        cmocka_unit_test(one_that_left_nothing_does_not_speak_for_one_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
