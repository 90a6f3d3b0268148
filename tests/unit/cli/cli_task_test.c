/* SPDX-License-Identifier: Apache-2.0 */
/* cli_task_test.c - goal: each task command asks the gateway what it should, in order, and tells
 * the answer to people and programs.  Method: whole commands against canned answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/task.h"
#include "tests/unit/cli/fake.h"

#define RUN(f, ...)  fake_run((f), __VA_ARGS__, NULL)
#define HAS(text, s) assert_non_null(strstr((text), (s)))

#define ID    "11111111-2222-4333-8444-555555555555"
#define TASK  "GET /api/v2/tasks/me/fix"
#define AGAIN "GET /api/v2/tasks/me/" ID
#define ACT   "/api/v2/tasks/ada/" ID

#define JSON(status, state)                                                           \
    "{\"id\":\"" ID "\",\"name\":\"fix\",\"owner_name\":\"ada\",\"status\":\"" status \
    "\",\"created_at\":\"2026-11-20T16:01:02.5Z\",\"current_state\":" state "}"
#define STATE(state, message)                                                                  \
    "{\"timestamp\":\"2026-11-20T16:01:02.5Z\",\"state\":\"" state "\",\"message\":\"" message \
    "\",\"uri\":\"\"}"
#define PENDING                                                                          \
    "{\"id\":\"" ID "\",\"name\":\"fix\",\"owner_name\":\"ada\",\"status\":\"pending\"," \
    "\"current_state\":null,\"queue\":{\"position\":3,\"size\":8,\"eta_seconds\":75}}"
#define TEMPLATES "GET /api/v2/templates?q=has-ai-task%3Atrue"
#define SHELL     "[{\"name\":\"shell\",\"active_version_id\":\"aaaa\"}]"

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

/* ---- create ---- */

static void test_create(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TEMPLATES, 200, SHELL);
    fake_answer(f, "POST /api/v2/tasks/me", 201, JSON("pending", "null"));
    assert_int_equal(RUN(f, "task", "create", "-t", "shell", "--name", "fix", "do it"), 0);
    assert_string_equal(
        f->last_body, "{\"template_version_id\":\"aaaa\",\"input\":\"do it\",\"name\":\"fix\"}");
    assert_string_equal(f->last_token, "secret");
    assert_string_equal(f->out, "The task fix has been created at 2026-11-20T16:01:02.5Z!\n");
    assert_string_equal(f->err, "Follow it: stint task watch fix\n");
}

static void test_create_quiet_prints_the_id_alone(void **state)
{
    struct fake *f = *state;
    fake_type(f, "from a pipe\n");
    fake_answer(f, TEMPLATES, 200, SHELL);
    fake_answer(f, "POST /api/v2/tasks/bob", 201, JSON("pending", "null"));
    assert_int_equal(RUN(f, "task", "create", "--stdin", "-q", "--owner", "bob"), 0);
    HAS(f->last_body, "from a pipe\\n");
    assert_string_equal(f->out, ID "\n");
}

static void test_create_without_template(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TEMPLATES, 200, "[{\"name\":\"shell\"},{\"name\":\"review\"}]");
    assert_int_equal(RUN(f, "task", "create", "x"), 64);
    HAS(f->err, "--template with one of: shell, review");
}

static void test_create_with_a_slip_in_the_template(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TEMPLATES, 200, SHELL);
    assert_int_equal(RUN(f, "task", "create", "-t", "shel", "x"), 66);
    HAS(f->err, "did you mean \"shell\"?");
}

static void test_create_refuses_before_asking(void **state)
{
    struct fake *f = *state;
    assert_int_equal(RUN(f, "task", "create", ""), 64);
    assert_int_equal(RUN(f, "task", "create", " \n"), 64);
    assert_int_equal(RUN(f, "task", "create", "--name", "not ok", "x"), 64);
    assert_int_equal(RUN(f, "task", "create", "\xff\xfe"), 64);
    assert_int_equal(RUN(f, "task", "create", "x", "--file", "/dev/null"), 64);
    assert_int_equal(RUN(f, "task", "create", "--file", "/nonexistent"), 66);
    char *large = malloc(1024 * 1024 + 2);
    memset(large, 'x', 1024 * 1024 + 1);
    large[1024 * 1024 + 1] = '\0';
    assert_int_equal(RUN(f, "task", "create", large), 65);
    free(large);
    assert_string_equal(f->out, "");
}

static void test_refusal_of_the_gateway_in_its_words(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TEMPLATES, 200, SHELL);
    fake_answer(f, "POST /api/v2/tasks/me", 409,
        "{\"message\":\"Workspace \\\"fix\\\" already exists.\",\"detail\":\"Really.\","
        "\"validations\":[{\"field\":\"name\",\"detail\":\"In use\\u001b[31m.\"}]}");
    assert_int_equal(RUN(f, "task", "create", "x"), 75);
    assert_string_equal(
        f->err, "stint: Workspace \"fix\" already exists.\n  Really.\n  name: In use.\n");
}

/* ---- list, status ---- */

static void test_list(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22me%22%20status%3A%22active%22", 200,
        "{\"tasks\":[" JSON(
            "active", STATE("working", "Line one\\nand \\u001b[1mtwo")) "],\"count\":1}");
    assert_int_equal(RUN(f, "task", "list", "--status", "active", "-c", "name,STATUS,message"), 0);
    assert_string_equal(f->out, "NAME  STATUS  MESSAGE\nfix   active  Line one and two\n");
}

static void test_list_as_json_and_ids(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks?q=", 200, "{\"tasks\":[" PENDING "],\"count\":1}");
    assert_int_equal(RUN(f, "task", "list", "--all", "--json"), 0);
    assert_memory_equal(f->out, "[\n  {\n", 6);
    HAS(f->out, "\"eta_seconds\": 75");
}

static void test_list_ids(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22bob%22", 200, "{\"tasks\":[" PENDING "]}");
    assert_int_equal(RUN(f, "task", "ls", "--user", "bob", "-q"), 0);
    assert_string_equal(f->out, ID "\n");
}

static void test_a_pending_task_shows_its_place(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, PENDING);
    assert_int_equal(RUN(f, "task", "status", "fix", "-c", "status,message,queue position"), 0);
    assert_string_equal(f->out, "STATUS   MESSAGE                              QUEUE POSITION\n"
                                "pending  place 3 of 8 in the queue, about 1m  3\n");
}

static void test_task_by_owner_and_name(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks/bob/fix%20it", 200, JSON("active", "null"));
    assert_int_equal(RUN(f, "task", "status", "bob/fix it", "-c", "name"), 0);
    assert_int_equal(RUN(f, "task", "status", "a/b/c"), 64);
    assert_int_equal(RUN(f, "task", "status", "/b"), 64);
}

static void test_unknown_task_suggests(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks/me/fxi", 404, "{\"message\":\"Resource not found\"}");
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22me%22", 200, "{\"tasks\":[" PENDING "]}");
    assert_int_equal(RUN(f, "task", "status", "fxi"), 66);
    HAS(f->err, "no task \"fxi\", did you mean \"fix\"?");
    HAS(f->err, "-> `stint task list`");
}

/* ---- watch ---- */

static void test_watch_to_the_end(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, PENDING);
    fake_answer(f, "GET " ACT "/logs", 200, "{\"logs\":[],\"snapshot\":true}");
    fake_answer(f, AGAIN, 200, JSON("active", STATE("working", "at it")));
    fake_answer(f, "GET " ACT "/logs", 200,
        "{\"logs\":[{\"id\":0,\"type\":\"input\",\"content\":\"echo a\"},"
        "{\"id\":1,\"type\":\"output\",\"content\":\"a\\nhal\"}]}");
    fake_answer(f, AGAIN, 200, JSON("active", STATE("complete", "done")));
    fake_answer(f, "GET " ACT "/logs?after=0", 200,
        "{\"logs\":[{\"id\":1,\"type\":\"output\",\"content\":\"a\\nhal\"},"
        "{\"id\":2,\"type\":\"output\",\"content\":\"f\"}]}");
    assert_int_equal(RUN(f, "task", "watch", "fix"), 0);
    assert_string_equal(f->out, "> echo a\na\nhalf\n");
    HAS(f->err, "fix  pending, place 3 of 8 in the queue, about 1m\n");
    HAS(f->err, "fix  active, working: at it\n");
    HAS(f->err, "fix  active, complete: done\n");
    assert_true(f->waited_ms > 0);
}

static void test_exit_status_of_watch_says_how_it_ended(void **state)
{
    (void)state;
    static const struct {
        const char *task;
        int exit_status;
    } rows[] = {
        {JSON("active",     STATE("complete", "")), 0},
        {JSON("active",     STATE("idle",     "")), 0},
        {JSON("active",     STATE("failed",   "")), 1},
        {JSON("active",     STATE("failure",  "")), 1},
        {JSON("error",      "null"),          2   },
        {JSON("paused", STATE("complete",             "")),    3 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        fake_open(&f);
        fake_answer(&f, TASK, 200, rows[i].task);
        fake_answer(&f, "GET " ACT "/logs", 409, "{\"message\":\"Cannot fetch logs\"}");
        assert_int_equal(RUN(&f, "task", "watch", "fix"), rows[i].exit_status);
        fake_close(&f);
    }
}

static void test_watch_says_why_there_is_an_error(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200,
        "{\"id\":\"" ID "\",\"name\":\"fix\",\"owner_name\":\"ada\",\"status\":\"error\","
        "\"workspace_id\":\"w1\"}");
    fake_answer(f, "GET " ACT "/logs", 409, "{\"message\":\"Cannot fetch logs\"}");
    fake_answer(f, "GET /api/v2/workspaces/w1", 200,
        "{\"latest_build\":{\"job\":{\"error\":\"cannot start\\nthe sandbox\"}}}");
    assert_int_equal(RUN(f, "task", "watch", "fix"), 2);
    HAS(f->err, "fix  error\n  why: cannot start the sandbox\n");
}

static void test_watch_of_a_task_that_is_deleted(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("working", "")));
    fake_answer(f, "GET " ACT "/logs", 200, "{\"logs\":[]}");
    fake_answer(f, AGAIN, 404, "{\"message\":\"Resource not found\"}");
    assert_int_equal(RUN(f, "task", "watch", "fix"), 4);
    HAS(f->err, "fix was deleted.\n");
}

static void test_watch_json_prints_the_end_alone(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("failed", "no")));
    assert_int_equal(RUN(f, "task", "watch", "fix", "--json"), 1);
    assert_int_equal(f->out[0], '{');
    HAS(f->out, "\"message\": \"no\"");
}

/* ---- logs ---- */

static void test_logs_of_a_paused_task(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("paused", "null"));
    fake_answer(f, "GET " ACT "/logs", 200,
        "{\"logs\":[{\"id\":4,\"type\":\"output\",\"content\":\"bye\\u0007\\r\\n\"}],\"snapshot\":"
        "true}");
    assert_int_equal(RUN(f, "task", "logs", "fix"), 0);
    assert_string_equal(f->out, "bye\n");
    assert_string_equal(f->err, "Task is paused. Showing last 1 messages from snapshot.\n");
}

static void test_logs_follow_ends_when_nothing_can_come(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("complete", "")));
    fake_answer(f, "GET " ACT "/logs", 200,
        "{\"logs\":[{\"id\":0,\"type\":\"output\",\"content\":\"a\\n\"}]}");
    fake_answer(f, AGAIN, 200, JSON("paused", STATE("complete", "")));
    fake_answer(f, "GET " ACT "/logs", 200,
        "{\"logs\":[{\"id\":0,\"type\":\"output\",\"content\":\"a\\n\"}],\"snapshot\":true}");
    assert_int_equal(RUN(f, "task", "logs", "-f", "fix"), 0);
    assert_string_equal(f->out, "a\n");
}

/* ---- pause, resume, delete ---- */

static void test_pause_waits_for_the_pause(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", STATE("idle", "")));
    fake_answer(f, "POST " ACT "/pause", 202, "{\"workspace_build\":{}}");
    fake_answer(f, AGAIN, 200, JSON("unknown", "null"));
    fake_answer(f, AGAIN, 200, JSON("paused", "null"));
    assert_int_equal(RUN(f, "task", "pause", "fix", "-y"), 0);
    assert_string_equal(f->out, "The task fix has been paused.\n");
}

static void test_pause_of_a_paused_task(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("paused", "null"));
    assert_int_equal(RUN(f, "task", "pause", "fix"), 75);
    HAS(f->err, "paused already");
    HAS(f->err, "-> stint task resume fix");
}

static void test_pause_goes_on_after_a_failure(void **state)
{
    struct fake *f = *state;
    fake_answer(f, "GET /api/v2/tasks/me/a", 200, JSON("paused", "null"));
    fake_answer(f, "GET /api/v2/tasks/me/b", 200, JSON("active", "null"));
    fake_answer(f, "POST " ACT "/pause", 202, "{}");
    assert_int_equal(RUN(f, "task", "pause", "a", "b", "--no-wait"), 75);
    HAS(f->out, "asked to pause");
}

static void test_resume_with_another_prompt(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("paused", "null"));
    fake_answer(f, "PATCH " ACT "/input", 204, "");
    fake_answer(f, "POST " ACT "/resume", 202, "{}");
    fake_answer(f, AGAIN, 200, JSON("active", STATE("idle", "")));
    assert_int_equal(RUN(f, "task", "resume", "fix", "--prompt", "make test"), 0);
    assert_string_equal(f->out, "The task fix has been resumed.\n");
}

static void test_delete_finds_all_before_the_first(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_answer(f, "GET /api/v2/tasks/me/none", 404, "{\"message\":\"Resource not found\"}");
    fake_answer(f, "GET /api/v2/tasks?q=owner%3A%22me%22", 200, "{\"tasks\":[]}");
    assert_int_equal(RUN(f, "task", "delete", "-y", "fix", "none"), 66);
}

static void test_delete_asks_or_wants_y(void **state)
{
    struct fake *f = *state;
    fake_answer(f, TASK, 200, JSON("active", "null"));
    assert_int_equal(RUN(f, "task", "delete", "fix"), 64);
    HAS(f->err, "-> add -y");
    fake_answer(f, TASK, 200, JSON("active", "null"));
    fake_answer(f, "DELETE " ACT, 202, "");
    assert_int_equal(RUN(f, "task", "delete", "-y", "fix"), 0);
    assert_string_equal(f->out, "The task fix has been deleted.\n");
}

/* ---- faults ---- */

static void test_faults_name_the_next_step(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *body;
        int exit_status;
        const char *says;
    } rows[] = {
        {401, "{\"message\":\"You are signed out.\"}", 77, "-> run `stint login http://gateway`"},
        {403, "{\"message\":\"Forbidden.\"}",          77, "stint: Forbidden."                  },
        {413, "{\"message\":\"Too large.\"}",          65, "Too large."                         },
        {429, "{\"message\":\"Slow down.\"}",          75, "-> wait a minute"                   },
        {503, "{\"message\":\"Not now.\"}",            69, "-> try again in a moment"           },
        {507, "{\"message\":\"Full.\"}",               74, "Full."                              },
        {500, "<html>oops</html>",                     70, "Is this the address of a Stint"     },
        {200, "<html>hello</html>",                    70, "something that is not JSON"         },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        fake_open(&f);
        fake_answer(&f, TASK, rows[i].status, rows[i].body);
        assert_int_equal(RUN(&f, "task", "status", "fix"), rows[i].exit_status);
        HAS(f.err, rows[i].says);
        assert_string_equal(f.out, "");
        fake_close(&f);
    }
}

static void test_nobody_answers(void **state)
{
    struct fake *f = *state;
    f->down = ERR_UNAVAILABLE;
    assert_int_equal(RUN(f, "task", "status", "fix"), 69);
    HAS(f->err, "no answer from http://gateway");
    HAS(f->err, "is the gateway running?");
    HAS(f->err, "deploy/local/up");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_fake, close_fake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_create),
        CASE(test_create_quiet_prints_the_id_alone),
        CASE(test_create_without_template),
        CASE(test_create_with_a_slip_in_the_template),
        CASE(test_create_refuses_before_asking),
        CASE(test_refusal_of_the_gateway_in_its_words),
        CASE(test_list),
        CASE(test_list_as_json_and_ids),
        CASE(test_list_ids),
        CASE(test_a_pending_task_shows_its_place),
        CASE(test_task_by_owner_and_name),
        CASE(test_unknown_task_suggests),
        CASE(test_watch_to_the_end),
        CASE(test_exit_status_of_watch_says_how_it_ended),
        CASE(test_watch_says_why_there_is_an_error),
        CASE(test_watch_of_a_task_that_is_deleted),
        CASE(test_watch_json_prints_the_end_alone),
        CASE(test_logs_of_a_paused_task),
        CASE(test_logs_follow_ends_when_nothing_can_come),
        CASE(test_pause_waits_for_the_pause),
        CASE(test_pause_of_a_paused_task),
        CASE(test_pause_goes_on_after_a_failure),
        CASE(test_resume_with_another_prompt),
        CASE(test_delete_finds_all_before_the_first),
        CASE(test_delete_asks_or_wants_y),
        CASE(test_faults_name_the_next_step),
        CASE(test_nobody_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
