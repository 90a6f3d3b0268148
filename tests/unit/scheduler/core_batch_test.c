/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_batch_test.c - what comes together in one batch, while the one before it commits.
 */
#include "tests/unit/scheduler/core_stage.h"

static const struct row_job *row_of(const struct stage *s, const struct uuid *job_id)
{
    for (size_t i = 0; i < s->e.jobs.n; i++)
        if (uuid_eq(&s->e.jobs.v[i].id, job_id))
            return &s->e.jobs.v[i];
    fail_msg("the job has no row");
    return NULL;
}

/* The task's object holds the newest build alone: the end of the one before must not get lost. */
static void a_result_and_the_next_command_are_both_written(void **state)
{
    (void)state;
    struct stage s;
    struct uuid task = id_of(1), who = id_of(800), build = id_of(2), worker = id_of(1);
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec start = given(&s, 0);
    struct job_result done = {
        .job = {start.job_id, start.token},
          .outcome = OUTCOME_SUCCEEDED, .host = "h"
    };
    core_job_result(s.c, &worker, &done);
    core_task_command(s.c, TASK_PAUSE, &task, &who, &build, "", ticket(77));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    assert_int_equal(row_of(&s, &start.job_id)->state, JOB_SUCCEEDED);
    assert_int_equal(s.e.jobs.n, 1);
    assert_int_equal(s.e.builds_new.n, 1);
    stage_close(&s);
}

/* The answer to a resume was lost; meanwhile its run has paused by itself. */
static void a_resume_that_comes_again_after_a_pause_is_done(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    for (unsigned build = 0; build < 3; build++) {
        static const enum task_verb verbs[] = {TASK_PAUSE, TASK_RESUME, TASK_PAUSE};
        poll(&s, 1, 1);
        take(&s);
        struct job_spec j = given(&s, 0);
        result_of(&s, 1, &j, OUTCOME_SUCCEEDED, true);
        assert_int_equal(command(&s, verbs[build], 1, 50 + build), REFUSAL_NONE);
    }
    poll(&s, 1, 1);
    take(&s);
    struct job_spec stop = given(&s, 0);
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    assert_int_equal(command(&s, TASK_RESUME, 1, 51), REFUSAL_NONE);
    assert_int_equal(s.e.builds_new.n, 0);
    stage_close(&s);
}

static void poll_of(struct stage *s, unsigned worker, const struct uuid *here,
    const struct uuid *closed, size_t n_closed)
{
    struct worker_poll p = {.worker_id = id_of(worker),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local",
        .knows_us = true,
        .sessions_complete = true,
        .sessions = here,
        .n_sessions = here != NULL,
        .closed = closed,
        .n_closed = n_closed};
    core_worker_poll(s->c, &p, ticket(10000 + worker));
    take(s);
}

static size_t mail_of(struct stage *s)
{
    struct uuid task = id_of(1), who = id_of(800);
    static unsigned n = 600;
    struct uuid send = id_of(++n);
    vec_clear(&s->mail);
    core_task_send(s->c, &task, &who, &send, "hello", ticket(78));
    take(s);
    return s->mail.n;
}

/* An agent has gone from worker 1 to worker 2, and both name it; then worker 1 notices. */
static void the_end_of_an_older_session_is_not_that_of_the_newer(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec start = given(&s, 0);
    result_of(&s, 1, &start, OUTCOME_SUCCEEDED, true);
    core_agent_said(s.c, &start.agent_id, NULL, "ready");
    poll_of(&s, 1, &start.agent_id, NULL, 0);
    poll_of(&s, 2, &start.agent_id, NULL, 0);
    poll_of(&s, 1, NULL, &start.agent_id, 1);
    assert_int_equal(mail_of(&s), 1);

    /* A hello to worker 1 comes late; the session with worker 2 is there all the time. */
    struct uuid one = id_of(1), stranger = id_of(9);
    core_agent_open(s.c, &one, &start.agent_id, &start.agent_token, ticket(6));
    core_agent_open(s.c, &stranger, &start.agent_id, &start.agent_token, ticket(7));
    poll_of(&s, 1, NULL, &start.agent_id, 1);
    vec_clear(&s.mail);
    poll_of(&s, 2, NULL, NULL, 0);
    assert_true(s.mail.n > 0); /* what was on its way comes again */
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_and_the_next_command_are_both_written),
        cmocka_unit_test(the_end_of_an_older_session_is_not_that_of_the_newer),
        cmocka_unit_test(a_resume_that_comes_again_after_a_pause_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
