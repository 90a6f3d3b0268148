/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever workers do (lose answers, lose reports, forget sessions, restart, know late what
 * Postgres has), every report arrives in order, without a gap, once after dropping repeated
 * numbers. Method: the real session over the real bus against fake workers in the same loop; their
 * faults come from a seeded generator, printed when a test fails.
 */
#include "tests/unit/agent/lab.h"

#include "agent/session.h"
#include "core/base/list.h"
#include "core/bus/bus.h"

#define IMPATIENT_MS 150

/* nng 1.5 now and then forgets a message that was on its way into a connection that ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
}

/* ---- a fake worker, and the Postgres behind it ---- */

struct postgres {
    uint64_t committed;  /* reports it has, 1..committed */
    uint64_t watermark;  /* as far as workers have heard */
    unsigned n_repeated; /* reports that came more than once */
    bool out_of_order;   /* a report with the wrong content */
};

struct faults {
    unsigned lose_answer, lose_reports, overloaded, forget, restart; /* percent of batches */
};

struct worker {
    struct world *world;
    char name[16];
    struct bus_server *server;
    struct bus_call *poll;
    struct timer *poll_timer;
    uint64_t session_id;
    bool is_mute; /* takes everything, answers nothing */
    enum refusal refuse_hello;
    unsigned n_hellos, n_polls, n_batches, n_answers;
    uint64_t first_seq; /* of the newest batch */
};

struct world {
    struct lab lab;
    struct loop *loop;
    struct reports *reports;
    struct session *session;
    struct postgres pg;
    struct timer *watermark_timer, *add_timer, *restart_timer;
    struct faults faults;
    uint64_t seed;
    struct worker workers[2];
    struct worker *to_restart;
    unsigned n_total, n_added;
    unsigned n_superseded, n_messages, n_withdrawn;
    bool when_stable, is_slow; /* the message's; answered later */
    bool withdraw;
    struct uuid message_id; /* given out with every poll until answered; nil: none */
    enum refusal answer_code;
    enum refusal answered_code;
    char answered_detail[160];
    bool lose_first_answer;
};

static bool roll(struct world *w, unsigned percent)
{
    uint64_t x = w->seed += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return (x >> 33) % 100 < percent;
}

static void answer_poll(void *arg)
{
    struct worker *k = arg;
    if (k->poll == NULL)
        return;
    struct bus_call *call = k->poll;
    k->poll = NULL;
    timer_stop(k->poll_timer);
    Stint__V1__AgentWork work = STINT__V1__AGENT_WORK__INIT;
    work.watermark = k->world->pg.watermark;
    Stint__V1__AgentMessage message = STINT__V1__AGENT_MESSAGE__INIT, *messages[] = {&message};
    if (!uuid_is_nil(&k->world->message_id)) {
        message.send_id = wire_uuid(&k->world->message_id);
        message.content = (char *)(uintptr_t) "do it";
        message.when_stable = k->world->when_stable;
        message.withdraw = k->world->withdraw;
        work.message = messages;
        work.n_message = 1;
    }
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_WORK);
    reply.agent_work = &work;
    bus_reply(call, &reply);
}

static void on_watermark(void *arg)
{
    struct world *w = arg;
    w->pg.watermark = w->pg.committed;
    for (size_t i = 0; i < 2; i++)
        answer_poll(&w->workers[i]);
}

static void commit(struct postgres *pg, const Stint__V1__Report *r)
{
    if (r->seq <= pg->committed) {
        pg->n_repeated++;
    } else if (r->seq == pg->committed + 1) {
        char expected[32];
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)r->seq);
        pg->committed++;
        pg->out_of_order |= strcmp(r->lifecycle->state, expected) != 0;
    }
}

static void worker_up(struct worker *k);

static void worker_down(struct worker *k)
{
    k->poll = NULL;
    bus_server_free(k->server);
    k->server = NULL;
    k->session_id = 0;
}

static void on_restart(void *arg)
{
    struct world *w = arg;
    if (w->to_restart->server != NULL)
        worker_down(w->to_restart);
    worker_up(w->to_restart);
}

static void take_hello(struct worker *k, struct bus_call *call)
{
    k->n_hellos++;
    k->session_id += 1 + k->n_hellos;
    Stint__V1__AgentWelcome welcome = STINT__V1__AGENT_WELCOME__INIT;
    welcome.code = k->refuse_hello;
    welcome.session_id = k->session_id;
    welcome.watermark = k->world->pg.watermark;
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_WELCOME);
    reply.agent_welcome = &welcome;
    bus_reply(call, &reply);
}

static void take_poll(struct worker *k, struct bus_call *call, const Stint__V1__AgentPoll *poll)
{
    struct world *w = k->world;
    k->n_polls++;
    k->poll = call;
    if (poll->watermark < w->pg.watermark || !uuid_is_nil(&w->message_id))
        answer_poll(k);
    else
        timer_start(k->poll_timer, 60, 0);
}

static void take_reports(
    struct worker *k, struct bus_call *call, const Stint__V1__AgentReports *reports)
{
    struct world *w = k->world;
    k->n_batches++;
    k->first_seq = reports->report[0]->seq;
    if (roll(w, w->faults.overloaded)) {
        bus_reply_status(call, REFUSAL_OVERLOADED, "");
        return;
    }
    if (roll(w, w->faults.forget)) {
        k->session_id++;
        bus_reply_status(call, REFUSAL_SESSION_UNKNOWN, "");
        return;
    }
    if (!roll(w, w->faults.lose_reports)) {
        for (size_t i = 0; i < reports->n_report; i++)
            commit(&w->pg, reports->report[i]);
        timer_start(w->watermark_timer, roll(w, 30) ? 40 : 1, 0);
    }
    if (roll(w, w->faults.restart)) {
        w->to_restart = k;
        timer_start(w->restart_timer, 0, 0);
    }
    if (!roll(w, w->faults.lose_answer))
        bus_reply_status(call, REFUSAL_NONE, "");
}

static void take_answer(
    struct worker *k, struct bus_call *call, const Stint__V1__AgentAnswer *answer)
{
    struct world *w = k->world;
    k->n_answers++;
    if (w->lose_first_answer) {
        w->lose_first_answer = false;
        return;
    }
    w->answered_code = answer->result->code;
    snprintf(w->answered_detail, sizeof(w->answered_detail), "%s", answer->result->detail);
    w->message_id = (struct uuid){0};
    bus_reply_status(call, REFUSAL_NONE, "");
}

static void on_request(void *arg, struct bus_call *call, const Stint__V1__Envelope *request)
{
    struct worker *k = arg;
    if (k->is_mute)
        return;
    uint64_t session_id = k->session_id;
    switch (request->body_case) {
    case STINT__V1__ENVELOPE__BODY_AGENT_HELLO:
        take_hello(k, call);
        return;
    case STINT__V1__ENVELOPE__BODY_AGENT_POLL:
        session_id = request->agent_poll->session_id;
        break;
    case STINT__V1__ENVELOPE__BODY_AGENT_REPORTS:
        session_id = request->agent_reports->session_id;
        break;
    case STINT__V1__ENVELOPE__BODY_AGENT_ANSWER:
        session_id = request->agent_answer->session_id;
        break;
    default:
        fail_msg("an agent does not send this");
    }
    if (session_id != k->session_id)
        bus_reply_status(call, REFUSAL_SESSION_UNKNOWN, "");
    else if (request->body_case == STINT__V1__ENVELOPE__BODY_AGENT_POLL)
        take_poll(k, call, request->agent_poll);
    else if (request->body_case == STINT__V1__ENVELOPE__BODY_AGENT_REPORTS)
        take_reports(k, call, request->agent_reports);
    else
        take_answer(k, call, request->agent_answer);
}

static void worker_up(struct worker *k)
{
    char url[128];
    struct errctx ctx = {0};
    snprintf(url, sizeof(url), "ipc://%s/%s.sock", k->world->lab.path, k->name);
    assert_int_equal(bus_listen(k->world->loop, url, 256, on_request, k, &k->server, &ctx), ERR_OK);
}

/* ---- the world ---- */

static void add_number(struct world *w)
{
    char text[32];
    snprintf(text, sizeof(text), "%u", ++w->n_added);
    Stint__V1__Lifecycle body = STINT__V1__LIFECYCLE__INIT;
    body.state = text;
    Stint__V1__Report report = STINT__V1__REPORT__INIT;
    report.what_case = STINT__V1__REPORT__WHAT_LIFECYCLE;
    report.lifecycle = &body;
    assert_int_equal(reports_add(w->reports, &report), ERR_OK);
}

static void on_add(void *arg)
{
    struct world *w = arg;
    unsigned burst = roll(w, 2) ? 700 : roll(w, 50) ? 1 : 20;
    while (burst-- > 0 && w->n_added < w->n_total)
        add_number(w);
}

static void on_superseded(void *arg)
{
    struct world *w = arg;
    w->n_superseded++;
}

static void on_message(
    void *arg, const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    struct world *w = arg;
    struct uuid expected = lab_uuid(9);
    assert_true(uuid_eq(send_id, &expected));
    assert_string_equal(content, "do it");
    assert_int_equal(n, 5);
    assert_true(when_stable == w->when_stable);
    w->n_messages++;
    if (!w->is_slow)
        session_answer(
            w->session, send_id, w->answer_code, w->answer_code == REFUSAL_NONE ? "" : "why not");
}

static void on_withdraw(void *arg, const struct uuid *send_id)
{
    struct world *w = arg;
    w->n_withdrawn++;
    session_answer(w->session, send_id, REFUSAL_WITHDRAWN, "");
}

static void on_turn(void *arg)
{
    struct world *w = arg;
    if (w->session != NULL)
        session_pump(w->session);
}

static void start_session(struct world *w)
{
    struct session_conf conf = {.loop = w->loop,
        .reports = w->reports,
        .agent_id = lab_uuid(1),
        .token = "secret",
        .workers_dir = w->lab.path,
        .on_message = on_message,
        .on_withdraw = on_withdraw,
        .on_superseded = on_superseded,
        .arg = w,
        .silence_ms = IMPATIENT_MS};
    w->session = session_new(&conf);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct uuid agent_id = lab_uuid(1);
    struct errctx ctx = {0};
    lab_open(&w->lab);
    w->loop = loop_new();
    assert_int_equal(reports_open(w->lab.dir, &agent_id, &w->reports, &ctx), ERR_OK);
    w->watermark_timer = timer_new(w->loop, on_watermark, w);
    w->add_timer = timer_new(w->loop, on_add, w);
    w->restart_timer = timer_new(w->loop, on_restart, w);
    for (size_t i = 0; i < 2; i++) {
        w->workers[i].world = w;
        w->workers[i].poll_timer = timer_new(w->loop, answer_poll, &w->workers[i]);
        snprintf(w->workers[i].name, sizeof(w->workers[i].name), "worker%zu", i);
    }
    loop_on_turn(w->loop, on_turn, w);
    *state = w;
    return 0;
}

static bool is_not_syncing(void *arg)
{
    return !reports_is_syncing(((struct world *)arg)->reports);
}

static int teardown(void **state)
{
    struct world *w = *state;
    session_free(w->session);
    w->session = NULL;
    lab_run_until(w->loop, is_not_syncing, w);
    for (size_t i = 0; i < 2; i++) {
        bus_server_free(w->workers[i].server);
        timer_free(w->workers[i].poll_timer);
    }
    timer_free(w->watermark_timer);
    timer_free(w->add_timer);
    timer_free(w->restart_timer);
    reports_free(w->reports);
    loop_free(w->loop);
    lab_close(&w->lab);
    free(w);
    return 0;
}

static bool all_has_arrived(void *arg)
{
    struct world *w = arg;
    return w->n_added == w->n_total && session_is_settled(w->session);
}

/* Adds `n` reports over time and waits until the agent knows that all are in Postgres. */
static void run_all(struct world *w, unsigned n)
{
    w->n_total = n;
    timer_start(w->add_timer, 0, 1);
    lab_run_until(w->loop, all_has_arrived, w);
    timer_stop(w->add_timer);
    assert_int_equal(w->pg.committed, n);
    assert_false(w->pg.out_of_order);
}

static bool is_open(void *arg)
{
    return session_is_open(((struct world *)arg)->session);
}

/* ---- tests ---- */

static void test_all_arrive(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    run_all(w, 5000);
    assert_int_equal(w->pg.n_repeated, 0);
    assert_int_equal(w->workers[0].n_hellos, 1);
    assert_true(w->workers[0].n_batches < 2000); /* many in one */
}

static void with_faults(struct world *w, struct faults faults, unsigned n)
{
    w->faults = faults;
    worker_up(&w->workers[0]);
    worker_up(&w->workers[1]);
    start_session(w);
    run_all(w, n);
}

static void test_answers_are_lost(void **state)
{
    with_faults(*state, (struct faults){.lose_answer = 10}, 1500);
}

static void test_reports_are_lost_behind_the_worker(void **state)
{
    with_faults(*state, (struct faults){.lose_reports = 10}, 1500);
}

static void test_sessions_are_forgotten(void **state)
{
    struct world *w = *state;
    with_faults(w, (struct faults){.forget = 30}, 3000);
    assert_true(w->workers[0].n_hellos + w->workers[1].n_hellos > 1);
}

static void test_overloaded_workers_are_asked_again(void **state)
{
    with_faults(*state, (struct faults){.overloaded = 15}, 800);
}

static void test_workers_restart(void **state)
{
    with_faults(*state, (struct faults){.restart = 15}, 1500);
}

static void test_everything_at_once(void **state)
{
    struct world *w = *state;
    for (unsigned seed = 1; seed <= 3; seed++) {
        print_message("seed %u\n", seed);
        w->seed = seed * 7919;
        w->faults = (struct faults){
            .lose_answer = 4, .lose_reports = 4, .overloaded = 3, .forget = 4, .restart = 4};
        if (w->session == NULL) {
            worker_up(&w->workers[0]);
            worker_up(&w->workers[1]);
            start_session(w);
        }
        run_all(w, seed * 700);
    }
}

static bool third_hello_is_over(void *arg)
{
    struct world *w = arg;
    return w->workers[0].n_hellos >= 3;
}

static void test_no_worker_for_a_while(void **state)
{
    struct world *w = *state;
    /* A file that nobody listens on, as a dead worker leaves it, and one that is no socket's name.
     */
    worker_up(&w->workers[1]);
    char from[128], to[128];
    snprintf(from, sizeof(from), "%s/worker1.sock", w->lab.path);
    snprintf(to, sizeof(to), "%s/dead.sock", w->lab.path);
    assert_int_equal(rename(from, to), 0);
    worker_down(&w->workers[1]);
    lab_write(&w->lab, "notes.txt", "", 0);

    w->n_total = 10;
    on_add(w);
    start_session(w);
    w->to_restart = &w->workers[0];
    timer_start(w->restart_timer, 700, 0);
    run_all(w, 10);
    assert_int_equal(w->workers[0].n_hellos, 1);
}

static void test_mute_worker_is_left(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    lab_run_until(w->loop, is_open, w);
    w->workers[0].is_mute = true;
    worker_up(&w->workers[1]);
    run_all(w, 100);
    assert_true(w->workers[1].n_hellos >= 1);
}

static bool second_is_open(void *arg)
{
    struct world *w = arg;
    return w->workers[1].n_polls > 0;
}

static void test_lost_connection_is_noticed_at_once(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    lab_run_until(w->loop, is_open, w);
    worker_up(&w->workers[1]);
    worker_down(&w->workers[0]);
    lab_run_until(w->loop, second_is_open, w);
}

static bool is_over(void *arg)
{
    struct world *w = arg;
    return w->n_superseded > 0;
}

static void test_superseded(void **state)
{
    struct world *w = *state;
    w->workers[0].refuse_hello = REFUSAL_TOKEN_UNKNOWN;
    worker_up(&w->workers[0]);
    start_session(w);
    lab_run_until(w->loop, is_over, w);
    assert_true(session_is_settled(w->session));
    assert_int_equal(w->n_superseded, 1);
}

static void test_refused_hello_is_tried_again(void **state)
{
    struct world *w = *state;
    w->workers[0].refuse_hello = REFUSAL_STORE_DOWN;
    worker_up(&w->workers[0]);
    start_session(w);
    lab_run_until(w->loop, third_hello_is_over, w);
    w->workers[0].refuse_hello = REFUSAL_NONE;
    run_all(w, 3);
}

static bool message_is_answered(void *arg)
{
    struct world *w = arg;
    return uuid_is_nil(&w->message_id) && session_is_settled(w->session);
}

static void test_message_is_answered(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    w->message_id = lab_uuid(9);
    w->answer_code = REFUSAL_APP_BUSY;
    lab_run_until(w->loop, message_is_answered, w);
    assert_int_equal(w->answered_code, REFUSAL_APP_BUSY);
    assert_string_equal(w->answered_detail, "why not");
}

static bool message_came_again(void *arg)
{
    return ((struct world *)arg)->n_messages >= 3;
}

static void test_message_is_answered_later(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    w->message_id = lab_uuid(9);
    w->when_stable = w->is_slow = true;
    lab_run_until(w->loop, message_came_again, w);
    assert_int_equal(w->workers[0].n_answers, 0);
    session_answer(w->session, &w->message_id, REFUSAL_NONE, "");
    lab_run_until(w->loop, message_is_answered, w);
    assert_int_equal(w->answered_code, REFUSAL_NONE);
}

static void test_message_is_taken_back(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    w->message_id = lab_uuid(9);
    w->withdraw = true;
    lab_run_until(w->loop, message_is_answered, w);
    assert_int_equal(w->answered_code, REFUSAL_WITHDRAWN);
    assert_int_equal(w->n_messages, 0);
    assert_true(w->n_withdrawn > 0);
}

static void test_lost_answer_is_given_again(void **state)
{
    struct world *w = *state;
    worker_up(&w->workers[0]);
    start_session(w);
    w->message_id = lab_uuid(9);
    w->lose_first_answer = true;
    w->answered_code = REFUSAL_MALFORMED;
    lab_run_until(w->loop, message_is_answered, w);
    assert_int_equal(w->answered_code, REFUSAL_NONE);
    assert_true(w->workers[0].n_answers >= 2);
}

static bool has_resent(void *arg)
{
    struct world *w = arg;
    return w->workers[0].n_batches >= 3;
}

static void test_watermark_that_stands_still(void **state)
{
    struct world *w = *state;
    /* What the worker takes is lost behind it: the agent goes back to the first of them. */
    w->faults.lose_reports = 100;
    worker_up(&w->workers[0]);
    start_session(w);
    lab_run_until(w->loop, is_open, w);
    w->n_total = 5;
    while (w->n_added < 5)
        add_number(w);
    lab_run_until(w->loop, has_resent, w);
    assert_int_equal(w->workers[0].first_seq, 1);
    w->faults.lose_reports = 0;
    run_all(w, 5);
    assert_int_equal(w->workers[0].n_hellos, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_are_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports_are_lost_behind_the_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sessions_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overloaded_workers_are_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workers_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_worker_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mute_worker_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_connection_is_noticed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_superseded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_hello_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_is_answered_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_is_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_answer_is_given_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watermark_that_stands_still, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
