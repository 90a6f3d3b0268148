/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_idle_test.c - tasks that nobody uses pause by themselves, in virtual time.
 */
#include "tests/unit/scheduler/core_stage.h"

#define MINUTE 60000

static struct job_spec started(struct stage *s, int64_t ttl_ms, int64_t bump_ms)
{
    struct task_create r = {.task_id = id_of(1),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .provisioner = "local",
        .app_slug = "shell",
        .name = "one",
        .display_name = "",
        .prompt = "",
        .ttl_ms = ttl_ms,
        .activity_bump_ms = bump_ms};
    core_task_create(s->c, &r, ticket(1));
    poll(s, 1, 1);
    take(s);
    assert_int_equal(s->e.tasks_new.v[0].ttl_ms, ttl_ms);
    assert_int_equal(s->e.tasks_new.v[0].activity_bump_ms, bump_ms);
    assert_int_equal(s->e.deadlines.n, 0);
    struct job_spec j = given(s, 0);
    struct uuid one = id_of(1);
    core_agent_open(s->c, &one, &j.agent_id, &j.agent_token, ticket(6));
    result_of(s, 1, &j, OUTCOME_SUCCEEDED, false);
    return j;
}

static void said(struct stage *s, const struct job_spec *j, const char *what)
{
    core_agent_said(s->c, &j->agent_id, what, NULL);
    take(s);
}

/* Time goes by with a worker that polls; true when a stop build began. */
static bool paused_within(struct stage *s, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += 1000) {
        poll(s, 1, 0);
        pass(s, 1000);
        if (s->e.builds_new.n > 0)
            return true;
    }
    return false;
}

static void it_pauses_when_its_time_is_over(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = started(&s, 10 * MINUTE, 5 * MINUTE);
    assert_int_equal(s.e.deadlines.n, 1);
    assert_int_equal(s.e.deadlines.v[0].left_ms, 10 * MINUTE);
    assert_true(uuid_eq(&s.e.deadlines.v[0].build_id, &j.build_id));
    assert_false(paused_within(&s, 10 * MINUTE - 1000));
    assert_true(paused_within(&s, 2000));
    static const struct uuid nobody;
    assert_int_equal(s.e.builds_new.v[0].kind, JOB_STOP);
    assert_string_equal(s.e.builds_new.v[0].reason, "task_auto_pause");
    assert_string_equal(s.e.audits.v[0].action, "auto_pause");
    assert_true(uuid_eq(&s.e.audits.v[0].actor_id, &nobody));
    assert_int_equal(core_counts(s.c).auto_paused, 1);
    assert_false(paused_within(&s, 20 * MINUTE)); /* once */
    stage_close(&s);
}

static void without_a_timeout_it_never_does(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    started(&s, 0, MINUTE);
    assert_int_equal(s.e.deadlines.n, 0);
    assert_false(paused_within(&s, 60 * MINUTE));
    stage_close(&s);
}

static void one_that_works_is_never_paused(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = started(&s, 10 * MINUTE, 5 * MINUTE);
    said(&s, &j, "working");
    assert_false(paused_within(&s, 60 * MINUTE));
    said(&s, &j, "idle"); /* from now on five minutes */
    assert_int_equal(s.e.deadlines.v[0].left_ms, 5 * MINUTE);
    assert_false(paused_within(&s, 5 * MINUTE - 1000));
    assert_true(paused_within(&s, 2000));
    stage_close(&s);
}

static void activity_pushes_it_on_but_never_back(void **state)
{
    (void)state;
    static const struct {
        int64_t ttl_ms, bump_ms, after_ms;
        const char *say;
        int64_t left_ms; /* 0: nothing changes */
    } rows[] = {
        {10 * MINUTE, 5 * MINUTE,  MINUTE,     "working",  0          }, /* nine are left */
        {10 * MINUTE, 5 * MINUTE,  9 * MINUTE, "working",  5 * MINUTE },
        {10 * MINUTE, 20 * MINUTE, 0,          "working",  20 * MINUTE},
        {10 * MINUTE, 10 * MINUTE, 29000,      "working",  0          }, /* less than a twentieth */
        {10 * MINUTE, 10 * MINUTE, 31000,      "working",  10 * MINUTE},
        {10 * MINUTE, 0,           9 * MINUTE, "working",  0          },
        {10 * MINUTE, 5 * MINUTE,  9 * MINUTE, "complete", 0          }, /* was not working */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct job_spec j = started(&s, rows[i].ttl_ms, rows[i].bump_ms);
        assert_false(paused_within(&s, rows[i].after_ms));
        said(&s, &j, rows[i].say);
        assert_int_equal(s.e.deadlines.n, rows[i].left_ms > 0);
        if (rows[i].left_ms > 0)
            assert_int_equal(s.e.deadlines.v[0].left_ms, rows[i].left_ms);
        stage_close(&s);
    }
}

static void a_flood_of_reports_is_a_handful_of_rows(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = started(&s, 10 * MINUTE, 10 * MINUTE);
    size_t n = 0;
    for (int i = 0; i < 600; i++) {
        pass(&s, 100);
        said(&s, &j, "working");
        n += s.e.deadlines.n;
    }
    assert_in_range(n, 1, 2); /* a minute is two twentieths */
    stage_close(&s);
}

static void a_message_that_was_taken_is_activity(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    started(&s, 10 * MINUTE, 5 * MINUTE);
    struct uuid one = id_of(1), who = id_of(800), m = id_of(600);
    assert_false(paused_within(&s, 9 * MINUTE));
    core_message_queue(s.c, &one, &who, &m, "hello", ticket(7));
    take(&s);
    assert_int_equal(s.e.deadlines.n, 0);
    core_send_result(s.c, &m, REFUSAL_NONE, "");
    take(&s);
    assert_int_equal(s.e.deadlines.v[0].left_ms, 5 * MINUTE);
    stage_close(&s);
}

static void a_pause_by_hand_ends_it_and_a_resume_begins_it_anew(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    started(&s, 10 * MINUTE, MINUTE);
    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_NONE);
    struct job_spec stop = given(&s, 0);
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    assert_false(paused_within(&s, 20 * MINUTE));
    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_RESUME, 1, 501), REFUSAL_NONE);
    struct job_spec start = given(&s, 0);
    result_of(&s, 1, &start, OUTCOME_SUCCEEDED, false);
    assert_int_equal(s.e.deadlines.v[0].left_ms, 10 * MINUTE);
    assert_false(paused_within(&s, 10 * MINUTE - 1000));
    assert_true(paused_within(&s, 2000));
    stage_close(&s);
}

static void a_new_leader_counts_on(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms;
        const char *app_state;
        int64_t lives_ms; /* at least; INT64_MAX: for good */
    } rows[] = {
        {3 * MINUTE,  "idle",    3 * MINUTE - 1000},
        {-5 * MINUTE, "idle",    0                },
        {-5 * MINUTE, "working", INT64_MAX        },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct load_task t = {.id = id_of(1),
            .owner_id = id_of(800),
            .version_id = id_of(903),
            .build_id = id_of(3),
            .job_id = id_of(4),
            .agent_id = id_of(5),
            .agent_token = id_of(6),
            .name = "one",
            .provisioner = "local",
            .app_slug = "shell",
            .owner_name = "ann",
            .template_name = "shell",
            .host = "elsewhere",
            .app_state = rows[i].app_state,
            .lifecycle = "ready",
            .build_number = 1,
            .ttl_ms = 10 * MINUTE,
            .activity_bump_ms = MINUTE,
            .has_deadline = true,
            .deadline_left_ms = rows[i].left_ms,
            .kind = JOB_START,
            .state = JOB_SUCCEEDED,
            .holds_compute = true};
        core_load_task(s.c, &t);
        core_load_done(s.c);
        take(&s);
        assert_int_equal(s.e.deadlines.n, 0);
        bool for_good = rows[i].lives_ms == INT64_MAX;
        assert_false(paused_within(&s, for_good ? 30 * MINUTE : rows[i].lives_ms));
        assert_int_equal(paused_within(&s, 2000), !for_good);
        stage_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_pauses_when_its_time_is_over),
        cmocka_unit_test(without_a_timeout_it_never_does),
        cmocka_unit_test(one_that_works_is_never_paused),
        cmocka_unit_test(activity_pushes_it_on_but_never_back),
        cmocka_unit_test(a_flood_of_reports_is_a_handful_of_rows),
        cmocka_unit_test(a_message_that_was_taken_is_activity),
        cmocka_unit_test(a_pause_by_hand_ends_it_and_a_resume_begins_it_anew),
        cmocka_unit_test(a_new_leader_counts_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
