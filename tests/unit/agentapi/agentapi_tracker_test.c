/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the conversation follows the rules of tracker.h to the snapshot and to the millisecond.
 * Method: a made-up terminal and a clock of our own; no time passes in these tests.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include "agent/agentapi/tracker.h"
#include "core/base/mem.h"

#define BOX "\n> "

struct world {
    struct tracker *t;
    struct strbuf screen, log; /* log: what went out, in order */
    int64_t now;
    bool is_stuck; /* the terminal takes nothing */
    struct tracker_message *restore;
    size_t n_restore;
    const char *restore_prompt;
    bool restore_sent;
};

static void on_type(void *arg, const char *text, size_t n)
{
    struct world *w = arg;
    strbuf_addf(&w->log, "type:%.*s;", (int)n, text);
}

static void on_enter(void *arg)
{
    strbuf_addstr(&((struct world *)arg)->log, "enter;");
}

static bool is_drained(void *arg)
{
    return !((struct world *)arg)->is_stuck;
}

static void on_ready(void *arg)
{
    struct world *w = arg;
    strbuf_addstr(&w->log, "ready;");
    if (w->restore_prompt != NULL)
        tracker_restore(w->t, w->restore, w->n_restore, w->restore_prompt, w->restore_sent);
}

static void on_prompt(void *arg)
{
    struct world *w = arg;
    assert_true(tracker_prompt_sent(w->t)); /* what is saved now says so */
    strbuf_addstr(&w->log, "prompt;");
}

static void on_message(void *arg, const struct tracker_message *m)
{
    struct world *w = arg;
    strbuf_addf(
        &w->log, "%s%d:%.40s;", m->role == ROLE_USER ? "user" : "agent", (int)m->id, m->text);
}

static void on_status(void *arg, enum tracker_status status)
{
    strbuf_addstr(&((struct world *)arg)->log, status == STATUS_STABLE ? "stable;" : "running;");
}

static void on_trouble(void *arg, const char *sentence)
{
    (void)sentence;
    strbuf_addstr(&((struct world *)arg)->log, "trouble;");
}

static void on_done(void *arg, enum err e)
{
    strbuf_addf(&((struct world *)arg)->log, "done:%s;", err_name(e));
}

static void begin(struct world *w, enum agent_type type, const char *prompt)
{
    *w = (struct world){.now = 1000};
    strbuf_init(&w->screen);
    strbuf_init(&w->log);
    const struct tracker_conf conf = {
        .type = type,
        .prompt = prompt,
        .io = {on_type, on_enter, is_drained, on_ready, on_prompt, on_message, on_status,
               on_trouble, w},
    };
    w->t = tracker_new(&conf, w->now, w->now * 1000);
}

static void end(struct world *w)
{
    tracker_free(w->t);
    strbuf_done(&w->screen);
    strbuf_done(&w->log);
}

static void show(struct world *w, const char *text)
{
    strbuf_clear(&w->screen);
    strbuf_addstr(&w->screen, text);
}

static void ticks(struct world *w, int n)
{
    for (int i = 0; i < n; i++, w->now += SNAPSHOT_MS)
        tracker_snapshot(w->t, w->now, w->now * 1000, &w->screen);
}

/* What has gone out since the last look. */
static void expect(struct world *w, const char *log)
{
    if (strcmp(w->log.s, log) != 0)
        fail_msg("\"%s\" instead of \"%s\"", w->log.s, log);
    strbuf_clear(&w->log);
}

static enum err send(struct world *w, const char *text)
{
    struct errctx ctx = {0};
    return tracker_send(w->t, w->now, w->now * 1000, text, strlen(text), on_done, w, &ctx);
}

/* Stable with a greeting. */
static void greet(struct world *w)
{
    show(w, "Hi" BOX);
    ticks(w, SNAPSHOTS_STABLE);
    strbuf_clear(&w->log);
}

static void test_stable_after_81_snapshots_alike(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    show(&w, "Hi" BOX);
    ticks(&w, SNAPSHOTS_STABLE - 1);
    expect(&w, "agent0:Hi;");
    assert_int_equal(tracker_status(w.t), STATUS_RUNNING);
    assert_false(tracker_is_settled(w.t));
    ticks(&w, 1);
    expect(&w, "ready;stable;");
    assert_true(tracker_is_settled(w.t));
    show(&w, "Hi there" BOX);
    ticks(&w, 1);
    assert_false(tracker_is_settled(w.t));
    expect(&w, "agent0:Hi there;running;");
    ticks(&w, SNAPSHOTS_STABLE - 1);
    expect(&w, "stable;");
    end(&w);
}

static void test_not_stable_without_a_box(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CLAUDE, NULL);
    show(&w, "Loading");
    ticks(&w, 4000);
    expect(&w, "agent0:Loading;");
    show(&w, "Ready" BOX);
    ticks(&w, SNAPSHOTS_STABLE);
    expect(&w, "agent0:Ready;ready;stable;");
    show(&w, "Do you want that?"); /* once ready, it may ask without a box */
    ticks(&w, SNAPSHOTS_STABLE);
    expect(&w, "agent0:Do you want that?;running;stable;");
    end(&w);
}

static void test_custom_agent_without_a_box_is_ready_after_10_s(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    ticks(&w, 1000);
    expect(&w, ""); /* an empty screen is not ready for anything */
    assert_true(tracker_is_settled(w.t));
    show(&w, "What do you want?");
    ticks(&w, 10000 / SNAPSHOT_MS);
    expect(&w, "agent0:What do you want?;");
    assert_false(tracker_is_settled(w.t));
    ticks(&w, 1);
    expect(&w, "ready;stable;");
    end(&w);
}

static void test_message_is_taken(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    greet(&w);
    assert_int_equal(send(&w, "hello"), ERR_OK);
    expect(&w, "type:hello;running;");
    ticks(&w, 2);
    show(&w, "Hi\n> hello"); /* its echo */
    ticks(&w, 1);
    expect(&w, ""); /* what the box shows is not the agent's word */
    ticks(&w, 400 / SNAPSHOT_MS - 1);
    expect(&w, "");
    ticks(&w, 1);
    expect(&w, "enter;");
    show(&w, "Hi\n> hello\nwell");
    ticks(&w, 1);
    expect(&w, "user1:hello;done:OK;");
    assert_int_equal(tracker_status(w.t), STATUS_RUNNING);
    ticks(&w, 1);
    expect(&w, "agent2:well;");
    show(&w, "Hi\n> hello\nwell, hello" BOX);
    ticks(&w, 1);
    expect(&w, "agent2:well, hello;");
    ticks(&w, SNAPSHOTS_STABLE - 2);
    assert_int_equal(tracker_status(w.t), STATUS_RUNNING);
    ticks(&w, 1);
    expect(&w, "stable;");
    assert_int_equal(tracker_count(w.t), 3);
    end(&w);
}

static void test_enter_comes_without_an_echo_after_2_s(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    greet(&w);
    assert_int_equal(send(&w, "hello"), ERR_OK);
    ticks(&w, 1 + 2000 / SNAPSHOT_MS - 1);
    expect(&w, "type:hello;running;");
    ticks(&w, 1);
    expect(&w, "enter;");
    end(&w);
}

static void test_enter_again_every_3_s_for_15_s(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    greet(&w);
    assert_int_equal(send(&w, "hello"), ERR_OK);
    ticks(&w, 1 + 2000 / SNAPSHOT_MS);
    expect(&w, "type:hello;running;enter;");
    ticks(&w, 3000 / SNAPSHOT_MS);
    expect(&w, "enter;");
    ticks(&w, 11900 / SNAPSHOT_MS);
    expect(&w, "enter;enter;enter;");
    ticks(&w, 5);
    expect(&w, "stable;done:TIMEOUT;");
    assert_int_equal(tracker_count(w.t), 1); /* what was not taken was not said */
    end(&w);
}

static void test_terminal_that_takes_nothing(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    greet(&w);
    w.is_stuck = true;
    assert_int_equal(send(&w, "hello"), ERR_OK);
    ticks(&w, 15000 / SNAPSHOT_MS);
    expect(&w, "type:hello;running;");
    ticks(&w, 1);
    expect(&w, "stable;done:TIMEOUT;");
    end(&w);
}

static void test_rejections(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    assert_int_equal(send(&w, "early"), ERR_CONFLICT);
    greet(&w);
    assert_int_equal(send(&w, ""), ERR_INVALID);
    assert_int_equal(send(&w, " \t\n"), ERR_INVALID);
    assert_int_equal(send(&w, " one\n"), ERR_OK);
    assert_int_equal(send(&w, "two"), ERR_CONFLICT);
    tracker_end(w.t);
    expect(&w, "type:one;running;stable;done:UNAVAILABLE;");
    end(&w);
}

static void test_waiter_that_has_gone_is_not_called(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, NULL);
    greet(&w);
    assert_int_equal(send(&w, "hello"), ERR_OK);
    tracker_forget(w.t, &w);
    ticks(&w, 1 + 2000 / SNAPSHOT_MS);
    show(&w, "Hi\n> hello\nok");
    ticks(&w, 1);
    expect(&w, "type:hello;running;enter;user1:hello;");
    end(&w);
}

static void test_initial_prompt(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, "  do it \n");
    show(&w, "Hi" BOX);
    ticks(&w, SNAPSHOTS_STABLE); /* saved before it is typed; never stable in between */
    expect(&w, "agent0:Hi;ready;prompt;type:do it;");
    ticks(&w, 1 + 2000 / SNAPSHOT_MS);
    show(&w, "Hi\n> do it\ndoing");
    ticks(&w, 2);
    expect(&w, "enter;user1:do it;agent2:doing;");
    assert_true(tracker_take_dirty(w.t));
    assert_false(tracker_take_dirty(w.t));
    end(&w);
}

static void test_initial_prompt_that_is_not_taken_is_told(void **state)
{
    (void)state;
    struct world w;
    begin(&w, AGENT_CUSTOM, "do it");
    greet(&w);
    ticks(&w, 1 + 17100 / SNAPSHOT_MS);
    expect(&w, "enter;enter;enter;enter;enter;trouble;stable;");
    assert_true(tracker_prompt_sent(w.t));
    end(&w);
}

static struct tracker_message old_message(enum tracker_role role, const char *text)
{
    return (struct tracker_message){.role = role, .text = mem_strdup(text), .n = strlen(text)};
}

static void restored(struct world *w, const char *prompt, const char *old_prompt, bool was_sent)
{
    struct tracker_message old[] = {
        old_message(ROLE_AGENT, "Hello"),
        old_message(ROLE_USER, "do it"),
        old_message(ROLE_AGENT, "Done"),
    };
    begin(w, AGENT_CUSTOM, prompt);
    w->restore = old;
    w->n_restore = COUNT(old);
    w->restore_prompt = old_prompt;
    w->restore_sent = was_sent;
    show(w, "Welcome back\nDone" BOX);
    ticks(w, SNAPSHOTS_STABLE);
}

static void test_restored_conversation_goes_on(void **state)
{
    (void)state;
    struct world w;
    restored(&w, "do it", "do it", true); /* the same prompt: not again */
    expect(&w, "agent0:Welcome back\nDone;ready;agent0:Hello;user1:do it;agent2:Done;stable;");
    ticks(&w, 10);
    expect(&w, ""); /* what it shows at its start is not new */
    assert_int_equal(send(&w, "more"), ERR_OK);
    ticks(&w, 1 + 2000 / SNAPSHOT_MS);
    show(&w, "Welcome back\nDone\n> more\nMore done" BOX);
    ticks(&w, 2);
    expect(&w, "type:more;running;enter;user3:more;done:OK;agent4:More done;");
    end(&w);
}

static void test_another_prompt_is_sent(void **state)
{
    (void)state;
    struct world w;
    restored(&w, "do that", "do it", true);
    expect(&w, "agent0:Welcome back\nDone;ready;agent0:Hello;user1:do "
               "it;agent2:Done;prompt;type:do that;");
    end(&w);
}

static void test_prompt_of_the_last_life(void **state)
{
    (void)state;
    struct world w;
    restored(&w, NULL, "do it", true);
    assert_string_equal(tracker_prompt(w.t), "do it");
    assert_true(tracker_prompt_sent(w.t));
    end(&w);
    restored(&w, NULL, "do it", false); /* it was killed before it could say it */
    assert_non_null(strstr(w.log.s, "type:do it;"));
    end(&w);
}

static void test_agent_that_speaks_by_itself_after_a_restore(void **state)
{
    (void)state;
    struct world w;
    restored(&w, NULL, "", false);
    strbuf_clear(&w.log);
    show(&w, "Welcome back\nDone\nBy the way" BOX);
    ticks(&w, 1);
    expect(&w, "agent3:By the way;running;");
    end(&w);
}

static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct tracker_message many[40];
    size_t large = MESSAGES_BYTES_MAX / 10;
    for (size_t i = 0; i < COUNT(many); i++) {
        char *text = mem_alloc(large + 1);
        memset(text, 'x', large);
        many[i] = (struct tracker_message){
            .role = i % 2 == 0 ? ROLE_AGENT : ROLE_USER, .text = text, .n = large};
    }
    begin(&w, AGENT_CUSTOM, NULL);
    w.restore = many;
    w.n_restore = COUNT(many);
    w.restore_prompt = "";
    show(&w, "Hi" BOX);
    ticks(&w, SNAPSHOTS_STABLE);
    size_t total = 0;
    for (size_t i = 0; i < tracker_count(w.t); i++)
        total += tracker_at(w.t, i)->n;
    assert_true(total <= MESSAGES_BYTES_MAX && total > MESSAGES_BYTES_MAX / 2);
    assert_int_equal(tracker_at(w.t, tracker_count(w.t) - 1)->id, COUNT(many) - 1);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable_after_81_snapshots_alike),
        cmocka_unit_test(test_not_stable_without_a_box),
        cmocka_unit_test(test_custom_agent_without_a_box_is_ready_after_10_s),
        cmocka_unit_test(test_message_is_taken),
        cmocka_unit_test(test_enter_comes_without_an_echo_after_2_s),
        cmocka_unit_test(test_enter_again_every_3_s_for_15_s),
        cmocka_unit_test(test_terminal_that_takes_nothing),
        cmocka_unit_test(test_rejections),
        cmocka_unit_test(test_waiter_that_has_gone_is_not_called),
        cmocka_unit_test(test_initial_prompt),
        cmocka_unit_test(test_initial_prompt_that_is_not_taken_is_told),
        cmocka_unit_test(test_restored_conversation_goes_on),
        cmocka_unit_test(test_another_prompt_is_sent),
        cmocka_unit_test(test_prompt_of_the_last_life),
        cmocka_unit_test(test_agent_that_speaks_by_itself_after_a_restore),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
