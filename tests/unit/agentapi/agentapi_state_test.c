/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a conversation comes back as it was; a file that is no conversation is kept, not
 * overwritten. Method: files in a directory of the test's own.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agentapi/dirs.h"
#include "agent/agentapi/pid_file.h"
#include "agent/agentapi/state.h"
#include "agent/file.h"
#include "core/base/mem.h"

static char dir[64], path[128];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/stint-agentapi-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/new/state.json", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dirs_remove(dir);
    return access(dir, F_OK) == 0;
}

static void put(const char *name, const char *text)
{
    dirs_make_parents(name);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void no_message(void *arg, const struct tracker_message *m)
{
    (void)arg, (void)m;
}

static void no_status(void *arg, enum tracker_status status)
{
    (void)arg, (void)status;
}

static struct tracker *tracker_with(const struct strbuf *screen)
{
    const struct tracker_conf conf = {
        .type = AGENT_CUSTOM,
        .prompt = "do it",
        .io = {.ready = nothing, .message = no_message, .status = no_status}
    };
    struct tracker *t = tracker_new(&conf, 0, 1700000000123456);
    tracker_snapshot(t, 25, 1700000000123456, screen);
    return t;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct errctx ctx = {0};
    struct state s;
    struct strbuf screen = lab_text("He said \"hi\"\n\t你好");
    struct tracker *t = tracker_with(&screen);
    assert_int_equal(state_load(path, &s, &ctx), ERR_NOT_FOUND);
    assert_int_equal(state_save(path, t, &ctx), ERR_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char parent[128];
    snprintf(parent, sizeof(parent), "%s/new", dir);
    assert_int_equal(stat(parent, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(state_load(path, &s, &ctx), ERR_OK);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.messages[0].text, screen.s);
    assert_int_equal(s.messages[0].time_us, 1700000000123456);
    assert_int_equal(s.messages[0].role, ROLE_AGENT);
    assert_string_equal(s.prompt, "do it");
    assert_false(s.prompt_sent);
    state_done(&s);
    tracker_free(t);
}

/* clang-format off */
static const struct {
    const char *text;
    bool is_good;
} rows[] = {
    {"{\"version\":1,\"messages\":[],\"initial_prompt\":\"\",\"initial_prompt_sent\":false}", true},
    {"{\"version\":1,\"messages\":null}", true},
    {"{\"version\":1,\"messages\":[{\"id\":0,\"message\":\"\",\"role\":\"user\",\"time\":\"x\"}],"
     "\"more\":1}",
        true},
    {"", false},
    {"{\"version\":1,\"messages\":[{\"id\":0,\"mess", false},
    {"{\"version\":2,\"messages\":[]}", false},
    {"{\"version\":\"1\",\"messages\":[]}", false},
    {"{\"messages\":[]}", false},
    {"{\"version\":1,\"messages\":{}}", false},
    {"{\"version\":1,\"messages\":[{\"message\":\"x\"}]}", false},
    {"{\"version\":1,\"messages\":[{\"message\":1,\"role\":\"user\"}]}", false},
    {"{\"version\":1,\"messages\":[{\"message\":\"x\",\"role\":\"root\"}]}", false},
    {"[]", false},
    {"\xff", false},
};
/* clang-format on */

static void test_what_cannot_be_read_is_kept_aside(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct errctx ctx = {0};
        struct state s = {0};
        put(path, rows[i].text);
        enum err e = state_load(path, &s, &ctx);
        if ((e == ERR_OK) != rows[i].is_good)
            fail_msg("%s: %s %s", rows[i].text, err_name(e), ctx.text);
        assert_int_equal(access(path, F_OK) == 0, rows[i].is_good);
        if (!rows[i].is_good) {
            assert_int_equal(e, ERR_INVALID);
            assert_non_null(strstr(ctx.text, ".unreadable"));
        }
        state_done(&s);
    }
    char aside[160];
    snprintf(aside, sizeof(aside), "%s.unreadable.2", path);
    struct strbuf text;
    strbuf_init(&text);
    assert_int_equal(file_read(AT_FDCWD, aside, 100, &text, NULL), ERR_OK);
    assert_string_equal(text.s, rows[4].text); /* the second bad one, as it was */
    strbuf_done(&text);
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } times[] = {
        {"1970-01-01T00:00:01Z",           1000000},
        {"1970-01-01T00:00:01.000002Z",    1000002},
        {"1970-01-01T00:00:01.000002999Z", 1000002},
        {"1970-01-01T01:00:01+01:00",      1000000},
        {"1969-12-31T23:00:01.5-01:00",    1500000},
        {"yesterday",                      0      },
    };
    for (size_t i = 0; i < COUNT(times); i++) {
        char text[200];
        struct state s = {0};
        snprintf(text, sizeof(text),
            "{\"version\":1,\"messages\":[{\"message\":\"\",\"role\":\"user\",\"time\":\"%s\"}]}",
            times[i].text);
        assert_int_equal(state_parse(text, strlen(text), &s, NULL), ERR_OK);
        assert_int_equal(s.messages[0].time_us, times[i].us);
        state_done(&s);
    }
}

static void test_pid_file(void **state)
{
    (void)state;
    char file[128], text[32];
    struct errctx ctx = {0};
    struct strbuf read;
    strbuf_init(&read);
    snprintf(file, sizeof(file), "%s/run/pid", dir);
    assert_int_equal(pid_file_take(file, &ctx), ERR_OK);
    assert_int_equal(file_read(AT_FDCWD, file, 100, &read, NULL), ERR_OK);
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    assert_string_equal(read.s, text);
    strbuf_done(&read);
    pid_file_drop(file);
    assert_int_not_equal(access(file, F_OK), 0);

    snprintf(text, sizeof(text), "%d\n", (int)getppid());
    put(file, text);
    assert_int_equal(pid_file_take(file, &ctx), ERR_CONFLICT);
    pid_file_drop(file); /* another's stays */
    assert_int_equal(access(file, F_OK), 0);

    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, file, long_ago, 0), 0);
    assert_int_equal(pid_file_take(file, &ctx), ERR_OK); /* that process has the number by chance */

    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    snprintf(text, sizeof(text), "%d\n", (int)pid);
    put(file, text);
    assert_int_equal(pid_file_take(file, &ctx), ERR_OK);
    put(file, "nonsense");
    assert_int_equal(pid_file_take(file, &ctx), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_kept_aside, set_up, tear_down),
        cmocka_unit_test(test_times),
        cmocka_unit_test_setup_teardown(test_pid_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
