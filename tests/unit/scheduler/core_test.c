/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_test.c - the scheduler's core as a specification: events in, effects out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "core/base/cleanup.h"
#include "scheduler/core/core.h"

/* ---- a small stage: one core, its last effects, a counting source of ids ---- */

static uint64_t next_id;

static void counted(void *data, size_t n)
{
    memset(data, 0, n);
    next_id++;
    memcpy((char *)data + n - sizeof(next_id), &next_id, sizeof(next_id));
}

struct stage {
    struct core *c;
    struct core_conf conf;
    struct effects e;
    int64_t now_ms;
    VEC(struct job_ref) in_hand; /* of worker 1, as it has heard */
};

static struct core_conf default_conf(void)
{
    return (struct core_conf){.cap = 1000,
        .queue_max = 1000000,
        .lease_ms = 5000,
        .attempts_max = 3,
        .retry_ms = 1000,
        .make_room = true,
        .make_room_grace_ms = 1000,
        .random = counted};
}

static void stage_open(struct stage *s, struct core_conf conf)
{
    *s = (struct stage){.conf = conf, .now_ms = 1000000};
    s->c = core_new(&conf);
    core_set_now(s->c, s->now_ms);
}

static void stage_close(struct stage *s)
{
    core_free(s->c);
    effects_done(&s->e);
    vec_done(&s->in_hand);
}

static void take(struct stage *s)
{
    core_take_effects(s->c, &s->e);
    for (size_t i = 0; i < s->e.dispatches.n; i++) {
        const struct work *w = &s->e.dispatches.v[i].work;
        for (size_t k = 0; k < w->jobs.n; k++)
            *vec_push(&s->in_hand) = (struct job_ref){w->jobs.v[k].job_id, w->jobs.v[k].token};
    }
}

static void pass(struct stage *s, int64_t ms)
{
    s->now_ms += ms;
    core_set_now(s->c, s->now_ms);
    core_tick(s->c);
    take(s);
}

static struct uuid id_of(unsigned n)
{
    struct uuid u = {.b = {0xee}};
    u.b[14] = (uint8_t)(n >> 8);
    u.b[15] = (uint8_t)n;
    return u;
}

static void *ticket(unsigned n)
{
    return (void *)(uintptr_t)n;
}

static void create_as(struct stage *s, unsigned task, unsigned owner, int32_t priority)
{
    char name[16];
    snprintf(name, sizeof(name), "task-%u", task);
    struct task_create r = {.task_id = id_of(task),
        .organization_id = id_of(901),
        .owner_id = id_of(owner),
        .initiator_id = id_of(owner),
        .template_id = id_of(902),
        .version_id = id_of(903),
        .file_id = id_of(904),
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .name = name,
        .display_name = "",
        .prompt = "echo hello",
        .priority = priority};
    core_task_create(s->c, &r, ticket(task));
}

static void create(struct stage *s, unsigned task)
{
    create_as(s, task, 800, 0);
}

static void poll_as(
    struct stage *s, unsigned worker, int32_t free_slots, const struct job_ref *running, size_t n)
{
    struct worker_poll p = {.worker_id = id_of(worker),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local,null",
        .slots = 64,
        .free_slots = free_slots,
        .knows_us = true,
        .running = running,
        .n_running = n};
    core_worker_poll(s->c, &p, ticket(10000 + worker));
}

/* An honest worker 1 names what it has in hand; others have nothing. */
static void poll(struct stage *s, unsigned worker, int32_t free_slots)
{
    poll_as(s, worker, free_slots, s->in_hand.v, worker == 1 ? s->in_hand.n : 0);
}

static size_t jobs_given(const struct stage *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->e.dispatches.n; i++)
        n += s->e.dispatches.v[i].work.jobs.n;
    return n;
}

static struct job_spec given(const struct stage *s, size_t nth)
{
    for (size_t i = 0; i < s->e.dispatches.n; i++) {
        const struct work *w = &s->e.dispatches.v[i].work;
        if (nth < w->jobs.n)
            return w->jobs.v[nth];
        nth -= w->jobs.n;
    }
    fail_msg("no job was given");
    return (struct job_spec){0};
}

static void result_of(struct stage *s, unsigned worker, const struct job_spec *j,
    enum job_outcome outcome, bool clean)
{
    struct job_result r = {
        .job = {j->job_id, j->token},
        .outcome = outcome,
        .error = outcome == OUTCOME_SUCCEEDED ? "" : "it broke",
        .host = "h",
        .clean = clean,
        .app_slug = ""
    };
    struct uuid w = id_of(worker);
    core_job_result(s->c, &w, &r);
    for (size_t i = s->in_hand.n; i-- > 0;)
        if (uuid_eq(&s->in_hand.v[i].id, &j->job_id))
            vec_remove_swap(&s->in_hand, i);
    take(s);
}

static enum refusal last_refusal(const struct stage *s)
{
    assert_true(s->e.replies.n > 0);
    return s->e.replies.v[s->e.replies.n - 1].code;
}

static enum refusal command(struct stage *s, enum task_verb verb, unsigned task, unsigned build)
{
    struct uuid t = id_of(task), who = id_of(800), b = id_of(build);
    core_task_command(s->c, verb, &t, &who, &b, "echo other", ticket(77));
    take(s);
    return last_refusal(s);
}

/* Create, start and finish the start of one task; returns its start job. */
static struct job_spec running_task(struct stage *s, unsigned task)
{
    create(s, task);
    poll(s, 1, 1);
    take(s);
    struct job_spec j = given(s, 0);
    result_of(s, 1, &j, OUTCOME_SUCCEEDED, false);
    return j;
}

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

static void a_message_reaches_the_worker_that_holds_the_session(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid send = id_of(600), w = id_of(1);
    core_task_send(s.c, &j.task_id, &send, "hello", ticket(5));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_TASK_INITIALIZING);
    core_agent_said(s.c, &j.agent_id, "idle", "ready");
    core_task_send(s.c, &j.task_id, &send, "hello", ticket(5));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_APP_UNREACHABLE);

    core_agent_open(s.c, &w, &j.agent_id, &j.agent_token, ticket(6));
    take(&s);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    core_task_send(s.c, &j.task_id, &send, "hello", ticket(5));
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

static void a_message_follows_the_agent_to_another_worker(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task(&s, 1);
    struct uuid send = id_of(600), one = id_of(1), two = id_of(2);
    core_agent_said(s.c, &j.agent_id, "idle", "ready");
    core_agent_open(s.c, &one, &j.agent_id, &j.agent_token, ticket(6));
    core_task_send(s.c, &j.task_id, &send, "hello", ticket(5));
    poll(&s, 1, 1);
    take(&s);
    assert_int_equal(s.e.dispatches.v[0].work.messages.n, 1); /* and worker 1 dies with it */
    poll(&s, 2, 1);
    core_agent_open(s.c, &two, &j.agent_id, &j.agent_token, ticket(7));
    take(&s);
    assert_string_equal(s.e.dispatches.v[0].work.messages.v[0].content, "hello");
    pass(&s, 11000);
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
            assert_true(!ok || !job_state_is_over((enum job_state)from)); /* over is over */
            const char *why = job_state_reason((enum job_state)from, (enum job_event)event);
            assert_int_equal(ok, why[0] != '\0');
        }
    }
    assert_int_equal(legal, 14);
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
        cmocka_unit_test(a_message_reaches_the_worker_that_holds_the_session),
        cmocka_unit_test(a_message_follows_the_agent_to_another_worker),
        cmocka_unit_test(an_agent_that_is_gone_is_not_left_working),
        cmocka_unit_test(a_running_start_is_canceled_and_cleaned_up),
        cmocka_unit_test(a_new_start_revokes_the_agent_before),
        cmocka_unit_test(a_new_leader_carries_on),
        cmocka_unit_test(a_draining_worker_gets_nothing_and_hands_back_without_a_try),
        cmocka_unit_test(every_transition_is_decided_by_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
