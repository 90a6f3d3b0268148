/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_dead_test.c - the end of a job that nobody tries any more, its return, and commands that are
 * sent twice.
 */
#include "tests/unit/scheduler/core_stage.h"

#define LEASE_MS 5000

static const struct uuid none;

/* How a try ends. */
enum end { FAILS = OUTCOME_FAILED, FOR_GOOD = OUTCOME_FAILED_FOR_GOOD, FALLS_SILENT = 100 };

/* A worker that has never been here takes the job and ends the try so.  Its number. */
static unsigned one_try(struct stage *s, enum end end, struct job_spec *ret)
{
    static unsigned worker = 10;
    poll(s, ++worker, 1);
    take(s);
    for (int i = 0; jobs_given(s) == 0 && i < 100; i++) { /* until its pause is over */
        pass(s, 500);
        poll(s, worker, 1);
        take(s);
    }
    *ret = given(s, 0);
    if (end == FALLS_SILENT)
        pass(s, LEASE_MS + 2000);
    else
        result_of(s, worker, ret, (enum job_outcome)end, true);
    return worker;
}

static void dead_start(struct stage *s, struct job_spec *ret)
{
    stage_open(s, default_conf());
    create(s, 1);
    one_try(s, FOR_GOOD, ret);
    assert_int_equal(s->e.jobs_dead.n, 1);
}

static enum refusal retry(struct stage *s, const struct uuid *job, unsigned task, unsigned command)
{
    struct job_retry r = {.job_id = *job, .initiator_id = id_of(800), .task_id = id_of(task)};
    struct uuid id = id_of(command);
    core_command_id(s->c, &id);
    core_job_retry(s->c, &r, ticket(78));
    take(s);
    return last_refusal(s);
}

/* ---- death ---- */

static void the_cause_is_the_last_try(void **state)
{
    (void)state;
    static const struct {
        enum end ends[4]; /* 0: no more */
        enum job_death cause;
    } rows[] = {
        {{FOR_GOOD},                                 DEATH_FOR_GOOD},
        {{FAILS, FOR_GOOD},                          DEATH_FOR_GOOD},
        {{FAILS, FAILS, FAILS},                      DEATH_ATTEMPTS},
        {{FALLS_SILENT, FAILS, FAILS},               DEATH_ATTEMPTS},
        {{FAILS, FAILS, FALLS_SILENT},               DEATH_LEASE   },
        {{FALLS_SILENT, FALLS_SILENT, FALLS_SILENT}, DEATH_LEASE   }, /* poison */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        create(&s, 1);
        unsigned worker = 0;
        int32_t n = 0;
        struct job_spec j;
        for (; rows[i].ends[n] != 0; n++) {
            if (n > 0)
                assert_int_equal(s.e.jobs_dead.n, 0);
            worker = one_try(&s, rows[i].ends[n], &j);
        }
        assert_int_equal(s.e.jobs_dead.n, 1);
        const struct row_job_dead *d = &s.e.jobs_dead.v[0];
        struct uuid w = id_of(worker);
        assert_true(uuid_eq(&d->id, &j.job_id) && uuid_eq(&d->worker_id, &w));
        assert_int_equal(d->cause, rows[i].cause);
        assert_int_equal(d->attempts, n);
        assert_int_equal(core_counts(s.c).dead, 1);
        stage_close(&s);
    }
}

/* The first lost lease is the worker's fault, the next ones may be the job's. */
static void what_kills_workers_waits_between_them(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec j;
    stage_open(&s, default_conf());
    create(&s, 1);
    one_try(&s, FALLS_SILENT, &j);
    poll(&s, 200, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 1); /* at once */
    pass(&s, LEASE_MS + 1500);
    poll(&s, 201, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 0);
    pass(&s, 2000);
    poll(&s, 201, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    stage_close(&s);
}

static void deletes_and_clean_ups_never_die(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec j;
    stage_open(&s, default_conf());
    running_task(&s, 1);
    s.in_hand.n = 0;
    command(&s, TASK_DELETE, 1, 500);
    for (int i = 0; i < 10; i++) {
        one_try(&s, i % 3 == 0 ? FALLS_SILENT : FOR_GOOD, &j);
        assert_int_equal(j.kind, JOB_DELETE);
        assert_int_equal(s.e.jobs_dead.n, 0);
    }
    assert_int_equal(core_counts(s.c).dead, 0);
    stage_close(&s);
}

/* ---- return ---- */

static void a_retry_is_a_fresh_series_with_larger_tokens(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec was, j;
    dead_start(&s, &was);
    assert_int_equal(retry(&s, &was.job_id, 1, 600), REFUSAL_NONE);
    assert_int_equal(s.e.jobs_revived.n, 1);
    assert_int_equal(s.e.jobs.v[0].state, JOB_PENDING);
    assert_string_equal(s.e.audits.v[0].action, "retry");
    assert_int_equal(core_counts(s.c).revived, 1);
    for (int n = 1; n <= 3; n++) {
        one_try(&s, FAILS, &j);
        assert_true(uuid_eq(&j.job_id, &was.job_id) && uuid_eq(&j.agent_id, &was.agent_id));
        assert_int_equal(j.attempt, n);
        assert_int_equal(j.series, 1);
        assert_int_equal(j.token, was.token + n);
    }
    assert_int_equal(s.e.jobs_dead.v[0].cause, DEATH_ATTEMPTS);
    assert_int_equal(retry(&s, &was.job_id, 1, 601), REFUSAL_NONE);
    stage_close(&s);
}

static void only_the_dead_of_the_newest_build_return(void **state)
{
    (void)state;
    struct stage s;
    struct job_spec was;
    dead_start(&s, &was);
    struct uuid stranger = id_of(999);
    assert_int_equal(retry(&s, &was.job_id, 7, 600), REFUSAL_TASK_UNKNOWN);
    assert_int_equal(retry(&s, &stranger, 1, 600), REFUSAL_JOB_SUPERSEDED);
    assert_int_equal(retry(&s, &was.job_id, 1, 600), REFUSAL_NONE);
    assert_int_equal(retry(&s, &was.job_id, 1, 601), REFUSAL_JOB_NOT_DEAD); /* it waits */
    poll(&s, 1, 1);
    take(&s);
    struct job_spec j = given(&s, 0);
    assert_int_equal(retry(&s, &was.job_id, 1, 601), REFUSAL_JOB_NOT_DEAD); /* it runs */
    result_of(&s, 1, &j, OUTCOME_SUCCEEDED, false);
    assert_int_equal(retry(&s, &was.job_id, 1, 601), REFUSAL_JOB_NOT_DEAD); /* it is done */
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_NONE);
    assert_int_equal(retry(&s, &was.job_id, 1, 601), REFUSAL_JOB_SUPERSEDED);
    stage_close(&s);
}

static void a_start_that_returns_counts_against_the_cap(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 1;
    conf.cap_policy = CAP_REJECT;
    struct stage s;
    struct job_spec was;
    stage_open(&s, conf);
    create(&s, 1);
    one_try(&s, FOR_GOOD, &was);
    running_task(&s, 2);
    assert_int_equal(retry(&s, &was.job_id, 1, 600), REFUSAL_CAP_REACHED);
    assert_int_equal(s.e.jobs_revived.n, 0);
    stage_close(&s);
}

static void an_import_returns_by_way_of_postgres(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_retry r = {.job_id = id_of(50), .initiator_id = id_of(800)};
    struct uuid command = id_of(600);
    core_command_id(s.c, &command);
    core_job_retry(s.c, &r, ticket(1));
    take(&s);
    assert_int_equal(s.e.import_retries.n, 1);
    assert_int_equal(last_refusal(&s), REFUSAL_JOB_NOT_DEAD); /* unless Postgres knows better */
    assert_true(uuid_eq(&s.e.replies.v[0].job_id, &r.job_id));
    assert_true(uuid_eq(&s.e.replies.v[0].command_id, &command));

    struct load_import i = {.job_id = r.job_id,
        .version_id = id_of(51),
        .provisioner = "local",
        .state = JOB_PENDING,
        .token = 3,
        .command_id = command};
    core_import_revived(s.c, &i);
    core_import_revived(s.c, &i); /* told twice */
    poll(&s, 1, 5);
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(given(&s, 0).token, 4);
    core_command_id(s.c, &command);
    core_job_retry(s.c, &r, ticket(1));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE); /* asked again, answered as done */
    assert_int_equal(s.e.import_retries.n, 0);
    stage_close(&s);
}

/* ---- sent twice ---- */

enum what { AN_UPDATE, AN_INPUT, A_CANCEL, A_RETRY, WHATS };

/* Send it for the build the task has now, if it is still at `revision`. */
static enum refusal send(struct stage *s, enum what what, const struct job_spec *j,
    unsigned command_id, uint64_t revision)
{
    struct uuid id = id_of(command_id), task = id_of(1), who = id_of(800);
    if (what == A_RETRY)
        return retry(s, &j->job_id, 1, command_id);
    core_command_id(s->c, &id);
    core_expect(s->c, &(struct task_condition){.revision = revision});
    if (what == AN_UPDATE) {
        struct task_update u = {.task_id = task,
            .initiator_id = who,
            .set = 1u << TASK_OPTION_DISPLAY_NAME,
            .display_name = "other"};
        core_task_update(s->c, &u, ticket(79));
    } else {
        core_task_command(s->c, what == A_CANCEL ? TASK_CANCEL : TASK_UPDATE_INPUT, &task, &who,
            what == A_CANCEL ? &j->build_id : &none, "other", ticket(79));
    }
    take(s);
    return last_refusal(s);
}

/* A task that can take it. */
static struct job_spec stage_for(struct stage *s, enum what what)
{
    struct job_spec j;
    if (what == A_RETRY) {
        dead_start(s, &j);
        return j;
    }
    stage_open(s, default_conf());
    if (what != AN_INPUT) {
        create(s, 1);
        poll(s, 1, 1);
        take(s);
        return given(s, 0);
    }
    running_task(s, 1);
    poll(s, 1, 1);
    command(s, TASK_PAUSE, 1, 500);
    j = given(s, 0);
    result_of(s, 1, &j, OUTCOME_SUCCEEDED, true);
    return j;
}

static void what_is_sent_again_is_answered_as_done(void **state)
{
    (void)state;
    static const struct {
        enum what what;
        enum refusal another; /* one with another id, that has seen the task as it was */
    } rows[] = {
        {AN_UPDATE, REFUSAL_CHANGED     },
        {AN_INPUT,  REFUSAL_CHANGED     },
        {A_CANCEL,  REFUSAL_JOB_CANCELED},
        {A_RETRY,   REFUSAL_JOB_NOT_DEAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        struct job_spec j = stage_for(&s, rows[i].what);
        assert_int_equal(send(&s, rows[i].what, &j, 600, 0), REFUSAL_NONE);
        assert_int_equal(s.e.audits.n + s.e.options.n, 1);
        assert_int_equal(send(&s, rows[i].what, &j, 600, 0), REFUSAL_NONE);
        assert_int_equal(s.e.audits.n + s.e.options.n, 0); /* and nothing is done */
        assert_int_equal(send(&s, rows[i].what, &j, 601, 0), rows[i].another);
        stage_close(&s);
    }
}

/* What goes into the row is what a new leader needs to know it again. */
static void it_is_written_with_the_row(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        struct stage s;
        struct job_spec j = stage_for(&s, what);
        assert_int_equal(send(&s, what, &j, 600, 0), REFUSAL_NONE);
        struct uuid id = id_of(600), written = none;
        if (what == AN_UPDATE)
            written = s.e.options.v[0].update_id;
        else if (what == AN_INPUT)
            written = s.e.tasks.v[0].update_id;
        else
            written = s.e.jobs.v[0].command_id;
        assert_true(uuid_eq(&written, &id));
        stage_close(&s);
    }
}

static void a_new_leader_knows_it_too(void **state)
{
    (void)state;
    for (enum what what = 0; what < WHATS; what++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct job_spec j = {.job_id = id_of(40), .build_id = id_of(41)};
        struct load_task t = {.id = id_of(1),
            .workspace_id = id_of(42),
            .owner_id = id_of(800),
            .version_id = id_of(903),
            .build_id = j.build_id,
            .job_id = j.job_id,
            .name = "task-1",
            .owner_name = "ann",
            .template_name = "shell",
            .provisioner = "local",
            .app_slug = "shell",
            .build_number = 1,
            .revision = 1,
            .token = 1,
            .kind = what == AN_INPUT ? JOB_STOP : JOB_START,
            .state = what == A_RETRY    ? JOB_PENDING
                     : what == A_CANCEL ? JOB_CANCELED
                                        : JOB_SUCCEEDED};
        *(what == AN_UPDATE || what == AN_INPUT ? &t.update_id : &t.command_id) = id_of(600);
        core_load_task(s.c, &t);
        core_load_done(s.c);
        assert_int_equal(send(&s, what, &j, 600, 0), REFUSAL_NONE);
        assert_int_equal(s.e.audits.n + s.e.options.n, 0);
        assert_int_not_equal(send(&s, what, &j, 601, 0), REFUSAL_NONE);
        stage_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cause_is_the_last_try),
        cmocka_unit_test(what_kills_workers_waits_between_them),
        cmocka_unit_test(deletes_and_clean_ups_never_die),
        cmocka_unit_test(a_retry_is_a_fresh_series_with_larger_tokens),
        cmocka_unit_test(only_the_dead_of_the_newest_build_return),
        cmocka_unit_test(a_start_that_returns_counts_against_the_cap),
        cmocka_unit_test(an_import_returns_by_way_of_postgres),
        cmocka_unit_test(what_is_sent_again_is_answered_as_done),
        cmocka_unit_test(it_is_written_with_the_row),
        cmocka_unit_test(a_new_leader_knows_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
