/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a prompt or message is run at most once, whatever dies when (rule 7), and what is said of
 * each turn is true.
 * Method: real turns of real commands on a real loop; the reports are read as text.  A crash is the
 * directory as it was at that instant, a restart everything opened anew on it.
 */
#include "tests/unit/agent/lab.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/turn_mark.h"
#include "agent/turns.h"
#include "core/base/mem.h"

struct bench {
    struct lab lab;
    struct loop *loop;
    struct manifest manifest;
    char *command[4];
    struct env_pair env[1];
    struct reports *reports;
    struct status *status;
    struct children *children;
    struct turns *turns;
    int build;
    uint64_t seen; /* reports that an assertion has looked at */
    bool is_stopped, are_gone;
    const char *held_back; /* what the app has said and nobody has heard yet */
};

static void on_turn(void *arg)
{
    struct bench *b = arg;
    if (b->turns != NULL)
        turns_pump(b->turns);
}

static void hear_out(void *arg)
{
    struct bench *b = arg;
    struct errctx ctx = {0};
    if (b->held_back != NULL)
        assert_int_equal(turns_app_says(b->turns, APP_WORKING, b->held_back, "", &ctx), ERR_OK);
    b->held_back = NULL;
}

/* A start: agent `build` of build `build`, with this command and prompt. */
static void start(struct bench *b, int build, const char *script, const char *prompt)
{
    struct errctx ctx = {0};
    b->build = build;
    b->manifest.agent_id = b->manifest.build_id = lab_uuid(build);
    free(b->manifest.prompt);
    b->manifest.prompt = mem_strdup(prompt);
    free(b->command[2]);
    b->command[2] = mem_strdup(script);
    b->loop = loop_new();
    b->children = children_new(b->loop);
    assert_int_equal(reports_open(b->lab.dir, &b->manifest.agent_id, &b->reports, &ctx), ERR_OK);
    b->status = status_new(b->reports, "app");
    const struct turns_conf conf = {.loop = b->loop,
        .manifest = &b->manifest,
        .status = b->status,
        .children = b->children,
        .state_dir = b->lab.dir,
        .run_dir = b->lab.path,
        .control_path = "/nowhere",
        .hear_out = hear_out,
        .arg = b};
    assert_int_equal(turns_new(&conf, &b->turns, &ctx), ERR_OK);
    loop_on_turn(b->loop, on_turn, b);
    b->seen = reports_last(b->reports);
    b->is_stopped = b->are_gone = false;
    turns_begin(b->turns);
}

static void on_gone(void *arg)
{
    ((struct bench *)arg)->are_gone = true;
}

/* The process is over; nothing of it is said or marked.  (What it ran is ended, as a sandbox
 * would.) */
static void crash(struct bench *b)
{
    turns_free(b->turns);
    b->turns = NULL;
    children_signal(b->children, SIGKILL);
    children_free(b->children);
    status_free(b->status);
    reports_free(b->reports);
    loop_free(b->loop);
    b->loop = NULL;
}

static int setup(void **state)
{
    static struct bench bench;
    struct bench *b = &bench;
    *b = (struct bench){0};
    lab_open(&b->lab);
    b->command[0] = mem_strdup("sh");
    b->command[1] = mem_strdup("-c");
    b->env[0] = (struct env_pair){mem_strdup("LAB"), mem_strdup(b->lab.path)};
    b->manifest.command = b->command;
    b->manifest.env = b->env;
    b->manifest.n_env = 1;
    b->manifest.agent_token = b->manifest.task_name = (char *)(uintptr_t) "t";
    b->manifest.workspace_name = b->manifest.owner_name = (char *)(uintptr_t) "w";
    b->manifest.app_slug = (char *)(uintptr_t) "app";
    b->manifest.dir = b->lab.path;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    if (b->loop != NULL)
        crash(b);
    for (size_t i = 0; i < COUNT(b->command); i++)
        free(b->command[i]);
    free(b->env[0].name);
    free(b->env[0].value);
    free(b->manifest.prompt);
    lab_close(&b->lab);
    return 0;
}

/* ---- looking ---- */

static bool has_ended(void *arg)
{
    return turns_are_stable(((struct bench *)arg)->turns);
}

/* What has been said since the last look, once the turn is over. */
static void assert_said(struct bench *b, const char *expected)
{
    lab_run_until(b->loop, has_ended, b);
    reports_commit(b->reports, b->seen);
    b->seen = reports_last(b->reports);
    assert_waiting(b->reports, expected);
}

/* The last report that is not output. */
static void assert_ends_with(struct bench *b, const char *says)
{
    char *text = lab_waiting(b->reports);
    char *line = text;
    for (char *next = text; *next != '\0'; next = strchr(next, '\n') + 1)
        if (strncmp(next, "agent", 5) != 0 && strchr("wicf", *next) != NULL)
            line = next;
    line[strcspn(line, "\n") + 1] = '\0';
    assert_string_equal(line, says);
    free(text);
}

static unsigned count_runs(struct bench *b)
{
    off_t size = lab_size(&b->lab, "runs");
    return size > 0 ? (unsigned)size : 0;
}

/* Runs until the command has left a sign. */
static bool has_run(void *arg)
{
    return count_runs(arg) > 0;
}

#define COUNT_RUN "printf x >>$LAB/runs; "

/* ---- what is said ---- */

static void test_prompt_is_run(void **state)
{
    struct bench *b = *state;
    start(b, 1, "cat $STINT_PROMPT_FILE; echo; echo 3 passed", "do it");
    assert_said(b, "user #0 \"do it\"\nworking \"Working on the prompt.\"\n"
                   "agent #1 \"do it\n3 passed\n\"\ncomplete \"3 passed\"\n");
}

static const struct {
    const char *script, *says;
} ends[] = {
    {"true",                       "complete \"Done.\"\n"                  },
    {"echo all good",              "complete \"all good\"\n"               },
    {"echo oops >&2; exit 3",      "failure \"exit status 3: oops\"\n"     },
    {"exit 1",                     "failure \"exit status 1\"\n"           },
    {"kill -9 $$",                 "failure \"ended by SIGKILL\"\n"        },
    {"echo almost; kill -TERM $$", "failure \"ended by SIGTERM: almost\"\n"},
};

static void test_ends(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        start(b, (int)i + 1, ends[i].script, i % 2 == 0 ? "even" : "odd");
        lab_run_until(b->loop, has_ended, b);
        assert_ends_with(b, ends[i].says);
        crash(b);
    }
}

static void test_long_last_line_is_cut(void **state)
{
    struct bench *b = *state;
    start(b, 1, "printf 'x%.0s' $(seq 300); exit 7", "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    const char *failure = strstr(text, "failure \"");
    assert_non_null(failure);
    assert_int_equal(strcspn(failure + 9, "\""), 160);
    free(text);
}

static void test_command_that_is_not_there(void **state)
{
    struct bench *b = *state;
    free(b->command[0]);
    b->command[0] = mem_strdup("no-such-agent");
    start(b, 1, "x", "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(strstr(text, "failure \"cannot run \"no-such-agent\": it is not in the PATH"));
    free(text);
    free(b->command[0]);
    b->command[0] = mem_strdup("/etc/passwd");
    struct uuid id = lab_uuid(7);
    struct turn_answer answer = turns_message(b->turns, &id, "hi", 2);
    assert_int_equal(answer.code, REFUSAL_APP_REJECTED);
    assert_string_equal(answer.detail, "cannot run \"/etc/passwd\": Permission denied");
}

static void test_large_prompt_is_not_in_the_environment(void **state)
{
    struct bench *b = *state;
    const size_t n = 200 * 1024;
    char *prompt = mem_alloc(n + 1);
    memset(prompt, 'p', n);
    start(b, 1, "wc -c <$STINT_PROMPT_FILE; echo ${CODER_TASK_PROMPT-none}", prompt);
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(strstr(text, "agent #7 \"204800\nnone\n\"")); /* behind seven pieces */
    free(text);
    free(prompt);
}

static void test_environment_is_only_what_is_given(void **state)
{
    struct bench *b = *state;
    setenv("LEAK", "1", 1);
    start(b, 1, "env | cut -d= -f1 | sort | tr '\\n' ' '; ls /proc/self/fd | tr '\\n' ' '", "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(strstr(text,
        "CODER CODER_AGENT_SOCKET_PATH CODER_AGENT_TOKEN CODER_MCP_APP_STATUS_SLUG CODER_TASK_ID "
        "CODER_TASK_PROMPT CODER_WORKSPACE_AGENT_NAME CODER_WORKSPACE_ID CODER_WORKSPACE_NAME "
        "CODER_WORKSPACE_OWNER_NAME HOME LAB LANG PATH PWD "
        "STINT_AGENT_SOCKET STINT_PROMPT_FILE STINT_TASK_ID STINT_TASK_NAME TERM USER 0 1 2 3 "));
    free(text);
}

/* ---- the app's own word ---- */

static const struct {
    enum app_state word;
    const char *script, *says;
} words[] = {
    {APP_COMPLETE, "echo x",         "complete \"its word\"\n"       },
    {APP_IDLE,     "echo x",         "idle \"its word\"\n"           },
    {APP_FAILURE,  "echo x",         "failure \"its word\"\n"        },
    {APP_WORKING,  "echo x",         "complete \"x\"\n"              },
    {APP_COMPLETE, "echo x; exit 2", "failure \"exit status 2: x\"\n"},
    {APP_FAILURE,  "echo x; exit 2", "failure \"its word\"\n"        },
};

static void test_words_of_the_app(void **state)
{
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(words); i++) {
        struct errctx ctx;
        start(b, (int)i + 1, words[i].script, i % 2 == 0 ? "even" : "odd");
        assert_int_equal(turns_app_says(b->turns, words[i].word, "its word", "", &ctx), ERR_OK);
        lab_run_until(b->loop, has_ended, b);
        assert_ends_with(b, words[i].says);
        crash(b);
    }
}

/* "The task shows idle although the agent is at it." */
static void test_idle_is_never_shown_while_the_app_runs(void **state)
{
    struct bench *b = *state;
    struct errctx ctx;
    start(b, 1, COUNT_RUN "while [ ! -e $LAB/go ]; do sleep 0.01; done", "p");
    lab_run_until(b->loop, has_run, b);
    assert_int_equal(
        turns_app_says(b->turns, APP_IDLE, "Which of the two?", "http://q", &ctx), ERR_OK);
    assert_waiting(b->reports, "user #0 \"p\"\nworking \"Working on the prompt.\"\n"
                               "working \"Which of the two?\" <http://q>\n");
    lab_write(&b->lab, "go", "", 0);
    lab_run_until(b->loop, has_ended, b);
    assert_ends_with(b, "idle \"Which of the two?\" <http://q>\n");
    /* At rest it may say so. */
    assert_int_equal(turns_app_says(b->turns, APP_IDLE, "Still waiting", "", &ctx), ERR_OK);
    assert_ends_with(b, "idle \"Still waiting\"\n");
}

/* ---- once ---- */

static void test_resume_does_not_run_the_prompt_again(void **state)
{
    struct bench *b = *state;
    start(b, 1, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    crash(b);
    start(b, 2, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(strstr(text, "idle \"Resumed. Waiting for a message.\"\n"));
    free(text);
    assert_int_equal(count_runs(b), 1);
    crash(b);
    start(b, 3, COUNT_RUN, "another");
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(count_runs(b), 2);
}

static void test_empty_prompt(void **state)
{
    struct bench *b = *state;
    start(b, 1, COUNT_RUN, "");
    assert_said(b, "idle \"Waiting for a message.\"\n");
    assert_int_equal(count_runs(b), 0);
}

static void test_killed_in_a_turn_same_build(void **state)
{
    struct bench *b = *state;
    start(b, 1, COUNT_RUN "exec sleep 100", "p");
    lab_run_until(b->loop, has_run, b);
    crash(b);
    start(b, 1, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(
        strstr(text, "failure \"The workspace stopped while the task was running.\"\n"));
    free(text);
    assert_int_equal(count_runs(b), 1);
    crash(b);
    /* The turn is over now: the next start has nothing to tell. */
    start(b, 1, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(count_runs(b), 1);
}

static void test_killed_in_a_turn_resumed(void **state)
{
    struct bench *b = *state;
    start(b, 1, COUNT_RUN "exec sleep 100", "p");
    lab_run_until(b->loop, has_run, b);
    crash(b);
    start(b, 2, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(
        strstr(text, "idle \"Resumed. The last run was interrupted; send a message to go on.\"\n"));
    free(text);
    assert_int_equal(count_runs(b), 1);
}

static void test_killed_between_mark_and_run(void **state)
{
    struct bench *b = *state;
    /* The mark is on disk, the command was never started: it is not started later either. */
    struct turn_mark mark;
    struct errctx ctx = {0};
    struct uuid build = lab_uuid(1);
    assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
    assert_int_equal(turn_mark_prompt(&mark, "p", &build, &ctx), ERR_OK);
    start(b, 1, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(count_runs(b), 0);
}

static void test_damaged_mark(void **state)
{
    struct bench *b = *state;
    const char *const texts[] = {"", "{", "[]", "{\"version\": 2}",
        "{\"version\": 1, \"prompt_sha256\": \"ab\"}", "{\"version\": 1, \"running_build_id\": 5}",
        "{\"version\": 1, \"taken\": [\"x\"]}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        lab_write(&b->lab, "turns.json", texts[i], strlen(texts[i]));
        start(b, 1, COUNT_RUN, "p");
        lab_run_until(b->loop, has_ended, b);
        crash(b);
        start(b, 1, COUNT_RUN, "p"); /* and the start after that */
        lab_run_until(b->loop, has_ended, b);
        assert_int_equal(count_runs(b), 0);
        crash(b);
    }
}

/* ---- messages ---- */

static void test_message_is_run_once(void **state)
{
    struct bench *b = *state;
    struct uuid id = lab_uuid(7);
    start(b, 1, COUNT_RUN "cat $STINT_PROMPT_FILE", "");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(turns_message(b->turns, &id, "hello", 5).code, REFUSAL_NONE);
        lab_run_until(b->loop, has_ended, b);
    }
    assert_int_equal(count_runs(b), 1);
    crash(b);
    start(b, 1, COUNT_RUN, "");
    assert_int_equal(turns_message(b->turns, &id, "hello", 5).code, REFUSAL_NONE);
    crash(b);
    start(b, 2, COUNT_RUN, "");
    assert_int_equal(turns_message(b->turns, &id, "hello", 5).code, REFUSAL_NONE);
    assert_int_equal(count_runs(b), 1);
}

static void test_message_in_a_turn(void **state)
{
    struct bench *b = *state;
    struct uuid first = lab_uuid(7), second = lab_uuid(8);
    start(b, 1, COUNT_RUN "exec sleep 100", "p");
    assert_int_equal(turns_message(b->turns, &first, "x", 1).code, REFUSAL_APP_BUSY);
    lab_run_until(b->loop, has_run, b);
    children_signal(b->children, SIGKILL);
    lab_run_until(b->loop, has_ended, b);
    /* The sender has been told no; it stays no. */
    assert_int_equal(turns_message(b->turns, &first, "x", 1).code, REFUSAL_APP_BUSY);
    assert_int_equal(turns_message(b->turns, &second, "x", 1).code, REFUSAL_NONE);
}

/* Nothing can be marked: as if the disk were full. */
static void fill_disk(struct bench *b)
{
    assert_int_equal(mkdirat(b->lab.dir, "turns.json.new", 0700), 0);
}

static void empty_disk(struct bench *b)
{
    assert_int_equal(unlinkat(b->lab.dir, "turns.json.new", AT_REMOVEDIR), 0);
}

static void test_message_for_a_full_disk(void **state)
{
    struct bench *b = *state;
    struct uuid id = lab_uuid(7);
    start(b, 1, COUNT_RUN, "");
    fill_disk(b);
    assert_int_equal(turns_message(b->turns, &id, "x", 1).code, REFUSAL_OVERLOADED);
    assert_false(turns_have_taken(b->turns, &id));
    empty_disk(b);
    assert_int_equal(turns_message(b->turns, &id, "x", 1).code, REFUSAL_NONE);
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(count_runs(b), 1);
}

static void test_prompt_waits_for_a_full_disk(void **state)
{
    struct bench *b = *state;
    struct uuid id = lab_uuid(7);
    fill_disk(b);
    start(b, 1, COUNT_RUN, "p");
    assert_false(turns_are_stable(b->turns)); /* the prompt goes first */
    assert_int_equal(turns_message(b->turns, &id, "x", 1).code, REFUSAL_APP_BUSY);
    empty_disk(b);
    lab_run_until(b->loop, has_ended, b);
    assert_int_equal(count_runs(b), 1);
}

static void test_many_messages_are_remembered(void **state)
{
    struct bench *b = *state;
    struct turn_mark mark;
    struct errctx ctx = {0};
    struct uuid build = lab_uuid(1);
    assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
    for (int i = 0; i < TURN_TAKEN_MAX + 10; i++) {
        struct uuid id = {
            {(uint8_t)(i >> 8), (uint8_t)i}
        };
        assert_int_equal(turn_mark_message(&mark, &id, &build, &ctx), ERR_OK);
    }
    assert_int_equal(turn_mark_load(&mark, b->lab.dir, &ctx), ERR_OK);
    assert_false(turn_mark_has_taken(&mark, &(struct uuid){
                                                {0, 9}
    }));
    assert_true(turn_mark_has_taken(&mark, &(struct uuid){
                                               {0, 10}
    }));
    assert_true(turn_mark_has_taken(&mark, &(struct uuid){
                                               {1, 9}
    }));
}

/* ---- stopping ---- */

static void on_stopped(void *arg)
{
    ((struct bench *)arg)->is_stopped = true;
}

static bool has_stopped(void *arg)
{
    struct bench *b = arg;
    return b->is_stopped && b->are_gone;
}

static void stop(struct bench *b, int64_t grace_ms)
{
    turns_stop(b->turns, on_stopped, b);
    assert_false(b->is_stopped);
    children_end(b->children, grace_ms, on_gone, b);
    lab_run_until(b->loop, has_stopped, b);
}

static void test_stop_in_a_turn(void **state)
{
    struct bench *b = *state;
    start(b, 1, COUNT_RUN "echo begun; exec sleep 100", "p");
    lab_run_until(b->loop, has_run, b);
    stop(b, 10000);
    assert_said(b, "user #0 \"p\"\nworking \"Working on the prompt.\"\nagent #1 \"begun\n\"\n"
                   "idle \"Paused while working.\"\n");
    struct uuid id = lab_uuid(7);
    assert_int_equal(turns_message(b->turns, &id, "x", 1).code, REFUSAL_APP_REJECTED);
    crash(b);
    start(b, 2, COUNT_RUN, "p");
    lab_run_until(b->loop, has_ended, b);
    char *text = lab_waiting(b->reports);
    assert_non_null(strstr(text, "idle \"Resumed. Waiting for a message.\"\n"));
    free(text);
    assert_int_equal(count_runs(b), 1);
}

static void test_stop_of_a_command_that_does_not_want_to(void **state)
{
    struct bench *b = *state;
    start(b, 1, "exec 2>/dev/null; trap '' TERM; " COUNT_RUN "while :; do sleep 0.01; done", "p");
    lab_run_until(b->loop, has_run, b);
    int64_t begin = clock_mono_ms();
    stop(b, 200);
    assert_true(clock_mono_ms() - begin >= 200);
    assert_said(
        b, "user #0 \"p\"\nworking \"Working on the prompt.\"\nidle \"Paused while working.\"\n");
}

static void test_stop_of_a_command_that_completes(void **state)
{
    struct bench *b = *state;
    struct errctx ctx;
    start(b, 1, "exec 2>/dev/null; trap 'exit 0' TERM; " COUNT_RUN "while :; do sleep 0.01; done",
        "p");
    lab_run_until(b->loop, has_run, b);
    assert_int_equal(turns_app_says(b->turns, APP_COMPLETE, "done after all", "", &ctx), ERR_OK);
    stop(b, 10000);
    assert_said(b, "user #0 \"p\"\nworking \"Working on the prompt.\"\n"
                   "complete \"done after all\"\n");
}

/* In a flood the app's last word is held back for a moment: it comes before the end, not behind. */
static void test_a_word_held_back_is_said_before_the_end(void **state)
{
    struct bench *b = *state;
    b->held_back = "the last of many";
    start(b, 1, "true", "p");
    lab_run_until(b->loop, has_ended, b);
    assert_said(b, "user #0 \"p\"\nworking \"Working on the prompt.\"\n"
                   "working \"the last of many\"\ncomplete \"Done.\"\n");
}

static void test_stop_with_a_full_store(void **state)
{
    struct bench *b = *state;
    /* The command hangs in its write as nobody takes its output: it can be stopped all the same. */
    start(b, 1, COUNT_RUN "exec yes", "p");
    reports_set_limits(b->reports, 1000, 10);
    lab_run_until(b->loop, has_run, b);
    stop(b, 10000);
    enum app_state last;
    assert_true(status_last(b->status, &last));
    assert_int_equal(last, APP_IDLE);
}

static void test_stop_between_turns(void **state)
{
    struct bench *b = *state;
    start(b, 1, "true", "p");
    lab_run_until(b->loop, has_ended, b);
    stop(b, 10000);
    assert_said(b, "user #0 \"p\"\nworking \"Working on the prompt.\"\ncomplete \"Done.\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prompt_is_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_last_line_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_that_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_large_prompt_is_not_in_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment_is_only_what_is_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_of_the_app, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_idle_is_never_shown_while_the_app_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_does_not_run_the_prompt_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_prompt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_in_a_turn_same_build, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_in_a_turn_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_between_mark_and_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_is_run_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_in_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_message_for_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prompt_waits_for_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_messages_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_in_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_stop_of_a_command_that_does_not_want_to, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_of_a_command_that_completes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_word_held_back_is_said_before_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_with_a_full_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_between_turns, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
