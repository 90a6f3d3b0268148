/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the Model Context Protocol as its versions say it, and an answer to every line.
 * Method: lines into the server, a world that only writes down what it is asked to do.
 */
#include "tests/unit/agent/lab.h"

#include "agent/mcp/tool.h"
#include "tests/unit/agent/mcp_world.h"

struct desk {
    struct fake_world world;
    struct mcp_server_conf conf;
    struct mcp_server *server;
};

static void desk_open(struct desk *d, bool can_report, bool has_user)
{
    fake_open(&d->world, can_report, has_user);
    d->conf = (struct mcp_server_conf){.world = &d->world.world};
    d->server = mcp_server_new(&d->conf);
}

static int setup(void **state)
{
    struct desk *d = calloc(1, sizeof(*d));
    desk_open(d, true, true);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct desk *d = *state;
    mcp_server_free(d->server);
    fake_close(&d->world);
    free(d);
    return 0;
}

static void say(struct desk *d, const char *line)
{
    mcp_server_line(d->server, line, strlen(line));
}

/* What it says to that, all lines of it. */
static const char *ask(struct desk *d, const char *line)
{
    strbuf_clear(&d->world.out);
    say(d, line);
    return d->world.out.s;
}

static void begin(struct desk *d, const char *version)
{
    char line[256];
    snprintf(line, sizeof(line),
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
        "\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":\"test\",\"version\":\"1\"}}}",
        version);
    say(d, line);
    say(d, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    strbuf_clear(&d->world.out);
}

#define assert_has(text, part)                           \
    do {                                                 \
        if (strstr((text), (part)) == NULL)              \
            fail_msg("no %s in %.600s", (part), (text)); \
    } while (0)

static void assert_error(struct desk *d, const char *line, const char *id, int code)
{
    char expected[128];
    snprintf(expected, sizeof(expected), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,",
        id, code);
    const char *answer = ask(d, line);
    assert_has(answer, expected);
    assert_string_equal(strchr(answer, '\n'), "\n");
}

/* ---- initialize ---- */

static void versions_are_negotiated(void **state)
{
    static const struct {
        const char *wanted, *given;
    } rows[] = {
        {"2024-11-05", "2024-11-05"},
        {"2025-03-26", "2025-03-26"},
        {"2025-06-18", "2025-06-18"},
        {"2025-11-25", "2025-11-25"},
        {"2023-01-01", "2025-11-25"},
        {"2099-01-01", "2025-11-25"},
        {"",           "2025-11-25"},
    };
    struct desk *d = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char line[200], expected[64];
        snprintf(line, sizeof(line),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":"
            "{\"protocolVersion\":\"%s\"}}",
            rows[i].wanted);
        snprintf(expected, sizeof(expected), "\"protocolVersion\":\"%s\"", rows[i].given);
        assert_has(ask(d, line), expected);
    }
    assert_has(
        ask(d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}"), "\"2025-11-25\"");
    assert_error(d,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}"
        "}",
        "1", -32602);
}

static void the_server_says_who_it_is(void **state)
{
    struct desk *d = *state;
    mcp_server_free(d->server);
    d->conf.instructions = "Be brief.";
    d->server = mcp_server_new(&d->conf);
    const char *answer = ask(d, "{\"jsonrpc\":\"2.0\",\"id\":\"i\",\"method\":\"initialize\","
                                "\"params\":{\"protocolVersion\":\"2025-06-18\"}}");
    assert_has(answer, "\"id\":\"i\"");
    assert_has(answer, "\"name\":\"Coder Agent\"");
    assert_has(answer, "\"capabilities\":{\"tools\":{}}");
    assert_has(answer, "\"instructions\":\"Be brief.\"");
}

static void nothing_but_ping_before_initialize(void **state)
{
    struct desk *d = *state;
    assert_error(d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}", "1", -32600);
    assert_string_equal(ask(d, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}"),
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n");
}

/* ---- messages ---- */

#define ASK(rest)    "{\"jsonrpc\":\"2.0\",\"id\":1," rest "}"
#define CALL(params) ASK("\"method\":\"tools/call\",\"params\":" params)

static void wrong_messages_are_answered(void **state)
{
    static const struct {
        const char *line, *id;
        int code;
    } rows[] = {
        {"{",                                                            "null",  -32700},
        {"garbage",                                                      "null",  -32700},
        {"\xff\xfe",                                                     "null",  -32700},
        {"{\"jsonrpc\":\"2.0\"} x",                                      "null",  -32700},
        {"1",                                                            "null",  -32600},
        {"null",                                                         "null",  -32600},
        {"\"text\"",                                                     "null",  -32600},
        {"[]",                                                           "null",  -32600},
        {"{}",                                                           "null",  -32600},
        {"{\"id\":1,\"method\":\"ping\"}",                               "1",     -32600},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}",           "1",     -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",        "null",  -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}",          "null",  -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}",                               "1",     -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"nothing\"}",    "\"x\"", -32601},
        {ASK("\"method\":2"),                                            "1",     -32600},
        {ASK("\"method\":\"ping\",\"params\":3"),                        "1",     -32600},
        {ASK("\"method\":\"ping\\u0000\""),                              "1",     -32600},
        {ASK("\"method\":\"resources/list\""),                           "1",     -32601},
        {ASK("\"method\":\"tools/list\",\"params\":{\"cursor\":\"2\"}"), "1",     -32602},
        {ASK("\"method\":\"tools/call\""),                               "1",     -32602},
        {CALL("[]"),                                                     "1",     -32602},
        {CALL("{\"name\":\"no\"}"),                                      "1",     -32602},
        {CALL("{\"name\":\"coder_report_task\",\"arguments\":[]}"),      "1",     -32602},
    };
    struct desk *d = *state;
    begin(d, "2025-06-18");
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_error(d, rows[i].line, rows[i].id, rows[i].code);
    assert_has(ask(d, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}"), "\"result\":{}");
}

static void what_wants_no_answer_gets_none(void **state)
{
    static const char *const lines[] = {
        "",
        " \t\r",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/whatever\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"x\"}}",
    };
    struct desk *d = *state;
    begin(d, "2025-06-18");
    for (size_t i = 0; i < COUNT(lines); i++)
        assert_string_equal(ask(d, lines[i]), "");
}

static void a_line_that_is_too_long_is_told(void **state)
{
    struct desk *d = *state;
    mcp_server_line_too_long(d->server);
    assert_has(d->world.out.s, "\"code\":-32700");
    assert_has(d->world.out.s, "4 MiB");
}

/* ---- tools ---- */

static size_t n_of(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL)
        n++, text++;
    return n;
}

static const char *list(struct desk *d)
{
    return ask(d, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{}}");
}

static void assert_offered(bool can_report, bool has_user, const char *allowed, size_t n,
    const char *there, const char *missing)
{
    struct desk d = {0};
    desk_open(&d, can_report, has_user);
    mcp_server_free(d.server);
    d.conf.allowed_tools = allowed;
    d.server = mcp_server_new(&d.conf);
    begin(&d, "2025-06-18");
    const char *answer = list(&d);
    assert_int_equal(n_of(answer, "\"inputSchema\""), n);
    assert_has(answer, there);
    assert_null(strstr(answer, missing));
    mcp_server_free(d.server);
    fake_close(&d.world);
}

static void tools_go_by_who_is_there(void **state)
{
    (void)state;
    assert_offered(true, true, NULL, 13, "coder_report_task", "?");
    assert_offered(true, false, "", 7, "coder_create_task", "coder_get_authenticated_user");
    assert_offered(false, true, NULL, 12, "stint_pause_task", "coder_report_task");
    assert_offered(false, false, NULL, 6, "coder_delete_task", "coder_get_template");
    assert_offered(true, true, "coder_report_task", 1, "coder_report_task", "coder_create_task");
    assert_offered(true, true, " coder_list_tasks , coder_report_task,,", 2, "coder_list_tasks",
        "coder_create_task");
    assert_offered(true, true, "coder_report", 0, "\"tools\":[]", "coder_report_task");
}

static void a_withheld_tool_cannot_be_called(void **state)
{
    struct desk *d = *state;
    mcp_server_free(d->server);
    d->world.world.can_report = false;
    d->server = mcp_server_new(&d->conf);
    begin(d, "2025-06-18");
    assert_error(d,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":"
        "\"coder_report_task\",\"arguments\":{\"summary\":\"x\",\"link\":\"\",\"state\":\"idle\"}}"
        "}",
        "1", -32602);
}

static void call(struct desk *d, const char *id, const char *tool, const char *arguments)
{
    struct strbuf line;
    strbuf_init(&line);
    strbuf_addf(&line,
        "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"tools/call\",\"params\":{\"name\":\"%s\","
        "\"arguments\":%s}}",
        id, tool, arguments);
    strbuf_clear(&d->world.out);
    say(d, line.s);
    strbuf_done(&line);
}

#define REPORT "{\"summary\":\"Half way\",\"link\":\"https://example.com/1\",\"state\":\"working\"}"

static void a_report_is_answered_when_it_is_taken(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    call(d, "5", "coder_report_task", REPORT);
    assert_string_equal(d->world.deeds.s, "report working \"Half way\" <https://example.com/1>\n");
    assert_string_equal(d->world.out.s, "");
    assert_int_equal(mcp_server_n_calls(d->server), 1);
    fake_reported(&d->world, 0, ERR_OK, "");
    assert_string_equal(d->world.out.s,
        "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
        "\"{\\\"message\\\":\\\"Thanks for reporting!\\\"}\"}]}}\n");
    assert_int_equal(mcp_server_n_calls(d->server), 0);
}

static void a_report_that_was_not_taken_is_an_error(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    call(d, "5", "coder_report_task", REPORT);
    fake_reported(&d->world, 0, ERR_INVALID, "no app \"x\" here; there are: claude");
    assert_has(d->world.out.s, "no app \\\"x\\\" here; there are: claude");
    assert_has(d->world.out.s, "\"isError\":true");
}

static void refused(struct desk *d, const char *tool, const char *arguments, const char *says)
{
    call(d, "1", tool, arguments);
    assert_has(d->world.out.s, says);
    assert_has(d->world.out.s, "\"isError\":true");
}

static void wrong_reports_are_errors_that_say_what_is_allowed(void **state)
{
    static const char tool[] = "coder_report_task", states[] = "working, complete, idle, failure";
    char line[400];
    struct desk *d = *state;
    begin(d, "2025-06-18");
    refused(d, tool, "{}", "summary is missing");
    refused(d, tool, "null", "summary is missing");
    refused(d, tool, "{\"summary\":null,\"state\":\"idle\"}", "summary is missing");
    refused(d, tool, "{\"summary\":\"\",\"state\":\"idle\"}", "summary is empty");
    refused(d, tool, "{\"summary\":5,\"state\":\"idle\"}", "summary must be a text");
    refused(d, tool, "{\"summary\":\"a\\nb\",\"state\":\"idle\"}", "line break");
    refused(d, tool, "{\"summary\":\"a\\u001bb\",\"state\":\"idle\"}", "control character");
    refused(d, tool, "{\"summary\":\"a\\u0000b\",\"state\":\"idle\"}", "control character");
    refused(d, tool, "{\"summary\":\"x\"}", "state is missing");
    refused(d, tool, "{\"summary\":\"x\",\"state\":\"busy\"}", states);
    refused(d, tool, "{\"summary\":\"x\",\"state\":\"Idle\"}", states);
    refused(d, tool, "{\"summary\":\"x\",\"state\":\"\"}", "state is empty");
    refused(d, tool, "{\"summary\":\"x\",\"state\":\"idle\",\"link\":\"a b\"}", "link has a space");
    refused(d, tool, "{\"summary\":\"x\",\"state\":\"idle\",\"link\":[]}", "link must be a text");
    snprintf(line, sizeof(line), "{\"summary\":\"%0161d\",\"state\":\"idle\"}", 7);
    refused(d, tool, line, "summary has 161 bytes; at most 160");
    assert_string_equal(d->world.deeds.s, "");

    snprintf(line, sizeof(line), "{\"summary\":\"%0160d\",\"state\":\"idle\"}", 7);
    call(d, "1", tool, line); /* no link is no error, as with Coder */
    assert_string_equal(d->world.out.s, "");
}

static void wrong_arguments_of_other_tools(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    refused(d, "coder_create_task", "{\"input\":\"x\",\"template_version_id\":\"y\"}",
        "template_version_id must be an id");
    refused(d, "coder_create_task", "{\"template_version_id\":\"y\"}", "input is missing");
    refused(d, "coder_list_tasks", "{\"status\":\"done\"}", "pending, initializing, active");
    refused(d, "coder_get_task_status", "{\"task_id\":\"a b\"}", "task_id has a space");
    assert_string_equal(d->world.deeds.s, "");
}

/* ---- a user's tools ---- */

#define TASK                                                                              \
    "{\"id\":\"11111111-1111-1111-1111-111111111111\",\"owner_name\":\"bob\",\"status\":" \
    "\"active\",\"current_state\":{\"state\":\"idle\",\"message\":\"m\"}}"
#define AT_TASK "/api/v2/tasks/bob/11111111-1111-1111-1111-111111111111"

/* A tool that reads the task, then acts. */
static void acts(struct desk *d, const char *tool, const char *deed, int status, const char *body,
    const char *says)
{
    strbuf_clear(&d->world.deeds);
    call(d, "1", tool, "{\"task_id\":\"t\",\"input\":\"go\"}");
    assert_string_equal(d->world.deeds.s, "GET /api/v2/tasks/me/t\n");
    strbuf_clear(&d->world.deeds);
    fake_answered(&d->world, d->world.n_jobs - 1, 200, TASK);
    assert_string_equal(d->world.deeds.s, deed);
    fake_answered(&d->world, d->world.n_jobs - 1, status, body);
    assert_has(d->world.out.s, says);
    assert_null(strstr(d->world.out.s, "isError"));
}

static void acts_on_a_task(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    acts(d, "coder_delete_task", "DELETE " AT_TASK "\n", 202, "", "Task deleted");
    acts(d, "coder_send_task_input", "POST " AT_TASK "/send {\"input\":\"go\"}\n", 204, "",
        "Input sent");
    acts(d, "coder_get_task_logs", "GET " AT_TASK "/logs\n", 200,
        "{\"logs\":[{\"id\":1,\"content\":\"hello\"}]}", "hello");
    acts(d, "stint_pause_task", "POST " AT_TASK "/pause\n", 202, "{}", "paused");
    acts(d, "stint_resume_task", "POST " AT_TASK "/resume\n", 202, "{}", "resumed");
    acts(d, "stint_queue_task_input",
        "POST /api/stint/v1/tasks/11111111-1111-1111-1111-111111111111/messages "
        "{\"content\":\"go\"}\n",
        201, "{\"state\":\"queued\"}", "queued");
}

static void tasks_are_named_in_three_ways(void **state)
{
    static const struct {
        const char *id, *path;
    } rows[] = {
        {"t",        "GET /api/v2/tasks/me/t\n"        },
        {"bob/t",    "GET /api/v2/tasks/bob/t\n"       },
        {"bob/../x", "GET /api/v2/tasks/bob/..%2Fx\n"  },
        {"a?b#c",    "GET /api/v2/tasks/me/a%3Fb%23c\n"},
    };
    struct desk *d = *state;
    begin(d, "2025-06-18");
    for (size_t i = 0; i < COUNT(rows); i++) {
        char arguments[128];
        snprintf(arguments, sizeof(arguments), "{\"task_id\":\"%s\"}", rows[i].id);
        strbuf_clear(&d->world.deeds);
        call(d, "1", "coder_get_task_status", arguments);
        assert_string_equal(d->world.deeds.s, rows[i].path);
        fake_answered(&d->world, d->world.n_jobs - 1, 200, TASK);
        assert_has(d->world.out.s, "\\\"status\\\":\\\"active\\\"");
    }
}

static void told(struct desk *d, int status, const char *body, const char *says)
{
    call(d, "1", "coder_delete_task", "{\"task_id\":\"t\"}");
    fake_answered(&d->world, d->world.n_jobs - 1, status, body);
    assert_has(d->world.out.s, says);
    assert_has(d->world.out.s, "\"isError\":true");
}

static void refusals_of_the_gateway_are_told(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    told(d, 404, "{\"message\":\"Resource not found\"}", "Resource not found (status 404)");
    told(d, 409, "{\"message\":\"Task is paused.\",\"detail\":\"Resume it.\"}",
        "Task is paused. Resume it. (status 409)");
    told(d, 409, "{\"title\":\"Full\",\"detail\":\"100 wait.\"}", "Full 100 wait. (status 409)");
    told(d, 401, "{\"message\":\"Signed out.\"}", "log in again");
    told(d, 429, "", "status 429");
    told(d, 500, "[]", "status 500");
    told(d, 200, "{}", "no task");
}

static void lists_and_creates(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    call(d, "1", "coder_list_tasks", "{\"status\":\"active\",\"user\":\"bob\"}");
    fake_answered(&d->world, 0, 200, "{\"tasks\":[" TASK "],\"count\":1}");
    assert_has(d->world.out.s, "{\\\"tasks\\\":[{");
    call(d, "1", "coder_create_task",
        "{\"input\":\"go\",\"template_version_id\":\"11111111-1111-1111-1111-111111111111\"}");
    fake_answered(&d->world, 1, 201, TASK);
    call(d, "1", "coder_list_templates", "{}");
    fake_answered(&d->world, 2, 200, "[{\"id\":\"i\",\"name\":\"n\",\"icon\":\"x\"}]");
    assert_has(d->world.out.s, "\\\"name\\\":\\\"n\\\"");
    assert_null(strstr(d->world.out.s, "icon"));
    call(
        d, "1", "coder_get_template", "{\"template_id\":\"11111111-1111-1111-1111-111111111111\"}");
    fake_answered(&d->world, 3, 200, "{\"id\":\"i\",\"name\":\"n\",\"active_version_id\":\"v\"}");
    fake_answered(&d->world, 4, 200, "[{\"ID\":\"p\",\"Name\":\"fast\",\"Default\":true}]");
    assert_has(d->world.out.s, "\\\"presets\\\":[{\\\"id\\\":\\\"p\\\"");
    assert_string_equal(d->world.deeds.s,
        "GET /api/v2/tasks?q=owner%3A%22bob%22%20status%3A%22active%22\n"
        "POST /api/v2/tasks/me {\"input\":\"go\",\"template_version_id\":"
        "\"11111111-1111-1111-1111-111111111111\"}\n"
        "GET /api/v2/templates\n"
        "GET /api/v2/templates/11111111-1111-1111-1111-111111111111\n"
        "GET /api/v2/templateversions/v/presets\n");
}

static void a_long_conversation_comes_with_its_end(void **state)
{
    struct desk *d = *state;
    struct strbuf body;
    strbuf_init(&body);
    strbuf_addstr(&body, "{\"logs\":[");
    for (int i = 0; i < 50; i++)
        strbuf_addf(&body, "%s{\"id\":%d,\"content\":\"%016384d\"}", i > 0 ? "," : "", i, i);
    strbuf_addstr(&body, "]}");
    begin(d, "2025-06-18");
    call(d, "1", "coder_get_task_logs", "{\"task_id\":\"t\"}");
    fake_answered(&d->world, 0, 200, TASK);
    fake_answered(&d->world, 1, 200, body.s);
    assert_true(d->world.out.len < 300 * 1024);
    assert_has(d->world.out.s, "\\\"id\\\":49,");
    assert_has(d->world.out.s, "newest part");
    assert_null(strstr(d->world.out.s, "\\\"id\\\":33,"));
    strbuf_done(&body);
}

static void without_a_user_task_tools_say_so(void **state)
{
    struct desk *d = *state;
    d->world.world.has_user = false;
    begin(d, "2025-06-18");
    call(d, "1", "coder_list_tasks", "{}");
    assert_has(d->world.out.s, "nobody is logged in");
    assert_string_equal(d->world.deeds.s, "");
}

/* ---- cancelling, batches ---- */

static void a_cancelled_call_has_no_answer(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    call(d, "\"1\"", "coder_report_task", REPORT);
    call(d, "1", "coder_report_task", REPORT);
    say(d, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
           "cancelled\",\"params\":{\"requestId\":1}}");
    assert_int_equal(mcp_server_n_calls(d->server), 1);
    assert_int_equal(d->world.n_cancelled, 1);
    assert_null(d->world.jobs[1]);
    fake_reported(&d->world, 0, ERR_OK, "");
    assert_has(d->world.out.s, "\"id\":\"1\"");
    assert_int_equal(n_of(d->world.out.s, "\n"), 1);
}

static void calls_are_answered_as_they_end(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-06-18");
    call(d, "1", "coder_report_task", REPORT);
    call(d, "2", "coder_report_task", REPORT);
    fake_reported(&d->world, 1, ERR_OK, "");
    assert_has(d->world.out.s, "\"id\":2");
    strbuf_clear(&d->world.out);
    fake_reported(&d->world, 0, ERR_OK, "");
    assert_has(d->world.out.s, "\"id\":1");
}

static void a_batch_is_answered_as_one(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-03-26");
    const char *answer =
        ask(d, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},"
               "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"},7,"
               "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":"
               "\"coder_report_task\",\"arguments\":" REPORT "}},"
               "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"initialize\"}]");
    assert_string_equal(answer, "");
    fake_reported(&d->world, 0, ERR_OK, "");
    answer = d->world.out.s;
    assert_int_equal(n_of(answer, "\n"), 1);
    assert_int_equal(answer[0], '[');
    assert_int_equal(n_of(answer, "\"jsonrpc\""), 4);
    assert_has(answer, "must not be in a batch");

    assert_string_equal(ask(d, "[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}]"), "");
    assert_error(d, "[]", "null", -32600);
}

static void other_versions_have_no_batches(void **state)
{
    static const char *const versions[] = {"2024-11-05", "2025-06-18", "2025-11-25"};
    struct desk *d = *state;
    for (size_t i = 0; i < COUNT(versions); i++) {
        begin(d, versions[i]);
        assert_error(d, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]", "null", -32600);
    }
}

static void the_end_comes_in_the_middle(void **state)
{
    struct desk *d = *state;
    begin(d, "2025-03-26");
    call(d, "1", "coder_report_task", REPORT);
    say(d, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":"
           "\"coder_report_task\",\"arguments\":" REPORT "}}]");
    mcp_server_free(d->server);
    assert_int_equal(d->world.n_cancelled, 2);
    assert_string_equal(d->world.out.s, "");
    d->server = NULL;
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(versions_are_negotiated),
        test(the_server_says_who_it_is),
        test(nothing_but_ping_before_initialize),
        test(wrong_messages_are_answered),
        test(what_wants_no_answer_gets_none),
        test(a_line_that_is_too_long_is_told),
        test(tools_go_by_who_is_there),
        test(a_withheld_tool_cannot_be_called),
        test(a_report_is_answered_when_it_is_taken),
        test(a_report_that_was_not_taken_is_an_error),
        test(wrong_reports_are_errors_that_say_what_is_allowed),
        test(wrong_arguments_of_other_tools),
        test(acts_on_a_task),
        test(tasks_are_named_in_three_ways),
        test(refusals_of_the_gateway_are_told),
        test(lists_and_creates),
        test(a_long_conversation_comes_with_its_end),
        test(without_a_user_task_tools_say_so),
        test(a_cancelled_call_has_no_answer),
        test(calls_are_answered_as_they_end),
        test(a_batch_is_answered_as_one),
        test(other_versions_have_no_batches),
        test(the_end_comes_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
