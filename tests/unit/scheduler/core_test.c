/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_test.c - the scheduler's core as a specification: events in, effects out.
 */
#include "tests/unit/scheduler/core_stage.h"

/* ---- what it promises ---- */

static void create_writes_all_rows_and_answers_once(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    take(&s);
    assert_int_equal(s.e.tasks_new.n, 1);
    assert_int_equal(s.e.builds_new.n, 1);
    assert_string_equal(s.e.tasks_new.v[0].prompt, "echo hello");
    assert_false(uuid_is_nil(&s.e.builds_new.v[0].agent_id));
    assert_int_equal(s.e.replies.n, 1);
    assert_ptr_equal(s.e.replies.v[0].ticket, ticket(1));
    assert_int_equal(s.e.changed.n, 1);
    take(&s);
    assert_true(effects_are_empty(&s.e));
    stage_close(&s);
}

static void create_twice_is_once(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    create(&s, 1);
    take(&s);
    assert_int_equal(s.e.tasks_new.n, 1);
    assert_int_equal(s.e.replies.n, 2);
    assert_true(uuid_eq(&s.e.replies.v[0].build_id, &s.e.replies.v[1].build_id));
    stage_close(&s);
}

static void a_name_is_taken_until_the_workspace_is_gone(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task(&s, 1);
    struct task_create again = {.task_id = id_of(2),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .provisioner = "local",
        .app_slug = "shell",
        .name = "TASK-1",
        .prompt = ""};
    core_task_create(s.c, &again, ticket(2));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NAME_TAKEN);

    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_DELETE, 1, 500), REFUSAL_NONE);
    struct job_spec del = given(&s, 0);
    assert_int_equal(del.kind, JOB_DELETE);
    core_task_create(s.c, &again, ticket(2));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NAME_TAKEN);
    result_of(&s, 1, &del, OUTCOME_SUCCEEDED, true);
    assert_true(s.e.workspaces.v[0].deleted);
    core_task_create(s.c, &again, ticket(2));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    stage_close(&s);
}

static void the_cap_holds_and_the_next_starts_when_one_stops(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 3;
    struct stage s;
    stage_open(&s, conf);
    for (unsigned i = 1; i <= 10; i++)
        create(&s, i);
    poll(&s, 1, 64);
    take(&s);
    assert_int_equal(jobs_given(&s), 3);
    struct job_spec first = given(&s, 0);
    for (unsigned i = 4; i <= 10; i++) {
        struct uuid t = id_of(i);
        assert_int_equal(core_queue_place(s.c, &t).position, i - 3);
    }
    result_of(&s, 1, &first, OUTCOME_SUCCEEDED, false);
    poll(&s, 1, 64);
    take(&s);
    assert_int_equal(jobs_given(&s), 0);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_NONE);
    struct job_spec stop = given(&s, 0);
    assert_int_equal(stop.kind, JOB_STOP);
    poll(&s, 1, 64);
    take(&s);
    assert_int_equal(core_counts(s.c).holding, 3); /* until the stop has succeeded */
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(core_counts(s.c).holding, 3);
    stage_close(&s);
}

static void reject_refuses_at_the_cap(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 3;
    conf.cap_policy = CAP_REJECT;
    struct stage s;
    stage_open(&s, conf);
    for (unsigned i = 1; i <= 4; i++)
        create(&s, i);
    take(&s);
    assert_int_equal(s.e.replies.v[2].code, REFUSAL_NONE);
    assert_int_equal(s.e.replies.v[3].code, REFUSAL_CAP_REACHED);
    assert_int_equal(s.e.tasks_new.n, 3);
    stage_close(&s);
}

static void owners_share_fairly_and_priority_comes_first(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 2;
    struct stage s;
    stage_open(&s, conf);
    for (unsigned i = 1; i <= 20; i++)
        create_as(&s, i, 800, 0);
    create_as(&s, 21, 801, 0);
    create_as(&s, 22, 802, 5);
    poll(&s, 1, 64);
    take(&s);
    assert_int_equal(jobs_given(&s), 2);
    struct uuid urgent = id_of(22), oldest = id_of(1), other = id_of(21), second = id_of(2);
    struct job_spec first = given(&s, 0), then = given(&s, 1);
    assert_memory_equal(&first.task_id, &urgent, sizeof(urgent));
    assert_memory_equal(&then.task_id, &oldest, sizeof(oldest));
    assert_int_equal(core_queue_place(s.c, &other).position, 1);
    assert_int_equal(core_queue_place(s.c, &second).position, 2);
    stage_close(&s);
}

/* With one place, nobody holds anything when it becomes free: owners take turns all the same. */
static void owners_take_turns_for_a_single_place(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 1;
    struct stage s;
    stage_open(&s, conf);
    for (unsigned i = 1; i <= 5; i++)
        create_as(&s, i, 800, 0);
    poll(&s, 1, 8);
    take(&s);
    struct job_spec first = given(&s, 0);
    create_as(&s, 21, 801, 0);
    struct uuid late = id_of(21), second = id_of(2);
    take(&s);
    assert_int_equal(core_queue_place(s.c, &late).position, 1);
    assert_int_equal(core_queue_place(s.c, &second).position, 2);
    result_of(&s, 1, &first, OUTCOME_FAILED_FOR_GOOD, true);
    poll(&s, 1, 8);
    take(&s);
    struct job_spec next = given(&s, 0);
    assert_memory_equal(&next.task_id, &late, sizeof(late));
    stage_close(&s);
}

static void a_silent_workers_job_goes_to_another_and_its_result_is_stale(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec lost = given(&s, 0);
    assert_int_equal(lost.token, 1);
    pass(&s, 4000);
    poll(&s, 2, 1);
    take(&s);
    pass(&s, 1100);
    poll(&s, 2, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    struct job_spec again = given(&s, 0);
    assert_int_equal(again.token, 2);
    assert_int_equal(core_counts(s.c).holding, 1);

    result_of(&s, 1, &lost, OUTCOME_SUCCEEDED, false);
    assert_int_equal(s.e.jobs.n, 0);
    assert_int_equal(core_counts(s.c).stale_results, 1);
    /* A worker that comes back must let go of it. */
    struct job_ref ref = {lost.job_id, lost.token};
    poll_as(&s, 1, 1, &ref, 1);
    take(&s);
    assert_int_equal(s.e.dispatches.v[0].work.abandons.n, 1);
    result_of(&s, 2, &again, OUTCOME_SUCCEEDED, false);
    assert_int_equal(s.e.jobs.v[0].state, JOB_SUCCEEDED);
    stage_close(&s);
}

static void a_lost_answer_is_given_again(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec j = given(&s, 0);
    poll_as(&s, 1, 1, NULL, 0); /* names no job: it has not heard of it */
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(given(&s, 0).token, j.token);
    struct job_ref ref = {j.job_id, j.token};
    poll_as(&s, 1, 0, &ref, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 0);
    stage_close(&s);
}

static void a_failed_start_is_retried_then_failed_and_cleaned_up(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    for (int attempt = 1; attempt <= 3; attempt++) {
        poll(&s, 1, 1);
        take(&s);
        struct job_spec j = given(&s, 0);
        assert_int_equal(j.attempt, attempt);
        result_of(&s, 1, &j, OUTCOME_FAILED, false);
        pass(&s, 4000);
    }
    /* Given up; the compute counts until a clean-up says it is gone. */
    assert_int_equal(core_counts(s.c).holding, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec cleanup = given(&s, 0);
    assert_int_equal(cleanup.kind, JOB_STOP);
    result_of(&s, 1, &cleanup, OUTCOME_SUCCEEDED, true);
    assert_int_equal(core_counts(s.c).holding, 0);
    assert_int_equal(command(&s, TASK_RESUME, 1, 501), REFUSAL_NONE);
    stage_close(&s);
}

static void commands_follow_the_state(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    assert_int_equal(command(&s, TASK_PAUSE, 9, 500), REFUSAL_TASK_UNKNOWN);
    running_task(&s, 1);
    assert_int_equal(command(&s, TASK_RESUME, 1, 500), REFUSAL_ALREADY_RUNNING);
    assert_int_equal(command(&s, TASK_UPDATE_INPUT, 1, 0), REFUSAL_NOT_PAUSED);
    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 501), REFUSAL_NONE);
    struct job_spec stop = given(&s, 0);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 501), REFUSAL_NONE); /* asked again */
    assert_int_equal(s.e.builds_new.n, 0);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 502), REFUSAL_BUILD_ACTIVE);
    assert_int_equal(command(&s, TASK_DELETE, 1, 503), REFUSAL_BUILD_ACTIVE);
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    assert_int_equal(command(&s, TASK_UPDATE_INPUT, 1, 0), REFUSAL_NONE);
    assert_string_equal(s.e.tasks.v[0].prompt, "echo other");
    assert_int_equal(command(&s, TASK_RESUME, 1, 504), REFUSAL_NONE);
    assert_string_equal(s.e.builds_new.v[0].reason, "task_resume");
    stage_close(&s);
}

static void a_waiting_task_is_deleted_at_once(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    take(&s);
    assert_int_equal(command(&s, TASK_DELETE, 1, 500), REFUSAL_NONE);
    assert_int_equal(s.e.jobs.v[0].state, JOB_CANCELED);
    assert_int_equal(s.e.builds_new.v[0].job_state, JOB_SUCCEEDED);
    assert_true(s.e.workspaces.v[0].deleted);
    assert_int_equal(core_counts(s.c).tasks, 0);
    poll(&s, 1, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 0);
    stage_close(&s);
}

static void tasks_at_rest_make_room_and_working_ones_do_not(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 2;
    struct stage s;
    stage_open(&s, conf);
    struct job_spec resting = running_task(&s, 1), working = running_task(&s, 2);
    core_agent_said(s.c, &working.agent_id, "working", "ready");
    core_agent_said(s.c, &resting.agent_id, "complete", "ready");
    create(&s, 3);
    poll(&s, 1, 4);
    pass(&s, 500);
    assert_int_equal(jobs_given(&s), 0); /* its grace is not over */
    poll(&s, 1, 4);
    pass(&s, 600);
    assert_int_equal(jobs_given(&s), 1);
    struct job_spec stop = given(&s, 0);
    assert_int_equal(stop.kind, JOB_STOP);
    assert_memory_equal(&stop.task_id, &resting.task_id, sizeof(stop.task_id));
    poll_as(&s, 1, 3, &(struct job_ref){stop.job_id, stop.token}, 1);
    pass(&s, 500);
    assert_int_equal(core_counts(s.c).made_room, 1); /* one waits, one goes */
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    poll(&s, 1, 4);
    take(&s);
    assert_int_equal(core_counts(s.c).holding, 2);
    stage_close(&s);
}

static void nobody_makes_room_for_a_start_that_no_worker_could_take(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 1;
    struct stage s;
    stage_open(&s, conf);
    struct job_spec resting = running_task(&s, 1);
    core_agent_said(s.c, &resting.agent_id, "complete", "ready");
    struct task_create r = {.task_id = id_of(2),
        .organization_id = id_of(901),
        .owner_id = id_of(801),
        .initiator_id = id_of(801),
        .template_id = id_of(902),
        .version_id = id_of(903),
        .file_id = id_of(904),
        .provisioner = "elsewhere",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .name = "stranded",
        .display_name = "",
        .prompt = "echo hello"};
    core_task_create(s.c, &r, ticket(2));
    for (int i = 0; i < 8; i++) {
        poll(&s, 1, 4);
        pass(&s, 500);
    }
    assert_int_equal(core_counts(s.c).made_room, 0);
    create(&s, 3); /* this one could start */
    poll(&s, 1, 4);
    pass(&s, 500);
    assert_int_equal(core_counts(s.c).made_room, 1);
    stage_close(&s);
}

static void a_message_reaches_the_worker_that_holds_the_session(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid send = id_of(600), w = id_of(1);
    core_task_send(s.c, &j.task_id, &j.owner_id, &send, "hello", ticket(5));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_TASK_INITIALIZING);
    core_agent_said(s.c, &j.agent_id, "idle", "ready");
    core_task_send(s.c, &j.task_id, &j.owner_id, &send, "hello", ticket(5));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_APP_UNREACHABLE);

    core_agent_open(s.c, &w, &j.agent_id, &j.agent_token, ticket(6));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    core_task_send(s.c, &j.task_id, &j.owner_id, &send, "hello", ticket(5));
    take(&s);
    assert_int_equal(s.e.replies.n, 0);
    poll(&s, 1, 1);
    take(&s);
    assert_string_equal(s.e.dispatches.v[0].work.messages.v[0].content, "hello");
    core_send_result(s.c, &send, REFUSAL_APP_BUSY, "");
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_APP_BUSY);
    stage_close(&s);
}

static void a_message_is_refused_while_the_app_is_not_well(void **state)
{
    (void)state;
    static const struct {
        const char *slug, *health;
        enum refusal refusal;
    } rows[] = {
        {"shell", "initializing", REFUSAL_TASK_INITIALIZING},
        {"shell", "healthy",      REFUSAL_NONE             },
        {"shell", "disabled",     REFUSAL_NONE             },
        {"shell", "unhealthy",    REFUSAL_TASK_NOT_ACTIVE  },
        {"other", "unhealthy",    REFUSAL_NONE             }, /* not the task's app */
        {NULL,    "initializing", REFUSAL_TASK_INITIALIZING},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        struct job_spec j = running_task(&s, 1);
        struct uuid one = id_of(1), send = id_of(600);
        core_agent_said(s.c, &j.agent_id, "idle", "ready");
        core_agent_open(s.c, &one, &j.agent_id, &j.agent_token, ticket(6));
        take(&s);
        core_agent_health(s.c, &j.agent_id, rows[i].slug, rows[i].health);
        core_task_send(s.c, &j.task_id, &j.owner_id, &send, "hello", ticket(5));
        take(&s);
        if (rows[i].refusal == REFUSAL_NONE)
            assert_int_equal(s.e.replies.n, 0); /* on its way */
        else
            assert_int_equal(last_refusal(&s), rows[i].refusal);
        stage_close(&s);
    }
}

/* An import's result with these apps; what becomes rows is in the stage's effects. */
static void import(struct stage *s, const struct row_version_app *apps, size_t n, const char *slug)
{
    struct template_import i = {
        .version_id = id_of(903), .job_id = id_of(70), .provisioner = "local"};
    core_template_import(s->c, &i, ticket(1));
    poll(s, 1, 1);
    take(s);
    struct job_spec j = given(s, 0);
    struct uuid one = id_of(1);
    struct job_result r = {
        .job = {j.job_id, j.token},
        .outcome = OUTCOME_SUCCEEDED,
        .has_ai_task = true,
        .app_slug = slug,
        .apps = apps,
        .n_apps = n
    };
    core_job_result(s->c, &one, &r);
    take(s);
}

static void an_import_tells_the_apps_of_its_version(void **state)
{
    (void)state;
    struct row_version_app apps[3];
    for (size_t i = 0; i < COUNT(apps); i++)
        apps[i] = (struct row_version_app){.display_name = "", .icon = "", .url = ""};
    apps[0].slug = "preview";
    apps[1].slug = "claude";
    apps[1].has_health_check = true;
    apps[2].slug = "";
    struct stage s;
    stage_open(&s, default_conf());
    import(&s, apps, COUNT(apps), "claude");
    assert_int_equal(s.e.version_apps.n, 2);
    assert_string_equal(s.e.version_apps.v[0].slug, "preview");
    assert_false(s.e.version_apps.v[0].is_task_app);
    assert_true(s.e.version_apps.v[1].is_task_app);
    assert_true(s.e.version_apps.v[1].has_health_check);
    stage_close(&s);

    stage_open(&s, default_conf());
    import(&s, NULL, 0, "shell"); /* a worker of an earlier version */
    assert_int_equal(s.e.version_apps.n, 1);
    assert_string_equal(s.e.version_apps.v[0].slug, "shell");
    assert_true(s.e.version_apps.v[0].is_task_app);
    assert_false(s.e.version_apps.v[0].has_health_check);
    stage_close(&s);

    stage_open(&s, default_conf());
    import(&s, NULL, 0, NULL);
    assert_int_equal(s.e.version_apps.n, 0);
    stage_close(&s);
}

/* Numbering costs O(queue): not for every create that asks for its place. */
static void a_new_task_of_a_long_queue_stands_last_until_it_is_numbered(void **state)
{
    (void)state;
    struct core_conf conf = default_conf();
    conf.cap = 1;
    struct stage s;
    stage_open(&s, conf);
    for (unsigned i = 1; i <= 5000; i++)
        create(&s, i);
    take(&s);
    struct uuid first = id_of(1), late = id_of(6000), other = id_of(6001);
    assert_int_equal(core_queue_place(s.c, &first).position, 1);
    create(&s, 6000);
    create_as(&s, 6001, 801, 0);
    assert_int_equal(core_queue_place(s.c, &late).position, 5001);
    assert_int_equal(core_queue_place(s.c, &other).position, 5002); /* its owner's first: later */
    pass(&s, 10);
    assert_int_equal(core_queue_place(s.c, &other).position, 2);
    assert_int_equal(core_queue_place(s.c, &late).position, 5002);
    stage_close(&s);
}

static void a_message_follows_the_agent_to_another_worker(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid send = id_of(600), one = id_of(1), two = id_of(2);
    core_agent_said(s.c, &j.agent_id, "idle", "ready");
    core_agent_open(s.c, &one, &j.agent_id, &j.agent_token, ticket(6));
    core_task_send(s.c, &j.task_id, &j.owner_id, &send, "hello", ticket(5));
    poll(&s, 1, 1);
    take(&s);
    assert_int_equal(s.e.dispatches.v[0].work.messages.n, 1); /* and worker 1 dies with it */
    poll(&s, 2, 1);
    core_agent_open(s.c, &two, &j.agent_id, &j.agent_token, ticket(7));
    take(&s);
    assert_string_equal(s.e.dispatches.v[0].work.messages.v[0].content, "hello");
    pass(&s, 9000);
    pass(&s, 2000);
    assert_int_equal(last_refusal(&s), REFUSAL_APP_UNREACHABLE);
    stage_close(&s);
}

static void an_agent_that_is_gone_is_not_left_working(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid one = id_of(1);
    core_agent_said(s.c, &j.agent_id, "working", "ready");
    core_agent_open(s.c, &one, &j.agent_id, &j.agent_token, ticket(6));
    struct worker_poll p = {.worker_id = one,
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local",
        .knows_us = true,
        .closed = &j.agent_id,
        .n_closed = 1};
    core_worker_poll(s.c, &p, ticket(7));
    for (int second = 0; second < 29; second++) {
        pass(&s, 1000);
        assert_int_equal(s.e.statuses.n, 0);
        poll(&s, 1, 1);
    }
    pass(&s, 1500);
    assert_int_equal(s.e.statuses.n, 1);
    assert_string_equal(s.e.statuses.v[0].state, "failure");
    poll(&s, 1, 1);
    pass(&s, 3000);
    assert_int_equal(s.e.statuses.n, 0); /* said once */
    core_agent_open(s.c, &one, &j.agent_id, &j.agent_token, ticket(8));
    take(&s);
    assert_string_equal(s.e.statuses.v[0].state, "working");
    stage_close(&s);
}

static void a_running_start_is_canceled_and_cleaned_up(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec j = given(&s, 0);
    struct uuid t = id_of(1), who = id_of(800);
    poll(&s, 1, 0);
    core_task_command(s.c, TASK_CANCEL, &t, &who, &j.build_id, "", ticket(7));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    assert_int_equal(s.e.dispatches.v[0].work.cancels.n, 1);
    core_task_command(s.c, TASK_CANCEL, &t, &who, &j.build_id, "", ticket(7));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_JOB_CANCELED);
    result_of(&s, 1, &j, OUTCOME_CANCELED, false);
    assert_int_equal(s.e.jobs.v[0].state, JOB_CANCELED);
    assert_int_equal(s.e.jobs_new.n, 1);
    core_task_command(s.c, TASK_CANCEL, &t, &who, &j.build_id, "", ticket(7));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_JOB_OVER);
    stage_close(&s);
}

static void a_new_start_revokes_the_agent_before(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid w = id_of(1);
    core_agent_open(s.c, &w, &j.agent_id, &j.agent_token, ticket(6));
    poll(&s, 1, 2);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_NONE);
    struct job_spec stop = given(&s, 0);
    result_of(&s, 1, &stop, OUTCOME_SUCCEEDED, true);
    poll(&s, 1, 2);
    assert_int_equal(command(&s, TASK_RESUME, 1, 501), REFUSAL_NONE);
    assert_int_equal(s.e.dispatches.v[0].work.revoked.n, 1);
    core_agent_open(s.c, &w, &j.agent_id, &j.agent_token, ticket(6));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_TOKEN_UNKNOWN);
    stage_close(&s);
}

static void a_new_leader_carries_on(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct uuid w = id_of(1);
    core_load_worker(s.c, &w, "w", "h", "local,null", 3000);
    struct load_task run = {.id = id_of(1),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .workspace_id = id_of(2),
        .build_id = id_of(3),
        .job_id = id_of(4),
        .worker_id = w,
        .agent_id = id_of(5),
        .agent_token = id_of(6),
        .name = "one",
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .host = "h",
        .build_number = 1,
        .attempt = 1,
        .token = 7,
        .kind = JOB_START,
        .state = JOB_RUNNING,
        .holds_compute = true};
    core_load_task(s.c, &run);
    struct load_task failed = run;
    failed.id = id_of(11);
    failed.job_id = id_of(14);
    failed.agent_id = id_of(15);
    failed.name = "two";
    failed.state = JOB_FAILED;
    core_load_task(s.c, &failed);
    core_load_done(s.c);
    take(&s);
    assert_int_equal(core_counts(s.c).holding, 2);
    assert_int_equal(s.e.jobs_new.n, 1); /* the clean-up of the failed one */

    struct job_ref ref = {run.job_id, run.token};
    poll_as(&s, 1, 1, &ref, 1);
    take(&s);
    assert_int_equal(jobs_given(&s), 1);
    assert_int_equal(given(&s, 0).kind, JOB_STOP);
    assert_int_equal(s.e.dispatches.v[0].work.abandons.n, 0);
    struct job_spec j = {.job_id = run.job_id, .token = run.token};
    result_of(&s, 1, &j, OUTCOME_SUCCEEDED, false);
    assert_int_equal(s.e.jobs.v[0].state, JOB_SUCCEEDED);
    assert_int_equal(s.e.jobs.v[0].token_was, 7);
    stage_close(&s);
}

static void a_draining_worker_gets_nothing_and_hands_back_without_a_try(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    poll(&s, 1, 1);
    take(&s);
    struct job_spec j = given(&s, 0);
    struct worker_poll p = {
        .worker_id = id_of(1),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local",
        .free_slots = 5,
        .draining = true,
        .knows_us = true,
        .running = &(struct job_ref){j.job_id, j.token},
        .n_running = 1
    };
    core_worker_poll(s.c, &p, ticket(10001));
    result_of(&s, 1, &j, OUTCOME_HANDED_BACK, true);
    assert_int_equal(jobs_given(&s), 0);
    poll(&s, 2, 1);
    take(&s);
    assert_int_equal(given(&s, 0).attempt, 1); /* not a try that counts */
    assert_int_equal(given(&s, 0).token, 2);
    stage_close(&s);
}

static void every_transition_is_decided_by_the_table(void **state)
{
    (void)state;
    size_t legal = 0;
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int event = 0; event < JOB_EVENT_COUNT; event++) {
            enum job_state next;
            bool ok = job_state_next((enum job_state)from, (enum job_event)event, &next);
            legal += ok;
            /* Over is over, but for the dead who are called back. */
            assert_true(!ok || !job_state_is_over((enum job_state)from) ||
                        (from == JOB_FAILED && event == JOB_REVIVE));
            const char *why = job_state_reason((enum job_state)from, (enum job_event)event);
            assert_int_equal(ok, why[0] != '\0');
        }
    }
    assert_int_equal(legal, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_writes_all_rows_and_answers_once),
        cmocka_unit_test(create_twice_is_once),
        cmocka_unit_test(a_name_is_taken_until_the_workspace_is_gone),
        cmocka_unit_test(the_cap_holds_and_the_next_starts_when_one_stops),
        cmocka_unit_test(reject_refuses_at_the_cap),
        cmocka_unit_test(owners_share_fairly_and_priority_comes_first),
        cmocka_unit_test(owners_take_turns_for_a_single_place),
        cmocka_unit_test(a_silent_workers_job_goes_to_another_and_its_result_is_stale),
        cmocka_unit_test(a_lost_answer_is_given_again),
        cmocka_unit_test(a_failed_start_is_retried_then_failed_and_cleaned_up),
        cmocka_unit_test(commands_follow_the_state),
        cmocka_unit_test(a_waiting_task_is_deleted_at_once),
        cmocka_unit_test(tasks_at_rest_make_room_and_working_ones_do_not),
        cmocka_unit_test(nobody_makes_room_for_a_start_that_no_worker_could_take),
        cmocka_unit_test(a_message_reaches_the_worker_that_holds_the_session),
        cmocka_unit_test(a_message_is_refused_while_the_app_is_not_well),
        cmocka_unit_test(a_message_follows_the_agent_to_another_worker),
        cmocka_unit_test(an_import_tells_the_apps_of_its_version),
        cmocka_unit_test(a_new_task_of_a_long_queue_stands_last_until_it_is_numbered),
        cmocka_unit_test(an_agent_that_is_gone_is_not_left_working),
        cmocka_unit_test(a_running_start_is_canceled_and_cleaned_up),
        cmocka_unit_test(a_new_start_revokes_the_agent_before),
        cmocka_unit_test(a_new_leader_carries_on),
        cmocka_unit_test(a_draining_worker_gets_nothing_and_hands_back_without_a_try),
        cmocka_unit_test(every_transition_is_decided_by_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
