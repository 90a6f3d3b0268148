/* SPDX-License-Identifier: Apache-2.0 */
/* cli_message_test.c - goal: send, messages, unsend, status, logs --agent and template edit ask the
 * gateway what they should, in order.  Method: whole commands against canned answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/cli/fake.h"

#define RUN(f, ...)  fake_run((f), __VA_ARGS__, NULL)
#define HAS(text, s) assert_non_null(strstr((text), (s)))

#define ID       "11111111-2222-4333-8444-555555555555"
#define MID      "77777777-2222-4333-8444-555555555555"
#define OTHER    "88888888-2222-4333-8444-555555555555"
#define TASK     "GET /api/v2/tasks/me/fix"
#define AGAIN    "GET /api/v2/tasks/me/" ID
#define ACT      "/api/v2/tasks/ada/" ID
#define MESSAGES "/api/stint/v1/tasks/" ID "/messages"
#define MESSAGE  "GET " MESSAGES "/" MID
#define AGENT    "GET /api/stint/v1/tasks/" ID "/agent"

#define JSON(status, state)                                                           \
    "{\"id\":\"" ID "\",\"name\":\"fix\",\"owner_name\":\"ada\",\"status\":\"" status \
    "\",\"created_at\":\"2026-11-20T16:01:02.5Z\",\"current_state\":" state "}"
#define STATE_AT(time, state)                                                              \
    "{\"timestamp\":\"2026-11-20T16:01:" time "Z\",\"state\":\"" state "\",\"message\":\"" \
    "\",\"uri\":\"\"}"
#define STATE(state) STATE_AT("02.5", state)
#define QUEUED(id, content, place)                                         \
    "{\"id\":\"" id "\",\"content\":\"" content "\",\"state\":\"queued\"," \
    "\"finished_at\":null,\"detail\":\"\",\"position\":" place "}"
#define OVER(id, state, detail)                                                            \
    "{\"id\":\"" id "\",\"content\":\"more\",\"state\":\"" state "\",\"detail\":\"" detail \
    "\",\"finished_at\":\"2026-11-20T16:01:03Z\",\"position\":null}"
#define PROBLEM(title, detail) \
    "{\"type\":\"about:blank\",\"title\":\"" title "\",\"status\":409,\"detail\":\"" detail "\"}"

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

/* ---- send ---- */

static void test_send_waits_until_it_is_delivered(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "2"));
    fake_answer(f, AGAIN, 200, JSON("active", STATE("working")));
    fake_answer(f, MESSAGE, 200, QUEUED(MID, "more", "1"));
    fake_answer(f, AGAIN, 200, JSON("active", STATE("idle")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "delivered", ""));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 0);
    assert_string_equal(f->out, "The message has been sent to fix.\n");
}

static void test_send_without_waiting(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "3"));
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--no-wait"), 0);
    HAS(f->last_body, "\"content\":\"more\"");
    HAS(f->last_body, "\"id\":\"");
    assert_string_equal(f->err, "The message is queued at place 3.\n");
    assert_string_equal(f->out, "");
}

static void test_send_to_a_paused_task(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("paused", STATE("complete")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    fake_answer(f, "POST " ACT "/resume", 202, "{\"workspace_build\":{}}");
    fake_answer(f, AGAIN, 200, JSON("initializing", "null"));
    fake_answer(f, AGAIN, 200, JSON("active", STATE("idle")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "delivered", ""));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 0);
    HAS(f->err, "resuming it");
}

static void test_send_leaves_a_paused_task_when_told_so(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("paused", STATE("complete")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--no-wait"), 0);
    HAS(f->err, "stint task resume fix");
}

static void test_send_resumes_after_a_pause_that_was_under_way(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("unknown", "null"));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    fake_answer(f, AGAIN, 200, JSON("paused", "null"));
    fake_answer(f, MESSAGE, 200, QUEUED(MID, "more", "1"));
    fake_answer(f, "POST " ACT "/resume", 202, "{\"workspace_build\":{}}");
    fake_answer(f, AGAIN, 200, JSON("pending", "null"));
    fake_answer(f, AGAIN, 200, JSON("active", STATE("idle")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "delivered", ""));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 0);
}

static void test_a_pause_by_others_is_not_undone(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    fake_answer(f, AGAIN, 200, JSON("paused", "null"));
    fake_answer(f, MESSAGE, 200, QUEUED(MID, "more", "1"));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 75);
    HAS(f->err, "task fix was paused meanwhile; the message waits");
    HAS(f->err, "-> stint task resume fix, or take it back: stint task unsend fix 77777777");
}

static void test_what_became_of_a_message(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        int exit_status;
        const char *says;
    } rows[] = {
        {OVER(MID, "refused",   "no thanks"), 70, "no thanks"     },
        {OVER(MID, "withdrawn", ""),          75, "was taken back"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        fake_open(&f);
        fake_answer(&f, TASK, 200, JSON("active", STATE("working")));
        fake_answer(&f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
        fake_answer(&f, AGAIN, 200, JSON("active", STATE("working")));
        fake_answer(&f, MESSAGE, 200, rows[i].message);
        assert_int_equal(RUN(&f, "task", "send", "fix", "more"), rows[i].exit_status);
        HAS(f.err, rows[i].says);
        fake_close(&f);
    }
}

static void test_a_task_that_is_deleted_while_its_message_waits(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    fake_answer(f, AGAIN, 404, "{\"message\":\"Resource not found\"}");
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 66);
    HAS(f->err, "task fix was deleted, and the message with it");
}

static void test_a_task_in_error_takes_no_message(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("error", "null"));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 75);
    HAS(f->err, "-> stint task resume fix");
}

static void test_a_queueing_without_answer_is_tried_again(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, "POST " MESSAGES, 503, PROBLEM("The scheduler cannot be reached.", "x"));
    fake_answer(f, "POST " MESSAGES, 200, OVER(MID, "delivered", ""));
    assert_int_equal(RUN(f, "task", "send", "fix", "more"), 0);
    assert_true(f->waited_ms > 0);
}

static void test_too_many_wait(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " MESSAGES, 409, PROBLEM("Too many messages wait.", "Take some back."));
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--no-wait"), 75);
    HAS(f->err, "Too many messages wait.");
    HAS(f->err, "Take some back.");
    HAS(f->err, "-> stint task messages fix");
}

static void test_send_direct(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, "POST " ACT "/send", 204, "");
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--direct"), 0);
    assert_string_equal(f->last_body, "{\"input\":\"more\"}");
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "POST " ACT "/send", 409,
        "{\"message\":\"Task app is not ready to accept input.\",\"detail\":\"Status: running\"}");
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--direct"), 75);
    HAS(f->err, "-> without --direct the message waits");
}

/* The rest of before, also one that comes between, is not taken for the answer's. */
static void test_send_and_watch_shows_only_what_is_new(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE_AT("02", "working")));
    fake_answer(f, "GET " ACT "/logs", 200,
        "{\"logs\":[{\"id\":6,\"type\":\"input\",\"content\":\"more\"}]}");
    fake_answer(f, "POST " MESSAGES, 201, QUEUED(MID, "more", "1"));
    fake_answer(f, AGAIN, 200, JSON("active", STATE_AT("05", "complete")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "delivered", ""));
    fake_answer(f, "GET " ACT "/logs?after=5", 200,
        "{\"logs\":[{\"id\":7,\"type\":\"output\",\"content\":\"old\\n\"}]}");
    fake_answer(f, AGAIN, 200, JSON("active", STATE_AT("05", "complete")));
    fake_answer(f, "GET " ACT "/logs?after=6", 200,
        "{\"logs\":[{\"id\":7,\"type\":\"output\",\"content\":\"old\\n\"},"
        "{\"id\":8,\"type\":\"input\",\"content\":\"more\"}]}");
    fake_answer(f, "GET " ACT "/logs?after=7", 200, "{\"logs\":[]}");
    fake_answer(f, AGAIN, 200, JSON("active", STATE_AT("09", "complete")));
    fake_answer(f, "GET " ACT "/logs?after=7", 200,
        "{\"logs\":[{\"id\":9,\"type\":\"output\",\"content\":\"new\\n\"}]}");
    assert_int_equal(RUN(f, "task", "send", "fix", "more\n", "--watch"), 0);
    assert_string_equal(f->out, "new\n");
}

static void test_send_usage(void **state)
{
    struct fake *f = *state;
    assert_int_equal(RUN(f, "task", "send", "fix", "more", "--no-wait", "--watch"), 64);
    HAS(f->err, "--no-wait excludes --watch");
}

/* ---- messages, unsend ---- */

#define LISTED                                                                          \
    "{\"messages\":[" QUEUED(MID, "first", "1") "," QUEUED(OTHER, "2nd", "2") "," OVER( \
        "99999999-2222-4333-8444-555555555555", "delivered", "") "]}"

static void test_messages(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    assert_int_equal(RUN(f, "task", "messages", "fix", "-c", "id,state,place,content"), 0);
    assert_string_equal(f->out,
        "ID                                    STATE      PLACE  CONTENT\n" MID
        "  queued     1      first\n" OTHER
        "  queued     2      2nd\n99999999-2222-4333-8444-555555555555  delivered         more\n");
}

static void test_messages_as_json(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    assert_int_equal(RUN(f, "task", "messages", "fix", "--queued", "--json"), 0);
    assert_int_equal(f->out[0], '[');
    HAS(f->out, "\"2nd\"");
    assert_null(strstr(f->out, "delivered"));
}

static void test_no_messages(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "GET " MESSAGES, 200, "{\"messages\":[]}");
    assert_int_equal(RUN(f, "task", "messages", "fix"), 0);
    HAS(f->err, "stint task send fix");
}

static void test_unsend_by_id_and_by_its_beginning(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, MESSAGE, 200, QUEUED(MID, "first", "1"));
    fake_answer(f, "DELETE " MESSAGES "/" MID, 204, "");
    assert_int_equal(RUN(f, "task", "unsend", "fix", MID), 0);
    assert_string_equal(f->out, "The message has been taken back from fix.\n");
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    fake_answer(f, "DELETE " MESSAGES "/" OTHER, 204, "");
    assert_int_equal(RUN(f, "task", "unsend", "fix", "888"), 0);
}

static void test_unsend_of_what_cannot_be(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    assert_int_equal(RUN(f, "task", "unsend", "fix", "999"), 66); /* delivered */
    HAS(f->err, "-> stint task messages fix");
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "delivered", ""));
    fake_answer(f, "DELETE " MESSAGES "/" MID, 409,
        PROBLEM("The message has been delivered already.", "The message has been delivered "
                                                           "already."));
    assert_int_equal(RUN(f, "task", "unsend", "fix", MID), 75);
    HAS(f->err, "stint: The message has been delivered already.\n  -> stint task messages fix");
    fake_answer(f, TASK, 200, JSON("active", STATE("working")));
    fake_answer(f, MESSAGE, 200, OVER(MID, "withdrawn", ""));
    assert_int_equal(RUN(f, "task", "unsend", "fix", MID), 75);
    HAS(f->err, "taken back already");
}

/* ---- status ---- */

#define AGENT_JSON                                                                           \
    "{\"id\":\"a1\",\"lifecycle\":\"start_error\",\"connection\":\"connected\",\"health\":{" \
    "\"healthy\":false,\"reason\":\"agent startup script exited with an error\"},"           \
    "\"deadline\":\"2020-11-20T16:01:02Z\",\"apps\":[{\"slug\":\"claude\",\"health\":"       \
    "\"healthy\"},{\"slug\":\"preview\",\"health\":\"disabled\"}],\"metadata\":[{\"key\":"   \
    "\"cpu\",\"value\":\"12%\\n\",\"error\":\"\"},{\"key\":\"disk\",\"value\":\"\","         \
    "\"error\":\"timed out\"}],\"logs\":[]}"

static void test_status_shows_what_is_around(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, AGENT, 200, AGENT_JSON);
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    assert_int_equal(RUN(f, "task", "status", "fix"), 0);
    HAS(f->out, "Agent     start_error, connected: agent startup script exited with an error\n"
                "App       claude: healthy\nApp       preview: not watched\n"
                "Metadata  cpu: 12%\nMetadata  disk: failed, timed out\n"
                "Pauses    as soon as it rests\n"
                "Waiting   1. first\n          2. 2nd\n");
}

static void test_status_of_a_gateway_that_knows_less(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, AGENT, 404, "{\"message\":\"Route not found.\"}");
    fake_answer(f, "GET " MESSAGES, 404, "{\"message\":\"Route not found.\"}");
    assert_int_equal(RUN(f, "task", "status", "fix"), 0);
    assert_string_equal(f->err, "");
    assert_null(strstr(f->out, "Agent"));
}

static void test_status_as_json_and_by_columns(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, AGENT, 200, AGENT_JSON);
    fake_answer(f, "GET " MESSAGES, 200, LISTED);
    assert_int_equal(RUN(f, "task", "status", "fix", "--json"), 0);
    HAS(f->out, "\"agent\": {");
    HAS(f->out, "\"queued_messages\": [");
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    assert_int_equal(RUN(f, "task", "status", "fix", "-c", "status"), 0);
    HAS(f->out, "STATUS\nactive\n");
}

/* ---- logs --agent ---- */

#define LINES "GET /api/v2/workspaceagents/a1/logs?after="

static void test_logs_of_the_agent(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, AGENT, 200, AGENT_JSON);
    fake_answer(f, LINES "0", 200,
        "[{\"id\":1,\"created_at\":\"2026-11-20T16:01:02Z\",\"level\":\"info\",\"source\":"
        "\"start\",\"output\":\"cloning\\u001b[31m\"},{\"id\":2,\"created_at\":"
        "\"2026-11-20T16:01:03Z\",\"level\":\"error\",\"source\":\"start\",\"output\":\"no\"}]");
    fake_answer(f, LINES "2", 200, "[]");
    assert_int_equal(RUN(f, "task", "logs", "fix", "--agent"), 0);
    HAS(f->out, "  start: cloning\n");
    HAS(f->out, "  start: no\n");
}

static void test_logs_of_the_agent_as_json(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle")));
    fake_answer(f, AGENT, 200, AGENT_JSON);
    fake_answer(f, LINES "0", 200, "[{\"id\":1,\"output\":\"x\"}]");
    fake_answer(f, LINES "1", 200, "[{\"id\":2,\"output\":\"y\"}]");
    fake_answer(f, LINES "2", 200, "[]");
    assert_int_equal(RUN(f, "task", "logs", "fix", "--agent", "--json"), 0);
    HAS(f->out, "\"output\": \"y\"");
}

static void test_logs_of_a_task_without_an_agent(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("pending", "null"));
    fake_answer(f, AGENT, 200, "{\"id\":null,\"apps\":[]}");
    assert_int_equal(RUN(f, "task", "logs", "fix", "--agent"), 0);
    HAS(f->err, "has written anything");
}

/* ---- template edit ---- */

#define ROWS "[{\"id\":\"t1\",\"name\":\"shell\"},{\"id\":\"t2\",\"name\":\"other\"}]"

static void test_template_edit(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/templates", 200, ROWS);
    fake_answer(f, "PATCH /api/v2/templates/t1", 200, "{\"id\":\"t1\",\"name\":\"shell\"}");
    assert_int_equal(RUN(f, "template", "edit", "shell", "--idle-timeout", "1h", "--activity-bump",
                         "30m", "--display-name", "The shell"),
        0);
    assert_string_equal(f->last_body, "{\"display_name\":\"The shell\",\"default_ttl_ms\":3600000,"
                                      "\"activity_bump_ms\":1800000}");
    assert_string_equal(f->out, "The template shell has been changed.\n");
}

static void test_template_edit_that_changes_nothing(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/templates", 200, ROWS);
    fake_answer(f, "PATCH /api/v2/templates/t1", 304, "");
    assert_int_equal(RUN(f, "template", "edit", "t1", "--idle-timeout", "never"), 0);
    assert_string_equal(f->last_body, "{\"default_ttl_ms\":0}");
    assert_string_equal(f->out, "The template shell is so already.\n");
}

static void test_template_edit_mistakes(void **state)
{
    struct fake *f = *state;
    assert_int_equal(RUN(f, "template", "edit", "shell"), 64);
    HAS(f->err, "nothing is to be changed");
    assert_int_equal(RUN(f, "template", "edit", "shell", "--idle-timeout", "soon"), 64);
    HAS(f->err, "\"soon\" is no duration");
    fake_answer(f, "GET /api/v2/templates", 200, ROWS);
    assert_int_equal(RUN(f, "template", "edit", "shel", "--icon", "x"), 66);
    HAS(f->err, "did you mean \"shell\"?");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_fake, close_fake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_send_waits_until_it_is_delivered),
        CASE(test_send_without_waiting),
        CASE(test_send_to_a_paused_task),
        CASE(test_send_leaves_a_paused_task_when_told_so),
        CASE(test_send_resumes_after_a_pause_that_was_under_way),
        CASE(test_a_pause_by_others_is_not_undone),
        CASE(test_what_became_of_a_message),
        CASE(test_a_task_that_is_deleted_while_its_message_waits),
        CASE(test_a_task_in_error_takes_no_message),
        CASE(test_a_queueing_without_answer_is_tried_again),
        CASE(test_too_many_wait),
        CASE(test_send_direct),
        CASE(test_send_and_watch_shows_only_what_is_new),
        CASE(test_send_usage),
        CASE(test_messages),
        CASE(test_messages_as_json),
        CASE(test_no_messages),
        CASE(test_unsend_by_id_and_by_its_beginning),
        CASE(test_unsend_of_what_cannot_be),
        CASE(test_status_shows_what_is_around),
        CASE(test_status_of_a_gateway_that_knows_less),
        CASE(test_status_as_json_and_by_columns),
        CASE(test_logs_of_the_agent),
        CASE(test_logs_of_the_agent_as_json),
        CASE(test_logs_of_a_task_without_an_agent),
        CASE(test_template_edit),
        CASE(test_template_edit_that_changes_nothing),
        CASE(test_template_edit_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
