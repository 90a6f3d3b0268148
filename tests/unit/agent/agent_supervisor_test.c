/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a life goes through its states in order and ends within its grace time, and what is left in
 * the reports afterwards is true of a workspace that has stopped.
 * Method: the whole agent in a process of its own, told to stop by SIGTERM; no worker listens, so
 * that everything it said is in its file afterwards.
 */
#include "agent/supervisor.h"
#include "tests/unit/agent/bench.h"

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/file.h"
#include "agent/lifecycle.h"

#define SH "\"command\":[\"sh\",\"-c\","

struct life {
    struct lab lab;
    pid_t pid;
    int64_t begin_mono_ms;
};

/* ---- a life ---- */

static void write_manifest(struct life *l, const char *keys)
{
    static const char id[] = "11111111-1111-4111-8111-111111111111";
    struct strbuf json;
    strbuf_init(&json);
    strbuf_addf(&json,
        "{\"version\":1,\"agent_id\":\"%s\",\"agent_token\":\"%s\",\"task_id\":\"%s\","
        "\"workspace_id\":\"%s\",\"build_id\":\"%s\",\"task_name\":\"t\",\"workspace_name\":\"t\","
        "\"owner_name\":\"o\",\"template_name\":\"m\",\"app_slug\":\"app\",\"build_number\":1,"
        "\"workers_dir\":\"/nowhere\",\"dir\":\"%s\",\"env\":{\"LAB\":\"%s\",\"HOME\":\"%s\"},%s}",
        id, id, id, id, id, l->lab.path, l->lab.path, l->lab.path, keys);
    lab_write(&l->lab, "manifest.json", json.s, json.len);
    strbuf_done(&json);
}

static void begin(struct life *l, const char *keys)
{
    write_manifest(l, keys);
    char manifest[128], run_dir[128];
    snprintf(manifest, sizeof(manifest), "%s/manifest.json", l->lab.path);
    snprintf(run_dir, sizeof(run_dir), "%s/run", l->lab.path);
    l->begin_mono_ms = clock_mono_ms();
    l->pid = fork();
    assert_true(l->pid >= 0);
    if (l->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct supervisor_options options = {.manifest = manifest, .run_dir = run_dir};
    struct errctx ctx = {0};
    enum err e = supervisor_run(&options, &ctx);
    if (e != ERR_OK)
        fprintf(stderr, "%s\n", ctx.text);
    exit(err_exit_status(e));
}

/* The loop of the waiting only; the life has one of its own. */
static void wait_until(bool (*is_true)(void *arg), void *arg)
{
    struct loop *loop = loop_new();
    lab_run_until(loop, is_true, arg);
    loop_free(loop);
}

struct wanted {
    struct life *l;
    const char *what;
};

static bool is_file(void *arg)
{
    struct wanted *w = arg;
    return lab_size(&w->l->lab, w->what) >= 0;
}

/* A file that a script or the app makes. */
static void wait_for_file(struct life *l, const char *name)
{
    struct wanted w = {l, name};
    wait_until(is_file, &w);
}

static bool is_in_reports(void *arg)
{
    struct wanted *w = arg;
    struct errctx ctx = {0};
    scoped(strbuf_done) struct strbuf bytes;
    strbuf_init(&bytes);
    if (file_read(w->l->lab.dir, "reports", 1 << 20, &bytes, &ctx) != ERR_OK)
        return false;
    return memmem(bytes.s, bytes.len, w->what, strlen(w->what)) != NULL;
}

/* A text that is said. */
static void wait_for_report(struct life *l, const char *text)
{
    struct wanted w = {l, text};
    wait_until(is_in_reports, &w);
}

/* Returns how long it took from SIGTERM to the end of the process. */
static int64_t end(struct life *l)
{
    int64_t told = clock_mono_ms();
    int wait_status;
    assert_int_equal(kill(l->pid, SIGTERM), 0);
    assert_int_equal(waitpid(l->pid, &wait_status, 0), l->pid);
    l->pid = 0;
    assert_int_equal(wait_status, 0);
    return clock_mono_ms() - told;
}

/* What it has said; only lines that begin with `what`, NULL: all.  The caller frees it. */
static char *said(struct life *l, const char *what)
{
    struct uuid id;
    struct errctx ctx = {0};
    struct reports *reports = NULL;
    assert_true(uuid_parse("11111111-1111-4111-8111-111111111111", &id));
    assert_int_equal(reports_open(l->lab.dir, &id, &reports, &ctx), ERR_OK);
    char *all = lab_waiting(reports);
    reports_free(reports);
    struct strbuf out;
    strbuf_init(&out);
    for (char *line = all, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1;
        if (what == NULL || strncmp(line, what, strlen(what)) == 0)
            strbuf_add(&out, line, (size_t)(next - line));
    }
    free(all);
    return strbuf_detach(&out);
}

static void assert_said(struct life *l, const char *what, const char *expected)
{
    scoped_free char *text = said(l, what);
    assert_string_equal(text, expected);
}

static int setup(void **state)
{
    static struct life life;
    life = (struct life){0};
    lab_open(&life.lab);
    *state = &life;
    return 0;
}

static int teardown(void **state)
{
    struct life *l = *state;
    if (l->pid > 0) { /* the test has failed */
        kill(l->pid, SIGKILL);
        waitpid(l->pid, NULL, 0);
    }
    lab_close(&l->lab);
    return 0;
}

/* ---- the states ---- */

static void test_ready_and_off(void **state)
{
    struct life *l = *state;
    begin(l, SH "\"touch $LAB/turn\"],\"prompt\":\"p\",\"scripts\":["
                "{\"name\":\"a\"," SH "\"touch $LAB/a\"],\"run\":\"start\",\"blocking\":true},"
                "{\"name\":\"z\"," SH "\"touch $LAB/z\"],\"run\":\"stop\"}]");
    wait_for_file(l, "turn");
    assert_true(lab_size(&l->lab, "a") >= 0);
    assert_int_equal(lab_size(&l->lab, "started"), UUID_STR_LEN);
    end(l);
    assert_true(lab_size(&l->lab, "z") >= 0);
    assert_said(l, "lifecycle",
        "lifecycle starting\nlifecycle ready\nlifecycle shutting_down\n"
        "lifecycle off\n");
}

static void test_error_and_timeout(void **state)
{
    struct life *l = *state;
    begin(l, SH "\"touch $LAB/turn\"],\"prompt\":\"p\",\"scripts\":["
                "{\"name\":\"a\"," SH "\"exit 1\"],\"run\":\"start\",\"blocking\":true},"
                "{\"name\":\"z\"," SH "\"sleep 100\"],\"run\":\"stop\",\"timeout_ms\":100}]");
    wait_for_file(l, "turn"); /* it is tried all the same */
    end(l);
    assert_said(l, "lifecycle",
        "lifecycle starting\nlifecycle start_error\n"
        "lifecycle shutting_down\nlifecycle shutdown_timeout\n");
}

static void test_stop_before_it_is_ready(void **state)
{
    struct life *l = *state;
    begin(l, SH "\"touch $LAB/turn\"],\"prompt\":\"p\",\"scripts\":["
                "{\"name\":\"a\"," SH "\"touch $LAB/a; sleep 100\"],\"run\":\"start\","
                "\"blocking\":true}]");
    wait_for_file(l, "a");
    end(l);
    assert_true(lab_size(&l->lab, "turn") < 0);
    assert_said(l, "lifecycle", "lifecycle starting\nlifecycle shutting_down\nlifecycle off\n");
}

static void test_every_way_is_drawn_or_none(void **state)
{
    (void)state;
    for (enum lifecycle to = 0; to < LIFECYCLE_COUNT; to++) {
        bool is_reached = false;
        for (enum lifecycle from = 0; from < LIFECYCLE_COUNT; from++)
            if (lifecycle_reason(from, to) != NULL) {
                is_reached = true;
                assert_true(to > from); /* a life goes one way */
                assert_false(lifecycle_is_over(from));
            }
        assert_int_equal(is_reached, to != LIFECYCLE_CREATED);
        assert_true(strlen(lifecycle_to_str(to)) > 0);
    }
}

/* ---- stopping ---- */

/* Stop script, turn, app and cron script: none wants to end. */
static void test_grace_time_is_for_everything(void **state)
{
    struct life *l = *state;
#define MULE(file) SH "\"trap '' TERM; touch $LAB/" file "; while :; do sleep 0.02; done\"]"
    begin(l, MULE("turn") ",\"prompt\":\"p\",\"grace_ms\":1000,\"apps\":[{\"slug\":\"web\"," MULE(
                 "app") "}],\"scripts\":[{\"name\":\"z\"," MULE("stop") ",\"run\":\"stop\"},"
                                                                        "{\"name\":\"b\"," MULE(
                                                                            "start") ",\"run\":"
                                                                                     "\"start\"}]");
    wait_for_file(l, "turn");
    wait_for_file(l, "app");
    wait_for_file(l, "start");
    /* The last reports are waited for for two seconds. */
    int64_t took = end(l);
    assert_in_range(took, 1000, 1000 + 2000 + 1500);
    assert_true(lab_size(&l->lab, "stop") >= 0);
    assert_said(l, "lifecycle shutdown", "lifecycle shutdown_timeout\n");
}

/* "The task says working although its workspace was stopped hours ago." */
static void test_working_is_never_left_standing(void **state)
{
    struct life *l = *state;
    begin(l, SH "\"touch $LAB/turn; exec sleep 100\"],\"prompt\":\"p\"");
    wait_for_file(l, "turn");
    end(l);
    scoped_free char *text = said(l, NULL);
    const char *last = strstr(text, "idle \"Paused while working.\"\n");
    assert_non_null(last);
    assert_null(strstr(last, "\nworking"));
    assert_non_null(strstr(last, "\nlifecycle off\n"));
}

static void test_app_that_is_ended_is_no_news(void **state)
{
    struct life *l = *state;
    begin(l, SH "\"true\"],\"prompt\":\"\",\"apps\":[{\"slug\":\"web\"," SH
                "\"touch $LAB/app; exec sleep 100\"],\"restart\":\"always\"}]");
    wait_for_file(l, "app");
    end(l);
    assert_said(l, "log", "");
}

/* ---- AgentAPI ---- */

/* An app that is none: it is told its port, its prompt and where to keep things, and its end is
 * said. */
static void test_agentapi_app_that_ends(void **state)
{
    struct life *l = *state;
    begin(l, "\"agentapi\":{\"port\":0,\"prompt\":\"none\",\"enable_state_persistence\":true},"
             "\"prompt\":\"do it\",\"apps\":[{\"slug\":\"app\"," SH
             "\"echo $AGENTAPI_PORT $AGENTAPI_URL; cat $STINT_PROMPT_FILE; echo; "
             "echo ${AGENTAPI_STATE_FILE#$LAB} ${AGENTAPI_PID_FILE#$LAB} $AGENTAPI_LOAD_STATE; "
             "touch $LAB/app\"],\"env\":{\"AGENTAPI_URL\":\"[${AGENTAPI_PORT}]\"}}]");
    wait_for_report(l, "The app has ended (exit status 0).");
    assert_true(lab_size(&l->lab, ".stint") >= 0);
    end(l);
    scoped_free char *log = said(l, "log");
    int port = atoi(strstr(log, "info \"") + 6);
    assert_true(port > 1024);
    char expected[512];
    snprintf(expected, sizeof(expected),
        "log 1 app info \"%d [%d]\"\nlog 2 app info \"do it\"\n"
        "log 3 app info \"/.stint/agentapi-state.json /.stint/agentapi.pid true\"\n"
        "log 4 app info \"The app has ended (exit status 0).\"\n",
        port, port);
    assert_string_equal(log, expected);
    assert_said(l, "health", "health of app: initializing\n");
}

/* ---- what is wrong ---- */

static int start_fails(struct life *l)
{
    int wait_status;
    assert_int_equal(waitpid(l->pid, &wait_status, 0), l->pid);
    l->pid = 0;
    assert_true(WIFEXITED(wait_status));
    assert_true(lab_size(&l->lab, "started") < 0);
    return WEXITSTATUS(wait_status);
}

static void test_manifest_and_secrets_that_are_not_right(void **state)
{
    struct life *l = *state;
    begin(l, "\"prompt\":\"\"");
    assert_int_equal(start_fails(l), err_exit_status(ERR_CONFIG));
    begin(l, SH "\"true\"],\"prompt\":\"\",\"secrets_file\":\"/nowhere/secrets.json\"");
    assert_int_equal(start_fails(l), err_exit_status(ERR_NOT_FOUND));
}

static void test_secrets_are_in_the_environment_and_nowhere_else(void **state)
{
    struct life *l = *state;
    char keys[512];
    lab_write(&l->lab, "secrets.json", "{\"API_KEY\":\"hunter2\"}", 21);
    snprintf(keys, sizeof(keys),
        SH "\"[ $API_KEY = hunter2 ] && touch $LAB/turn\"],\"prompt\":\"p\","
           "\"secrets_file\":\"%s/secrets.json\"",
        l->lab.path);
    begin(l, keys);
    wait_for_file(l, "turn");
    assert_true(lab_size(&l->lab, "secrets.json") < 0);
    end(l);
    assert_int_equal(unlinkat(l->lab.dir, "manifest.json", 0), 0); /* the test's command is there */
    char command[128];
    snprintf(command, sizeof(command), "grep -rq hunter2 '%s'", l->lab.path);
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ready_and_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_and_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_before_it_is_ready, setup, teardown),
        cmocka_unit_test(test_every_way_is_drawn_or_none),
        cmocka_unit_test_setup_teardown(test_grace_time_is_for_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_working_is_never_left_standing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_app_that_is_ended_is_no_news, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agentapi_app_that_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_manifest_and_secrets_that_are_not_right, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_secrets_are_in_the_environment_and_nowhere_else, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
