/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_message_test.c - messages that wait for an app: each once, in order, through pauses, new
 * sessions and new leaders; and taking them back.
 *
 * Message n has the id 600 + n; the only task is number 1, its agent is in session with worker 1
 * where a test says so.
 */
#include "tests/unit/scheduler/core_stage.h"

static struct uuid message_id(unsigned n)
{
    return id_of(600 + n);
}

static enum refusal queue(struct stage *s, unsigned n)
{
    struct uuid t = id_of(1), who = id_of(800), m = message_id(n);
    core_message_queue(s->c, &t, &who, &m, "hello", ticket(n));
    take(s);
    assert_int_equal(s->e.replies.n, 1);
    return last_refusal(s);
}

/* No reply yet counts as NOT_LEADER, which the core never says. */
static enum refusal withdraw(struct stage *s, unsigned n)
{
    struct uuid t = id_of(1), who = id_of(801), m = message_id(n);
    core_message_withdraw(s->c, &t, &who, &m, ticket(1000 + n));
    take(s);
    return s->e.replies.n > 0 ? last_refusal(s) : REFUSAL_NOT_LEADER;
}

static void answer(struct stage *s, unsigned n, enum refusal code)
{
    struct uuid m = message_id(n);
    core_send_result(s->c, &m, code, "so it is");
    take(s);
}

static void agent_comes(struct stage *s, const struct job_spec *start)
{
    struct uuid one = id_of(1);
    core_agent_open(s->c, &one, &start->agent_id, &start->agent_token, ticket(6));
}

/* What has gone to the worker since the last look: the number of its only message, 0: none.  What
 * it says is left to the store. */
static unsigned handed(struct stage *s, bool *ret_withdraw)
{
    poll(s, 1, 0);
    take(s);
    assert_in_range(s->mail.n, 0, 1);
    if (s->mail.n == 0)
        return 0;
    const struct agent_message m = s->mail.v[0];
    vec_clear(&s->mail);
    assert_null(m.content);
    assert_int_equal(m.when_stable, !m.withdraw);
    *ret_withdraw = m.withdraw;
    return (unsigned)(m.send_id.b[14] << 8 | m.send_id.b[15]) - 600;
}

static unsigned given_to_app(struct stage *s)
{
    bool is_withdrawal = false;
    unsigned n = handed(s, &is_withdrawal);
    assert_false(is_withdrawal);
    return n;
}

static unsigned asked_back(struct stage *s)
{
    bool is_withdrawal = true;
    unsigned n = handed(s, &is_withdrawal);
    assert_true(is_withdrawal);
    return n;
}

static void assert_over(const struct stage *s, unsigned n, const char *how)
{
    struct uuid m = message_id(n);
    for (size_t i = 0; i < s->e.messages_over.n; i++) {
        if (!uuid_eq(&s->e.messages_over.v[i].id, &m))
            continue;
        assert_string_equal(s->e.messages_over.v[i].state, how);
        return;
    }
    fail_msg("message %u is not over", n);
}

static struct job_spec running_task_in_session(struct stage *s)
{
    struct job_spec j = running_task(s, 1);
    core_agent_said(s->c, &j.agent_id, "working", "ready");
    agent_comes(s, &j);
    assert_int_equal(given_to_app(s), 0);
    return j;
}

static void pause_task(struct stage *s, unsigned build)
{
    poll(s, 1, 1);
    assert_int_equal(command(s, TASK_PAUSE, 1, build), REFUSAL_NONE);
    struct job_spec stop = given(s, 0);
    result_of(s, 1, &stop, OUTCOME_SUCCEEDED, true);
}

static struct job_spec resume_task(struct stage *s, unsigned build)
{
    poll(s, 1, 1);
    assert_int_equal(command(s, TASK_RESUME, 1, build), REFUSAL_NONE);
    struct job_spec start = given(s, 0);
    result_of(s, 1, &start, OUTCOME_SUCCEEDED, false);
    return start;
}

/* ---- order, once, bound ---- */

static void it_is_a_row_first_and_goes_when_the_agent_is_there(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    create(&s, 1);
    take(&s);
    assert_int_equal(queue(&s, 1), REFUSAL_NONE);
    assert_int_equal(s.e.messages_new.n, 1);
    assert_int_equal(s.e.messages_new.v[0].seq, 1);
    assert_string_equal(s.e.messages_new.v[0].content, "hello");
    assert_int_equal(s.e.changed.n, 1);
    assert_string_equal(s.e.audits.v[0].action, "queue_message");
    poll(&s, 1, 1);
    take(&s);
    struct job_spec j = given(&s, 0);
    assert_int_equal(given_to_app(&s), 0);
    agent_comes(&s, &j); /* before the result of the start has come */
    assert_int_equal(given_to_app(&s), 1);
    stage_close(&s);
}

static void they_go_in_order_one_at_a_time_each_once(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    for (unsigned n = 1; n <= 5; n++) {
        assert_int_equal(queue(&s, n), REFUSAL_NONE);
        assert_int_equal(s.e.messages_new.v[0].seq, n);
    }
    for (unsigned n = 1; n <= 5; n++) {
        assert_int_equal(given_to_app(&s), n);
        assert_int_equal(given_to_app(&s), 0); /* the others wait for its end */
        answer(&s, n, REFUSAL_NONE);
        assert_over(&s, n, "delivered");
        answer(&s, n, REFUSAL_NONE); /* said twice */
        assert_int_equal(s.e.messages_over.n, 0);
    }
    assert_int_equal(given_to_app(&s), 0);
    assert_int_equal(core_counts(s.c).delivered, 5);
    stage_close(&s);
}

static void asked_again_it_is_the_same_message(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    assert_int_equal(queue(&s, 1), REFUSAL_NONE);
    assert_int_equal(queue(&s, 1), REFUSAL_NONE);
    assert_int_equal(s.e.messages_new.n, 0);
    assert_int_equal(given_to_app(&s), 1);
    answer(&s, 1, REFUSAL_NONE);
    /* After its end only Postgres knows it: the store finds no new row, or nothing to hand over. */
    assert_int_equal(queue(&s, 1), REFUSAL_NONE);
    assert_int_equal(queue(&s, 2), REFUSAL_NONE);
    assert_int_equal(given_to_app(&s), 1);
    struct uuid one = message_id(1);
    core_message_gone(s.c, &one);
    take(&s);
    assert_int_equal(s.e.messages_over.n, 0);
    assert_int_equal(given_to_app(&s), 2);
    stage_close(&s);
}

static void a_hundred_wait_and_no_more(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    for (unsigned n = 1; n <= 100; n++)
        assert_int_equal(queue(&s, n), REFUSAL_NONE);
    assert_int_equal(queue(&s, 101), REFUSAL_MESSAGES_FULL);
    assert_int_equal(s.e.messages_new.n, 0);
    assert_int_equal(given_to_app(&s), 1);
    answer(&s, 1, REFUSAL_NONE);
    assert_int_equal(queue(&s, 101), REFUSAL_NONE);
    stage_close(&s);
}

static void only_a_task_with_an_app_takes_messages(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    assert_int_equal(queue(&s, 1), REFUSAL_TASK_UNKNOWN);
    struct task_create r = {.task_id = id_of(1),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .provisioner = "local",
        .app_slug = "",
        .name = "bare",
        .display_name = "",
        .prompt = ""};
    core_task_create(s.c, &r, ticket(1));
    take(&s);
    assert_int_equal(queue(&s, 1), REFUSAL_NO_APP);
    stage_close(&s);
}

/* ---- what the agent says ---- */

static void every_answer_has_its_end(void **state)
{
    (void)state;
    static const struct {
        enum refusal code;
        const char *row;     /* NULL: it goes on waiting */
        int64_t again_after; /* then it comes again */
    } rows[] = {
        {REFUSAL_NONE,            "delivered", 0   },
        {REFUSAL_APP_REJECTED,    "refused",   0   },
        {REFUSAL_WITHDRAWN,       "withdrawn", 0   },
        {REFUSAL_APP_UNREACHABLE, NULL,        2000},
        {REFUSAL_OVERLOADED,      NULL,        2000},
        {REFUSAL_APP_BUSY,        NULL,        2000},
        {REFUSAL_MALFORMED,       NULL,        2000},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        running_task_in_session(&s);
        queue(&s, 1);
        queue(&s, 2);
        assert_int_equal(given_to_app(&s), 1);
        answer(&s, 1, rows[i].code);
        if (rows[i].row != NULL) {
            assert_over(&s, 1, rows[i].row);
            assert_int_equal(given_to_app(&s), 2);
        } else {
            assert_int_equal(s.e.messages_over.n, 0);
            pass(&s, rows[i].again_after - 100);
            assert_int_equal(given_to_app(&s), 0);
            pass(&s, 100);
            assert_int_equal(given_to_app(&s), 1);
        }
        stage_close(&s);
    }
}

static void pauses_grow_to_half_a_minute_and_a_new_session_ends_them(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task_in_session(&s);
    queue(&s, 1);
    assert_int_equal(given_to_app(&s), 1);
    static const int64_t pauses[] = {2000, 4000, 8000, 16000, 30000, 30000};
    for (size_t i = 0; i < COUNT(pauses); i++) {
        answer(&s, 1, REFUSAL_APP_UNREACHABLE);
        for (int64_t ms = 0; ms < pauses[i] - 1000; ms += 1000) {
            pass(&s, 1000);
            assert_int_equal(given_to_app(&s), 0);
        }
        pass(&s, 1000);
        assert_int_equal(given_to_app(&s), 1);
    }
    answer(&s, 1, REFUSAL_APP_UNREACHABLE);
    agent_comes(&s, &j);
    assert_int_equal(given_to_app(&s), 1);
    answer(&s, 1, REFUSAL_APP_UNREACHABLE);
    pass(&s, 2000);
    assert_int_equal(given_to_app(&s), 1);
    stage_close(&s);
}

/* The agent may keep it for hours while its app works; a lost hand-over is mended by and by. */
static void one_without_an_answer_comes_again_after_half_a_minute(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    queue(&s, 1);
    assert_int_equal(given_to_app(&s), 1);
    for (int second = 1; second < 30; second++) {
        pass(&s, 1000);
        assert_int_equal(given_to_app(&s), 0);
    }
    pass(&s, 1000);
    assert_int_equal(given_to_app(&s), 1);
    stage_close(&s);
}

static void large_ones_go_to_a_worker_bit_by_bit(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct uuid one = id_of(1);
    struct job_spec starts[5];
    for (unsigned t = 1; t <= COUNT(starts); t++)
        starts[t - 1] = running_task(&s, t);
    for (unsigned t = 1; t <= COUNT(starts); t++) {
        const struct job_spec *j = &starts[t - 1];
        struct load_message m = {
            .id = message_id(t), .task_id = j->task_id, .seq = 1, .bytes = 1000 * 1024};
        core_load_message(s.c, &m);
        core_agent_open(s.c, &one, &j->agent_id, &j->agent_token, ticket(6));
    }
    static const size_t expected[] = {2, 2, 1, 0};
    for (size_t i = 0; i < COUNT(expected); i++) {
        poll(&s, 1, 0);
        take(&s);
        assert_int_equal(s.mail.n, expected[i]);
        vec_clear(&s.mail);
        pass(&s, 100);
    }
    stage_close(&s);
}

/* ---- pauses, crashes, leaders ---- */

static void a_paused_task_keeps_them_for_its_next_agent(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    queue(&s, 1);
    queue(&s, 2);
    assert_int_equal(given_to_app(&s), 1); /* and the agent stops with it */
    pause_task(&s, 500);
    assert_int_equal(queue(&s, 3), REFUSAL_NONE);
    pass(&s, 60000);
    assert_int_equal(given_to_app(&s), 0);
    struct job_spec start = resume_task(&s, 501);
    assert_int_equal(given_to_app(&s), 0);
    agent_comes(&s, &start);
    for (unsigned n = 1; n <= 3; n++) {
        assert_int_equal(given_to_app(&s), n);
        answer(&s, n, REFUSAL_NONE);
    }
    stage_close(&s);
}

static void while_it_stops_nothing_is_handed_over(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    poll(&s, 1, 1);
    assert_int_equal(command(&s, TASK_PAUSE, 1, 500), REFUSAL_NONE);
    assert_int_equal(queue(&s, 1), REFUSAL_NONE);
    assert_int_equal(given_to_app(&s), 0);
    stage_close(&s);
}

static void load_running(struct stage *s, struct load_task *t)
{
    *t = (struct load_task){.id = id_of(1),
        .owner_id = id_of(800),
        .version_id = id_of(903),
        .workspace_id = id_of(2),
        .build_id = id_of(3),
        .job_id = id_of(4),
        .worker_id = id_of(1),
        .agent_id = id_of(5),
        .agent_token = id_of(6),
        .name = "one",
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .app_state = "working",
        .lifecycle = "ready",
        .host = "h",
        .build_number = 1,
        .attempt = 1,
        .token = 7,
        .message_seq = 9,
        .kind = JOB_START,
        .state = JOB_SUCCEEDED,
        .holds_compute = true};
    core_load_task(s->c, t);
    for (unsigned n = 1; n <= 3; n++) {
        struct load_message m = {
            .id = message_id(n), .task_id = id_of(1), .seq = 6 + n, .bytes = 5};
        core_load_message(s->c, &m);
    }
    struct load_message stray = {.id = message_id(9), .task_id = id_of(77), .seq = 1};
    core_load_message(s->c, &stray);
    core_load_done(s->c);
    take(s);
}

static void a_new_leader_goes_on_where_the_old_one_was(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct load_task t;
    load_running(&s, &t);
    assert_int_equal(core_counts(s.c).messages, 3);
    assert_int_equal(queue(&s, 4), REFUSAL_NONE);
    assert_int_equal(s.e.messages_new.v[0].seq, 10);
    assert_int_equal(queue(&s, 2), REFUSAL_NONE); /* its gateway asks again */
    assert_int_equal(s.e.messages_new.n, 0);
    struct worker_poll p = {.worker_id = id_of(1),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local",
        .sessions = &t.agent_id,
        .n_sessions = 1,
        .sessions_complete = true};
    core_worker_poll(s.c, &p, ticket(7));
    take(&s);
    assert_int_equal(s.mail.n, 1);
    vec_clear(&s.mail);
    for (unsigned n = 1; n <= 4; n++) {
        answer(&s, n, REFUSAL_NONE);
        assert_over(&s, n, "delivered");
        assert_int_equal(given_to_app(&s), n < 4 ? n + 1 : 0);
    }
    stage_close(&s);
}

/* ---- taking back ---- */

static void one_that_the_agent_cannot_have_is_taken_back_at_once(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    queue(&s, 1);
    queue(&s, 2);
    assert_int_equal(given_to_app(&s), 1);
    assert_int_equal(withdraw(&s, 2), REFUSAL_NONE); /* not the first */
    assert_over(&s, 2, "withdrawn");
    assert_string_equal(s.e.audits.v[0].action, "withdraw_message");
    answer(&s, 1, REFUSAL_OVERLOADED); /* it said itself that it has it not */
    assert_int_equal(withdraw(&s, 1), REFUSAL_NONE);
    pass(&s, 3000);
    assert_int_equal(given_to_app(&s), 0);
    queue(&s, 3);
    assert_int_equal(given_to_app(&s), 3);
    pause_task(&s, 500); /* nothing of it is there any more */
    assert_int_equal(withdraw(&s, 3), REFUSAL_NONE);
    stage_close(&s);
}

static void one_that_the_agent_may_have_is_asked_back(void **state)
{
    (void)state;
    static const struct {
        enum refusal said, asker;
        const char *row;
    } rows[] = {
        {REFUSAL_WITHDRAWN,    REFUSAL_NONE,              "withdrawn"},
        {REFUSAL_NONE,         REFUSAL_MESSAGE_DELIVERED, "delivered"},
        {REFUSAL_APP_REJECTED, REFUSAL_MESSAGE_DELIVERED, "refused"  },
        {REFUSAL_OVERLOADED,   REFUSAL_NONE,              "withdrawn"}, /* crossed: never had it */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stage s;
        stage_open(&s, default_conf());
        running_task_in_session(&s);
        queue(&s, 1);
        queue(&s, 2);
        assert_int_equal(given_to_app(&s), 1);
        assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER);
        assert_int_equal(asked_back(&s), 1);
        answer(&s, 1, rows[i].said);
        assert_int_equal(last_refusal(&s), rows[i].asker);
        assert_ptr_equal(s.e.replies.v[0].ticket, ticket(1001));
        assert_over(&s, 1, rows[i].row);
        assert_int_equal(given_to_app(&s), 2);
        stage_close(&s);
    }
}

static void an_agent_that_does_not_answer_is_asked_on_and_the_asker_told(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct job_spec j = running_task_in_session(&s);
    queue(&s, 1);
    assert_int_equal(given_to_app(&s), 1);
    assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER);
    assert_int_equal(asked_back(&s), 1);
    answer(&s, 1, REFUSAL_APP_UNREACHABLE); /* of its worker: the agent has left */
    assert_int_equal(s.e.replies.n, 0);
    for (int second = 1; second < 10; second++) {
        pass(&s, 1000);
        assert_int_equal(asked_back(&s), 1);
    }
    pass(&s, 1000);
    assert_int_equal(last_refusal(&s), REFUSAL_APP_UNREACHABLE);
    assert_non_null(strstr(s.e.replies.v[0].detail, "Try again"));
    assert_int_equal(asked_back(&s), 1);
    assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER); /* tried again */
    assert_int_equal(withdraw(&s, 1), REFUSAL_OVERLOADED); /* and again: the newer one waits */
    agent_comes(&s, &j);
    assert_int_equal(asked_back(&s), 1); /* never again as a message */
    answer(&s, 1, REFUSAL_WITHDRAWN);
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    stage_close(&s);
}

static void a_pause_settles_what_the_agent_did_not(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    queue(&s, 1);
    assert_int_equal(given_to_app(&s), 1);
    assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER);
    pause_task(&s, 500);
    assert_over(&s, 1, "withdrawn");
    assert_int_equal(last_refusal(&s), REFUSAL_NONE);
    stage_close(&s);
}

static void a_new_leader_asks_for_the_first_and_takes_back_the_others(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    struct load_task t;
    load_running(&s, &t);
    assert_int_equal(withdraw(&s, 2), REFUSAL_NONE);
    assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER); /* the old one may have handed it over */
    stage_close(&s);
}

static void what_memory_does_not_know_postgres_does(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    withdraw(&s, 1);
    assert_int_equal(s.e.replies.v[0].kind, REPLY_MESSAGE);
    struct uuid one = message_id(1), task = id_of(1);
    assert_true(uuid_eq(&s.e.replies.v[0].message_id, &one));
    assert_true(uuid_eq(&s.e.replies.v[0].task_id, &task));
    /* A message of another task is as good as none. */
    create(&s, 2);
    take(&s);
    queue(&s, 1);
    struct uuid other = id_of(2), who = id_of(800);
    core_message_withdraw(s.c, &other, &who, &one, ticket(9));
    take(&s);
    assert_int_equal(s.e.replies.v[0].kind, REPLY_MESSAGE);
    assert_int_equal(s.e.messages_over.n, 0);
    stage_close(&s);
}

static void a_deleted_task_takes_its_messages_with_it(void **state)
{
    (void)state;
    struct stage s;
    stage_open(&s, default_conf());
    running_task_in_session(&s);
    queue(&s, 1);
    queue(&s, 2);
    assert_int_equal(given_to_app(&s), 1);
    assert_int_equal(withdraw(&s, 1), REFUSAL_NOT_LEADER);
    assert_int_equal(command(&s, TASK_DELETE, 1, 500), REFUSAL_NONE);
    assert_over(&s, 1, "withdrawn");
    assert_over(&s, 2, "withdrawn");
    assert_int_equal(s.e.replies.n, 2);
    assert_int_equal(core_counts(s.c).messages, 0);
    assert_int_equal(queue(&s, 3), REFUSAL_TASK_UNKNOWN);
    answer(&s, 1, REFUSAL_NONE); /* too late to count */
    assert_int_equal(s.e.messages_over.n, 0);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_row_first_and_goes_when_the_agent_is_there),
        cmocka_unit_test(they_go_in_order_one_at_a_time_each_once),
        cmocka_unit_test(asked_again_it_is_the_same_message),
        cmocka_unit_test(a_hundred_wait_and_no_more),
        cmocka_unit_test(only_a_task_with_an_app_takes_messages),
        cmocka_unit_test(every_answer_has_its_end),
        cmocka_unit_test(pauses_grow_to_half_a_minute_and_a_new_session_ends_them),
        cmocka_unit_test(one_without_an_answer_comes_again_after_half_a_minute),
        cmocka_unit_test(large_ones_go_to_a_worker_bit_by_bit),
        cmocka_unit_test(a_paused_task_keeps_them_for_its_next_agent),
        cmocka_unit_test(while_it_stops_nothing_is_handed_over),
        cmocka_unit_test(a_new_leader_goes_on_where_the_old_one_was),
        cmocka_unit_test(one_that_the_agent_cannot_have_is_taken_back_at_once),
        cmocka_unit_test(one_that_the_agent_may_have_is_asked_back),
        cmocka_unit_test(an_agent_that_does_not_answer_is_asked_on_and_the_asker_told),
        cmocka_unit_test(a_pause_settles_what_the_agent_did_not),
        cmocka_unit_test(a_new_leader_asks_for_the_first_and_takes_back_the_others),
        cmocka_unit_test(what_memory_does_not_know_postgres_does),
        cmocka_unit_test(a_deleted_task_takes_its_messages_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
