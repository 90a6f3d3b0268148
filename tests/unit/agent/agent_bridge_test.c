/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the prompt and each message reach the app once, the conversation is in the reports once,
 * and what is said of the app is true, whatever the app, the network and the agent do. Method: an
 * AgentAPI server on the test's loop that behaves as badly as a test wants; a crash of the agent is
 * everything freed and opened anew on the same directory.
 */
#include "tests/unit/agent/web.h"

#include <jansson.h>

#include "agent/bridge.h"
#include "agent/turn_mark.h"

#define MESSAGES_MAX 64

/* How the app takes a message. */
enum manners {
    TAKES,         /* as it should: running, an answer, at rest */
    TAKES_QUIETLY, /* its status stays what it is */
    IS_BUSY,       /* says that it is running, whatever its status was */
    REFUSES,
    TAKES_AND_BREAKS, /* has it, and ends the connection */
    BREAKS,           /* has it not, and ends the connection */
};

struct app {
    struct web web;
    struct {
        bool is_user;
        char text[64];
    } v[MESSAGES_MAX];
    size_t n;
    bool is_running, is_up, has_no_events, cuts_streams, talks_rubbish;
    enum manners manners;
    struct timer *rest;
    unsigned n_heard, n_status;
    char heard[64]; /* the last message */
};

struct bench {
    struct lab lab;
    struct loop *loop;
    struct manifest manifest;
    struct reports *reports;
    struct status *status;
    struct bridge *bridge;
    struct app app;
    char url[64];
    unsigned n_answers;
    bool app_dies_then; /* at the next one */
    enum refusal answer;
    char detail[200];
    unsigned n_stable;
    bool is_stopped;
    const char *wanted;
};

/* ---- the app ---- */

static json_t *message_json(const struct app *a, size_t i, const char *key)
{
    char time[32];
    snprintf(time, sizeof(time), "2026-11-20T00:00:%02zuZ", i);
    return json_pack("{s:i, s:s, s:s, s:s}", "id", (int)i, "role",
        a->v[i].is_user ? "user" : "agent", key, a->v[i].text, "time", time);
}

static void send_event(struct web_conn *c, const char *name, json_t *data)
{
    struct strbuf out;
    strbuf_init(&out);
    char *text = json_dumps(data, JSON_COMPACT);
    strbuf_addf(&out, "event: %s\ndata: %s\n\n", name, text);
    web_sendn(c, out.s, out.len);
    strbuf_done(&out);
    free(text);
    json_decref(data);
}

static json_t *status_json(const struct app *a)
{
    return json_pack(
        "{s:s, s:s}", "status", a->is_running ? "running" : "stable", "agent_type", "custom");
}

/* To all streams. */
static void tell(struct app *a, const char *name, json_t *data)
{
    list_for(it, &a->web.conns)
    {
        struct web_conn *c = container_of(it, struct web_conn, item);
        if (c->mark != NULL)
            send_event(c, name, json_incref(data));
    }
    json_decref(data);
}

static void set_running(struct app *a, bool is_running)
{
    a->is_running = is_running;
    tell(a, "status_change", status_json(a));
}

static void app_set(struct app *a, size_t i, bool is_user, const char *text)
{
    a->v[i].is_user = is_user;
    snprintf(a->v[i].text, sizeof(a->v[i].text), "%s", text);
    if (i >= a->n)
        a->n = i + 1;
    tell(a, "message_update", message_json(a, i, "message"));
}

static void app_add(struct app *a, bool is_user, const char *text)
{
    app_set(a, a->n, is_user, text);
}

static void on_rest(void *arg)
{
    struct app *a = arg;
    char text[80];
    snprintf(text, sizeof(text), "you said: %.40s", a->heard);
    app_add(a, false, text);
    set_running(a, false);
}

static void take_message(struct app *a, struct web_conn *c, const char *content)
{
    a->n_heard++;
    snprintf(a->heard, sizeof(a->heard), "%s", content);
    app_add(a, true, content);
    if (a->manners == TAKES) {
        set_running(a, true);
        timer_start(a->rest, 20, 0);
    }
    if (a->manners == TAKES_AND_BREAKS)
        web_close(c);
    else
        web_answer(c, "200 OK", "{\"ok\": true}");
}

#define PROBLEM(text)                                                                         \
    "{\"title\": \"Internal Server Error\", \"status\": 500, \"detail\": \"unexpected error " \
    "occurred\", \"errors\": [{\"message\": \"" text "\"}]}"

static void on_post(struct app *a, struct web_conn *c, const char *body)
{
    json_t *root = json_loads(body, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(root, "type")), "user");
    const char *content = json_string_value(json_object_get(root, "content"));
    if (a->manners == BREAKS)
        web_close(c);
    else if (a->manners == REFUSES)
        web_answer(c, "500 Internal Server Error", PROBLEM("it is not in the mood"));
    else if (a->is_running || a->manners == IS_BUSY)
        web_answer(c, "500 Internal Server Error",
            PROBLEM("message can only be sent when the agent is waiting for user input"));
    else
        take_message(a, c, content);
    json_decref(root);
}

static void answer_json(struct web_conn *c, json_t *root)
{
    char *text = json_dumps(root, 0);
    web_answer(c, "200 OK", text);
    free(text);
    json_decref(root);
}

static void on_get_messages(struct app *a, struct web_conn *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n; i++)
        json_array_append_new(list, message_json(a, i, "content"));
    answer_json(c, json_pack("{s:o}", "messages", list));
}

static void on_get_events(struct app *a, struct web_conn *c)
{
    web_send(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    for (size_t i = 0; i < a->n; i++)
        send_event(c, "message_update", message_json(a, i, "message"));
    send_event(c, "status_change", status_json(a));
    if (a->cuts_streams)
        web_end(c);
    else
        c->mark = a;
}

static void on_request(void *arg, struct web_conn *c, const char *what, const char *body)
{
    struct app *a = arg;
    a->n_status += strcmp(what, "GET /status") == 0;
    if (!a->is_up)
        web_close(c);
    else if (a->talks_rubbish)
        web_answer(c, "200 OK", "<html> this is {no JSON");
    else if (strcmp(what, "POST /message") == 0)
        on_post(a, c, body);
    else if (strcmp(what, "GET /status") == 0)
        answer_json(c, status_json(a));
    else if (strcmp(what, "GET /messages") == 0)
        on_get_messages(a, c);
    else if (strcmp(what, "GET /events") == 0 && !a->has_no_events)
        on_get_events(a, c);
    else
        web_answer(c, "404 Not Found", "{}");
}

/* Another process of it. */
static void app_restart(struct app *a, bool remembers)
{
    web_drop_all(&a->web);
    timer_stop(a->rest);
    a->is_running = false;
    if (!remembers) {
        a->n = 0;
        app_add(a, false, "hello again");
    }
}

/* ---- the agent ---- */

static void on_answer(void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct bench *b = arg;
    (void)send_id;
    b->n_answers++;
    if (b->app_dies_then)
        bridge_app_ended(b->bridge, 3 << 8);
    b->app_dies_then = false;
    b->answer = code;
    snprintf(b->detail, sizeof(b->detail), "%s", detail);
}

static void on_stable(void *arg)
{
    ((struct bench *)arg)->n_stable++;
}

static void start(struct bench *b, const char *prompt)
{
    struct errctx ctx = {0};
    free(b->manifest.prompt);
    b->manifest.prompt = mem_strdup(prompt);
    b->manifest.agentapi.sends_prompt = true;
    assert_int_equal(reports_open(b->lab.dir, &b->manifest.agent_id, &b->reports, &ctx), ERR_OK);
    b->status = status_new(b->reports, "app");
    const struct bridge_conf conf = {.loop = b->loop,
        .manifest = &b->manifest,
        .status = b->status,
        .state_dir = b->lab.dir,
        .url = b->app.web.url,
        .on_answer = on_answer,
        .on_stable = on_stable,
        .arg = b};
    assert_int_equal(bridge_new(&conf, &b->bridge, &ctx), ERR_OK);
    bridge_begin(b->bridge);
    bridge_app_started(b->bridge);
}

static void crash(struct bench *b)
{
    bridge_free(b->bridge);
    status_free(b->status);
    reports_free(b->reports);
    b->bridge = NULL;
}

static int setup(void **state)
{
    struct bench *b = mem_alloc(sizeof(*b));
    lab_open(&b->lab);
    b->loop = loop_new();
    b->manifest.agent_id = b->manifest.build_id = lab_uuid(1);
    b->app.is_up = true;
    web_open(&b->app.web, b->loop, on_request, &b->app);
    b->app.rest = timer_new(b->loop, on_rest, &b->app);
    app_add(&b->app, false, "hello");
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    if (b->bridge != NULL)
        crash(b);
    timer_free(b->app.rest);
    web_shut(&b->app.web);
    loop_free(b->loop);
    free(b->manifest.prompt);
    lab_close(&b->lab);
    free(b);
    return 0;
}

/* ---- looking ---- */

static bool has_said(void *arg)
{
    struct bench *b = arg;
    char *text = lab_waiting(b->reports);
    bool ok = strstr(text, b->wanted) != NULL;
    free(text);
    return ok;
}

/* Runs until it is among the reports since the last look, which are then forgotten. */
static void wait_said(struct bench *b, const char *wanted)
{
    b->wanted = wanted;
    lab_run_until(b->loop, has_said, b);
    reports_commit(b->reports, reports_last(b->reports));
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

static bool is_stable(void *arg)
{
    return bridge_is_stable(((struct bench *)arg)->bridge);
}

static bool is_answered(void *arg)
{
    return ((struct bench *)arg)->n_answers > 0;
}

static void send_message(struct bench *b, int id, const char *text)
{
    struct uuid send_id = lab_uuid(id);
    b->n_answers = 0;
    bridge_message(b->bridge, &send_id, text, strlen(text));
}

static enum refusal ask(struct bench *b, int id, const char *text)
{
    send_message(b, id, text);
    lab_run_until(b->loop, is_answered, b);
    return b->answer;
}

static void wake(void *arg)
{
    loop_stop(arg);
}

static void run_for(struct bench *b, int64_t ms)
{
    struct timer *t = timer_new(b->loop, wake, b->loop);
    timer_start(t, ms, 0);
    loop_run(b->loop);
    timer_free(t);
}

/* ---- the prompt ---- */

static void test_the_prompt_is_handed_over(void **state)
{
    struct bench *b = *state;
    start(b, "  do it\n");
    lab_run_until(b->loop, is_stable, b);
    assert_string_equal(b->app.heard, "do it");
    assert_waiting(b->reports,
        "working \"Starting the app.\"\nagent #0 \"hello\"\nuser #1 \"do it\"\n"
        "working \"Working on the prompt.\"\nagent #2 \"you said: do it\"\n"
        "idle \"Waiting for a message.\"\n");
    assert_int_equal(b->app.n_heard, 1);
}

static void test_it_is_not_handed_over_again(void **state)
{
    struct bench *b = *state;
    start(b, "do it");
    lab_run_until(b->loop, is_stable, b);
    for (int i = 0; i < 4; i++) {
        crash(b);
        app_restart(&b->app, i % 2 == 0);
        start(b, "do it");
        lab_run_until(b->loop, is_stable, b);
    }
    assert_int_equal(b->app.n_heard, 1);
    crash(b);
    start(b, "another");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(b->app.n_heard, 2);
}

static void test_the_app_is_late(void **state)
{
    struct bench *b = *state;
    b->app.is_up = false;
    start(b, "do it");
    run_for(b, 300);
    b->app.is_up = true;
    b->app.is_running = true;
    wait_said(b, "agent #0");
    assert_int_equal(b->app.n_heard, 0);
    set_running(&b->app, false);
    wait_said(b, "idle \"Waiting for a message.\"");
    assert_int_equal(b->app.n_heard, 1);
}

static void test_no_prompt_of_ours(void **state)
{
    struct bench *b = *state;
    start(b, " \n");
    wait_said(b, "idle \"Waiting for a message.\"");
    assert_int_equal(b->app.n_heard, 0);
}

static void test_the_app_refuses_the_prompt(void **state)
{
    struct bench *b = *state;
    b->app.manners = REFUSES;
    start(b, "do it");
    wait_said(b, "failure \"The app refused the prompt: it is not in the mood\"");
    crash(b);
    b->app.manners = TAKES;
    start(b, "do it");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(b->app.n_heard, 0);
}

/* AgentAPI #123, #209: stable, and yet it takes nothing. */
static void test_stable_is_reported_but_it_takes_nothing(void **state)
{
    struct bench *b = *state;
    b->app.manners = IS_BUSY;
    start(b, "do it");
    run_for(b, 200);
    b->app.manners = TAKES;
    wait_said(b, "idle");
    assert_int_equal(b->app.n_heard, 1);
}

static void test_broken_off_and_taken(void **state)
{
    struct bench *b = *state;
    b->app.manners = TAKES_AND_BREAKS;
    start(b, "do it");
    wait_said(b, "user #1 \"do it\"");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(b->app.n_heard, 1);
}

static void test_broken_off_and_not_taken(void **state)
{
    struct bench *b = *state;
    b->app.manners = BREAKS;
    start(b, "do it");
    run_for(b, 300);
    b->app.manners = TAKES;
    wait_said(b, "user #1 \"do it\"");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(b->app.n_heard, 1);
}

/* The mark is on disk, the request was never made, or it was and nobody knows. */
static void test_killed_while_handing_over(void **state)
{
    struct bench *b = *state;
    for (int i = 0; i < 3; i++) {
        struct turn_mark mark;
        struct errctx ctx = {0};
        lab_write(&b->lab, "turns.json", "{\"version\": 1}", 14);
        assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
        assert_int_equal(turn_mark_hand_over(&mark, NULL, " do it", "do it", 5, 1, &ctx), ERR_OK);
        if (i == 1)
            app_add(&b->app, true, "do it");
        start(b, " do it");
        wait_said(b, i == 1 ? "idle \"Waiting for a message.\""
                            : "idle \"It is not known whether the app got the prompt; ");
        lab_run_until(b->loop, is_stable, b);
        assert_int_equal(b->app.n_heard, 0);
        crash(b);
        app_restart(&b->app, false);
        assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
        assert_true(turn_mark_has_prompt(&mark, " do it"));
        assert_false(mark.is_handing);
    }
}

/* Killed right behind the answer: the app has heard it, the conversation was never read, and the
 * next app knows nothing of it.  It is in the task's conversation all the same, once. */
static void test_killed_behind_the_handing_over(void **state)
{
    struct bench *b = *state;
    struct turn_mark mark;
    struct errctx ctx = {0};
    assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
    assert_int_equal(turn_mark_hand_over(&mark, NULL, " do it", "do it", 5, 1, &ctx), ERR_OK);
    assert_int_equal(turn_mark_handed(&mark, &ctx), ERR_OK);
    start(b, " do it");
    wait_said(b, "user #1 \"do it\"");
    for (int i = 0; i < 2; i++) {
        crash(b);
        app_restart(&b->app, i == 0);
        start(b, " do it");
        lab_run_until(b->loop, is_stable, b);
        run_for(b, 1000);
        char *text = lab_waiting(b->reports);
        assert_int_equal(count(text, "\"do it\""), 0);
        free(text);
    }
    assert_int_equal(b->app.n_heard, 0);
}

static void test_damaged_mark(void **state)
{
    struct bench *b = *state;
    const char *const texts[] = {"", "{\"version\": 1, \"handing\": {}}",
        "{\"version\": 1, \"handing\": {\"at\": -1, \"text_sha256\": \"\"}}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        lab_write(&b->lab, "turns.json", texts[i], strlen(texts[i]));
        start(b, "do it");
        wait_said(b, "idle \"The record of earlier runs was damaged; send a message to go on.\"");
        lab_run_until(b->loop, is_stable, b);
        assert_int_equal(b->app.n_heard, 0);
        crash(b);
    }
}

/* ---- messages ---- */

static void test_messages(void **state)
{
    struct bench *b = *state;
    start(b, "");
    assert_int_equal(ask(b, 7, "x"), REFUSAL_APP_UNREACHABLE);
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 8, " hi \n"), REFUSAL_NONE);
    assert_string_equal(b->app.heard, "hi");
    assert_int_equal(ask(b, 9, "too early"), REFUSAL_APP_BUSY);
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 8, "hi"), REFUSAL_NONE); /* it came again */
    assert_int_equal(ask(b, 10, " \n"), REFUSAL_APP_REJECTED);
    b->app.manners = REFUSES;
    assert_int_equal(ask(b, 11, "no"), REFUSAL_APP_REJECTED);
    assert_string_equal(b->detail, "it is not in the mood");
    lab_run_until(b->loop, is_stable, b);
    b->app.manners = IS_BUSY;
    assert_int_equal(ask(b, 12, "busy"), REFUSAL_APP_BUSY);
    assert_false(bridge_is_stable(b->bridge));
    b->app.manners = TAKES;
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 12, "busy"), REFUSAL_NONE);
    assert_int_equal(b->app.n_heard, 2);
    crash(b);
    start(b, "");
    struct uuid eight = lab_uuid(8), nine = lab_uuid(9);
    assert_true(bridge_has_taken(b->bridge, &eight));
    assert_false(bridge_has_taken(b->bridge, &nine));
}

static void test_a_message_in_doubt(void **state)
{
    struct bench *b = *state;
    struct uuid seven = lab_uuid(7);
    start(b, "");
    for (int i = 0; i < 2; i++) {
        lab_run_until(b->loop, is_stable, b);
        b->app.manners = i == 0 ? BREAKS : TAKES_AND_BREAKS;
        assert_int_equal(ask(b, 7, "hi"), REFUSAL_APP_UNREACHABLE);
    }
    lab_run_until(b->loop, is_stable, b);
    assert_true(bridge_has_taken(b->bridge, &seven));
    assert_int_equal(ask(b, 7, "hi"), REFUSAL_NONE);
    assert_int_equal(b->app.n_heard, 1);
}

/* It had it, perhaps, and is another one now that does not know: never again, but not forgotten. */
static void test_the_app_dies_of_a_message(void **state)
{
    struct bench *b = *state;
    start(b, "");
    lab_run_until(b->loop, is_stable, b);
    b->app.manners = BREAKS;
    b->app_dies_then = true;
    assert_int_equal(ask(b, 7, "crash"), REFUSAL_APP_UNREACHABLE);
    app_restart(&b->app, false);
    bridge_app_started(b->bridge);
    b->app.manners = TAKES;
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 7, "crash"), REFUSAL_NONE);
    assert_int_equal(b->app.n_heard, 0);
    wait_said(b, "user #2 \"crash\"");
}

static void test_an_app_whose_status_never_changes_comes_to_rest(void **state)
{
    struct bench *b = *state;
    b->app.manners = TAKES_QUIETLY;
    start(b, "do it");
    wait_said(b, "working \"Working on the prompt.\"\nidle \"Waiting for a message.\"");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 7, "more"), REFUSAL_NONE);
    wait_said(b, "working \"Working on a message.\"\nidle \"Waiting for a message.\"");
}

/* ---- what is said ---- */

static void test_its_own_words(void **state)
{
    struct bench *b = *state;
    struct errctx ctx = {0};
    start(b, "");
    wait_said(b, "idle");
    set_running(&b->app, true);
    assert_int_equal(bridge_app_says(b->bridge, APP_WORKING, "fixing", "http://x", &ctx), ERR_OK);
    wait_said(b, "working \"fixing\" <http://x>");
    run_for(b, 50);
    assert_int_equal(bridge_app_says(b->bridge, APP_IDLE, "fixed", "", &ctx), ERR_OK);
    wait_said(b, "working \"fixed\"");
    set_running(&b->app, false);
    wait_said(b, "idle \"fixed\"");
    assert_int_equal(bridge_app_says(b->bridge, APP_COMPLETE, "", "", &ctx), ERR_OK);
    wait_said(b, "complete \"fixed\"");
    assert_int_equal(bridge_app_says(b->bridge, APP_COMPLETE, "two\nlines", "", &ctx), ERR_INVALID);
    assert_int_equal(bridge_app_says(b->bridge, APP_COMPLETE, "x", "a b", &ctx), ERR_INVALID);
}

static void test_a_screen_that_moves_by_itself(void **state)
{
    struct bench *b = *state;
    start(b, "");
    wait_said(b, "idle");
    for (int i = 0; i < 3; i++) {
        set_running(&b->app, true);
        run_for(b, 30);
        set_running(&b->app, false);
        run_for(b, 30);
    }
    assert_waiting(b->reports, "");
    set_running(&b->app, true);
    wait_said(b, "working \"Working.\"");
    set_running(&b->app, false);
    wait_said(b, "idle");
}

static void test_the_app_ends(void **state)
{
    struct bench *b = *state;
    start(b, "");
    wait_said(b, "idle");
    set_running(&b->app, true);
    run_for(b, 20);
    /* Started again at once: nothing is said. */
    bridge_app_ended(b->bridge, 1 << 8);
    app_restart(&b->app, true);
    bridge_app_started(b->bridge);
    lab_run_until(b->loop, is_stable, b);
    char *text = lab_waiting(b->reports);
    assert_null(strstr(text, "failure"));
    free(text);
    b->app.is_up = false;
    web_drop_all(&b->app.web);
    bridge_app_ended(b->bridge, 3 << 8);
    assert_false(bridge_is_stable(b->bridge));
    wait_said(b, "failure \"The app ended (exit status 3).\"");
    b->app.is_up = true;
    bridge_app_started(b->bridge);
    wait_said(b, "idle");
}

/* ---- the conversation ---- */

static void test_the_conversation_is_mirrored(void **state)
{
    struct bench *b = *state;
    start(b, "");
    wait_said(b, "idle");
    app_add(&b->app, true, "from elsewhere");
    app_add(&b->app, false, "one");
    for (int i = 0; i < 30; i++) {
        char text[32];
        snprintf(text, sizeof(text), "line %d", i);
        app_set(&b->app, 2, false, text);
        run_for(b, 2);
    }
    b->wanted = "agent #2 \"line 29\"";
    lab_run_until(b->loop, has_said, b);
    char *text = lab_waiting(b->reports);
    assert_true(count(text, "agent #2") <= 4);
    assert_int_equal(count(text, "user #1 \"from elsewhere\""), 1);
    free(text);
}

static void test_an_app_without_its_memory(void **state)
{
    struct bench *b = *state;
    start(b, "do it");
    wait_said(b, "idle");
    app_restart(&b->app, false);
    wait_said(b, "agent #3 \"hello again\"");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 7, "more"), REFUSAL_NONE);
    wait_said(b, "agent #5 \"you said: more\"");
}

static void test_streams_that_break(void **state)
{
    struct bench *b = *state;
    b->app.cuts_streams = true;
    start(b, "do it");
    wait_said(b, "idle");
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 7, "more"), REFUSAL_NONE);
    wait_said(b, "agent #4 \"you said: more\"");
    b->app.cuts_streams = false;
    b->app.has_no_events = true;
    web_drop_all(&b->app.web);
    lab_run_until(b->loop, is_stable, b);
    assert_int_equal(ask(b, 8, "and more"), REFUSAL_NONE);
    wait_said(b, "agent #6 \"you said: and more\"");
    assert_int_equal(b->app.n_heard, 3);
}

static void test_rubbish(void **state)
{
    struct bench *b = *state;
    start(b, "");
    wait_said(b, "idle");
    tell(&b->app, "message_update", json_pack("{s:s}", "id", "zero"));
    tell(&b->app, "message_update", json_pack("{s:i}", "id", -5));
    tell(&b->app, "message_update",
        json_pack("{s:i, s:s, s:s}", "id", 9, "role", "agent", "message", "a gap"));
    tell(&b->app, "status_change", json_pack("{s:s}", "status", "dancing"));
    tell(&b->app, "agent_error", json_pack("{s:s, s:s}", "message", "ouch", "level", "error"));
    tell(&b->app, "unheard_of", json_null());
    app_add(&b->app, false, "still here");
    b->app.v[1].is_user = true;
    wait_said(b, "#1 \"still here\"");
    b->app.talks_rubbish = true;
    web_drop_all(&b->app.web);
    run_for(b, 500);
    assert_false(bridge_is_stable(b->bridge));
    b->app.talks_rubbish = false;
    lab_run_until(b->loop, is_stable, b);
}

/* ---- the end ---- */

static void on_stopped(void *arg)
{
    ((struct bench *)arg)->is_stopped = true;
}

static bool is_stopped(void *arg)
{
    return ((struct bench *)arg)->is_stopped;
}

static void test_the_last_words_are_said(void **state)
{
    struct bench *b = *state;
    start(b, "");
    wait_said(b, "idle");
    app_set(&b->app, 0, false, "x");
    wait_said(b, "agent #0 \"x\"");
    web_drop_all(&b->app.web);
    app_set(&b->app, 0, false, "the very last");
    bridge_stop(b->bridge, on_stopped, b);
    assert_false(b->is_stopped);
    lab_run_until(b->loop, is_stopped, b);
    wait_said(b, "agent #0 \"the very last\"");
    assert_int_equal(ask(b, 7, "hi"), REFUSAL_APP_REJECTED);
}

static void test_it_stops_without_the_app(void **state)
{
    struct bench *b = *state;
    b->app.is_up = false;
    start(b, "do it");
    run_for(b, 50);
    bridge_stop(b->bridge, on_stopped, b);
    lab_run_until(b->loop, is_stopped, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_prompt_is_handed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_is_not_handed_over_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_app_is_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_prompt_of_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_app_refuses_the_prompt, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_stable_is_reported_but_it_takes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_off_and_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_off_and_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_while_handing_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_behind_the_handing_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_message_in_doubt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_app_dies_of_a_message, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_app_whose_status_never_changes_comes_to_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_its_own_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_screen_that_moves_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_app_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_conversation_is_mirrored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_app_without_its_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streams_that_break, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_words_are_said, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_stops_without_the_app, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
