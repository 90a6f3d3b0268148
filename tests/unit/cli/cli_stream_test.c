/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: commands that follow a task are told by the gateway's stream, go on behind the last event
 * after a lost connection, and end in order by Ctrl-C.
 * Method: whole commands against canned streams; each says which Last-Event-ID it expects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/cli/fake.h"

#define RUN(f, ...)     fake_run((f), __VA_ARGS__, NULL)
#define HAS(text, s)    assert_non_null(strstr((text), (s)))
#define HAS_NO(text, s) assert_null(strstr((text), (s)))

#define ID     "11111111-2222-4333-8444-555555555555"
#define OTHER  "66666666-2222-4333-8444-555555555555"
#define TASK   "GET /api/v2/tasks/me/fix"
#define STREAM "STREAM /api/stint/v1/tasks/" ID "/events"
#define ALL    "STREAM /api/stint/v1/events"
#define ME     "GET /api/v2/users/me"
#define ADA    "{\"id\":\"ada-id\",\"username\":\"ada\"}"

#define JSON_OF(id, name, status, state)                                            \
    "{\"id\":\"" id "\",\"name\":\"" name "\",\"owner_name\":\"ada\",\"owner_id\":" \
    "\"ada-id\",\"status\":\"" status "\",\"created_at\":\"2026-11-20T16:01:02Z\"," \
    "\"current_state\":" state "}"
#define JSON(status, state) JSON_OF(ID, "fix", status, state)
#define STATE(state, message)                                                                  \
    "{\"timestamp\":\"2026-11-20T16:01:02.5Z\",\"state\":\"" state "\",\"message\":\"" message \
    "\",\"uri\":\"\"}"

#define EVENT(id, name, data) "id: " id "\nevent: " name "\ndata: " data "\n\n"
#define MESSAGE(event_id, id, role, content) \
    EVENT(event_id, "message", "{\"id\":" id ",\"role\":\"" role "\",\"content\":\"" content "\"}")
#define SYNCED(id) EVENT(id, "synced", "{}")

static int open_fake(void **state)
{
    struct fake *f = malloc(sizeof(*f));
    fake_open(f);
    *state = f;
    return 0;
}

static int close_fake(void **state)
{
    fake_close(*state);
    free(*state);
    return 0;
}

/* ---- watch ---- */

static void test_watch_to_the_end(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("pending", "null"));
    fake_stream(f, STREAM, "",
        ": ping\n\n" EVENT("1", "task", JSON("active", STATE("working", "at it")))
            MESSAGE("1;m=0", "0", "user", "echo a") SYNCED("1;m=0") MESSAGE(
                "2;m=1", "1", "agent", "a\\nb\\n") EVENT("2;m=1", "new-in-a-later-version", "{}")
                EVENT("3;m=1", "task", JSON("active", STATE("complete", "done"))),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 0);
    assert_string_equal(f->out, "> echo a\na\nb\n");
    HAS(f->err, "fix  active, working: at it\n");
    HAS(f->err, "fix  active, complete: done\n");
    HAS_NO(f->err, "connection");
}

static void test_a_message_that_grows_is_printed_once(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "",
        SYNCED("1") MESSAGE("2", "1", "agent", "hel") MESSAGE("3", "1", "agent", "hello")
            MESSAGE("3", "1", "agent", "hello") MESSAGE("4", "1", "agent", "hello, world")
                MESSAGE("5", "2", "agent", "!") EVENT("6", "task", JSON("paused", "null")),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 3);
    assert_string_equal(f->out, "hello, world!\n");
}

static void test_a_lost_connection_goes_on_where_it_was(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "",
        EVENT("1", "task", JSON("active", STATE("working", ""))) SYNCED("1")
            MESSAGE("2;m=1", "1", "agent", "one\\n") "id: 3\nevent: message\ndata: {",
        ERR_UNAVAILABLE);
    fake_stream(f, STREAM, "2;m=1", "", ERR_UNAVAILABLE);
    fake_stream(f, STREAM, "2;m=1",
        MESSAGE("3;m=2", "2", "agent", "two\\n")
            EVENT("4;m=2", "task", JSON("active", STATE("idle", ""))),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 0);
    assert_string_equal(f->out, "one\ntwo\n");
    HAS(f->err, "The connection to the gateway was lost, trying again. (broken)\n");
    HAS(f->err, "Connected again.\n");
    assert_true(f->waited_ms > 0);
}

static void test_a_stream_that_ends_in_order_is_not_worth_a_word(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "", SYNCED("1"), ERR_OK);
    fake_stream(f, STREAM, "1", EVENT("2", "task", JSON("error", "null")), ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 2);
    HAS_NO(f->err, "onnect");
    assert_in_range(f->waited_ms, 1, 1000); /* not in a circle without rest */
}

static void test_a_stream_that_begins_anew_repeats_nothing(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "", SYNCED("1") MESSAGE("9", "1", "agent", "one\\n"), ERR_OK);
    fake_stream(f, STREAM, "9",
        EVENT("3", "reset", "{}") EVENT("3", "task", JSON("paused", "null"))
            MESSAGE("3", "1", "agent", "one\\n") MESSAGE("3", "2", "agent", "two\\n") SYNCED("3"),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 3);
    assert_string_equal(f->out, "one\ntwo\n");
}

static void test_a_gateway_in_trouble_is_waited_for(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "", SYNCED("1"), ERR_UNAVAILABLE);
    fake_stream(f, STREAM, "1", "", ERR_OK);
    f->answers[2].status = 503;
    fake_stream(f, STREAM, "1", EVENT("2", "deleted", "{}"), ERR_OK);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 4);
    HAS(f->err, "fix was deleted.\n");
}

static void test_a_token_that_ends_amid_a_stream_is_an_error(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "", SYNCED("1"), ERR_OK);
    fake_stream(f, STREAM, "1", "{\"message\":\"You are signed out.\"}", ERR_OK);
    f->answers[2].status = 401;
    assert_int_equal(RUN(f, "task", "watch", "fix"), 77);
    HAS(f->err, "You are signed out.");
    HAS(f->err, "-> run `stint login");
}

static void test_an_interrupt_ends_in_order(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "", SYNCED("1") MESSAGE("2", "1", "agent", "half a line"), ERR_OK);
    fake_interrupt(f);
    assert_int_equal(RUN(f, "task", "watch", "fix"), 130);
    assert_string_equal(f->out, "half a line\n");
    HAS_NO(f->err, "stint: ");
}

/* ---- logs ---- */

static void test_logs_follow(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "",
        MESSAGE("1", "0", "user", "go") SYNCED("1") MESSAGE("2", "1", "agent", "on")
            EVENT("3", "task", JSON("paused", "null")),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "logs", "-f", "fix", "--json"), 0);
    assert_string_equal(f->out, "{\"id\":0,\"content\":\"go\",\"type\":\"input\"}\n"
                                "{\"id\":1,\"content\":\"on\",\"type\":\"output\"}\n");
}

#define LOG(event_id, source, agent, id, output)                                                  \
    EVENT(event_id, "log",                                                                        \
        "{\"source\":\"" source "\",\"agent_id\":\"" agent "\",\"id\":" id ",\"level\":\"info\"," \
        "\"source_name\":\"start\",\"output\":\"" output "\"}")

static void test_logs_of_the_agent(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_stream(f, STREAM, "",
        LOG("1", "build", "", "7", "provisioning") LOG("1", "agent", "a1", "1", "one") SYNCED("1")
            LOG("2", "agent", "a1", "2", "two") LOG("2", "agent", "a1", "2", "two")
                LOG("3", "agent", "a2", "1", "three") EVENT("3", "task", JSON("paused", "null")),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "logs", "-f", "--agent", "fix"), 0);
    assert_string_equal(f->out, "  start: one\n  start: two\n  start: three\n");
}

/* ---- pause, send ---- */

static void test_pause_is_told(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_answer(f, "POST /api/v2/tasks/ada/" ID "/pause", 202, "{}");
    fake_answer(f, "GET /api/v2/tasks/me/" ID, 200, JSON("unknown", "null"));
    fake_stream(f, STREAM, "",
        EVENT("1", "task", JSON("unknown", "null")) SYNCED("1")
            EVENT("2", "task", JSON("paused", "null")),
        ERR_OK);
    assert_int_equal(RUN(f, "task", "pause", "fix"), 0);
    assert_string_equal(f->out, "The task fix has been paused.\n");
}

#define QUEUED(event_id, id, state) \
    EVENT(event_id, "queued_message", "{\"id\":\"" id "\",\"state\":\"" state "\"}")

static void test_send_is_told_of_the_delivery(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_answer(f, "POST /api/stint/v1/tasks/" ID "/messages", 201,
        "{\"id\":\"m1\",\"state\":\"queued\",\"position\":1}");
    fake_stream(f, STREAM, "",
        EVENT("1", "task", JSON("active", "null")) QUEUED("1", "m1", "queued") SYNCED("1")
            QUEUED("2", "m0", "refused") QUEUED("3", "m1", "delivered"),
        ERR_OK);
    fake_answer(f, "GET /api/stint/v1/tasks/" ID "/messages/m1", 200,
        "{\"id\":\"m1\",\"state\":\"queued\",\"position\":1}");
    assert_int_equal(RUN(f, "task", "send", "fix", "go on"), 0);
    assert_string_equal(f->out, "The message has been sent to fix.\n");
}

/* ---- list ---- */

static void test_list_as_it_changes(void **state)
{
    struct fake *f = *state;
    fake_answer(f, ME, 200, ADA);
    fake_stream(f, ALL, "",
        EVENT("1", "task", JSON("active", STATE("working", "at it")))
            EVENT("1", "task", "{\"id\":\"b\",\"owner_id\":\"bob-id\",\"status\":\"active\"}")
                SYNCED("1") EVENT("2", "task", JSON_OF(OTHER, "new", "pending", "null"))
                    EVENT("3", "task", JSON_OF(OTHER, "new", "pending", "null")) EVENT("4",
                        "deleted", "{\"id\":\"" ID "\"}") EVENT("4", "deleted", "{\"id\":\"b\"}"),
        ERR_OK);
    fake_interrupt(f);
    assert_int_equal(RUN(f, "task", "list", "--watch"), 130);
    HAS(f->out, "  fix  active, working: at it\n");
    HAS(f->out, "  new  pending\n");
    HAS(f->out, "  fix  deleted\n");
    size_t lines = 0;
    for (const char *p = f->out; *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 3);
}

static void test_list_as_lines_of_json(void **state)
{
    struct fake *f = *state;
    fake_stream(f, ALL, "",
        EVENT("1", "task", "{\"id\":\"a\",\"status\":\"active\"}")
            EVENT("1", "task", "{\"id\":\"b\",\"status\":\"paused\"}") SYNCED("1")
                EVENT("2", "task", "{\"id\":\"a\",\"status\":\"paused\"}")
                    EVENT("3", "task", "{\"id\":\"a\",\"status\":\"active\"}"),
        ERR_OK);
    fake_stream(f, ALL, "3",
        EVENT("9", "reset", "{}") EVENT("9", "task", "{\"id\":\"c\",\"status\":\"active\"}")
            SYNCED("9"),
        ERR_OK);
    fake_interrupt(f);
    assert_int_equal(
        RUN(f, "task", "list", "--all", "--watch", "--json", "--status", "active"), 130);
    assert_string_equal(f->out, "{\"id\":\"a\",\"status\":\"active\"}\n"
                                "{\"id\":\"a\",\"status\":\"paused\"}\n"
                                "{\"id\":\"a\",\"status\":\"active\"}\n"
                                "{\"id\":\"c\",\"status\":\"active\"}\n"
                                "{\"id\":\"a\",\"deleted\":true}\n");
}

static void test_list_in_a_terminal_is_a_table_drawn_anew(void **state)
{
    struct fake *f = *state;
    f->cli.out_is_terminal = true;
    fake_stream(f, ALL, "", EVENT("1", "task", JSON("active", "null")) SYNCED("1"), ERR_OK);
    fake_interrupt(f);
    assert_int_equal(RUN(f, "task", "list", "--all", "--watch", "-c", "name,status"), 130);
    HAS(f->out, "NAME  STATUS\nfix   active\n");
    HAS(f->out, "\033[?7h");
}

/* A Coder: no streams at all. */
static void test_list_by_looking(void **state)
{
    struct fake *f = *state;
    fake_answer(f, ME, 200, ADA);
    fake_answer(
        f, "GET /api/v2/tasks?q=owner%3A%22me%22", 200, "{\"tasks\":[" JSON("active", "null") "]}");
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22me%22", 200, "{\"tasks\":[]}");
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22me%22", 401, "{\"message\":\"Bye.\"}");
    assert_int_equal(RUN(f, "task", "list", "--watch"), 77);
    HAS(f->out, "  fix  active\n");
    HAS(f->out, "  fix  deleted\n");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_fake, close_fake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_watch_to_the_end),
        CASE(test_a_message_that_grows_is_printed_once),
        CASE(test_a_lost_connection_goes_on_where_it_was),
        CASE(test_a_stream_that_ends_in_order_is_not_worth_a_word),
        CASE(test_a_stream_that_begins_anew_repeats_nothing),
        CASE(test_a_gateway_in_trouble_is_waited_for),
        CASE(test_a_token_that_ends_amid_a_stream_is_an_error),
        CASE(test_an_interrupt_ends_in_order),
        CASE(test_logs_follow),
        CASE(test_logs_of_the_agent),
        CASE(test_pause_is_told),
        CASE(test_send_is_told_of_the_delivery),
        CASE(test_list_as_it_changes),
        CASE(test_list_as_lines_of_json),
        CASE(test_list_in_a_terminal_is_a_table_drawn_anew),
        CASE(test_list_by_looking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
