/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the task's conversation has each of the app's messages once, under one number, whatever the
 * app or the agent forgets and remembers.
 * Method: conversations as text ("a:" the app, "u:" the user, '|' between); what is said, as text.
 */
#include "tests/unit/agent/lab.h"

#include "agent/conversation.h"
#include "agent/mirror.h"
#include "core/base/cleanup.h"
#include "core/base/mem.h"

struct bench {
    struct lab lab;
    struct loop *loop;
    struct reports *reports;
    struct status *status;
    struct mirror *mirror;
};

static void start(struct bench *b)
{
    struct errctx ctx = {0};
    struct uuid agent_id = lab_uuid(1);
    b->loop = loop_new();
    assert_int_equal(reports_open(b->lab.dir, &agent_id, &b->reports, &ctx), ERR_OK);
    b->status = status_new(b->reports, "app");
    assert_int_equal(mirror_open(b->loop, b->status, b->lab.dir, &b->mirror, &ctx), ERR_OK);
}

static void stop(struct bench *b)
{
    mirror_free(b->mirror);
    status_free(b->status);
    reports_free(b->reports);
    loop_free(b->loop);
    b->mirror = NULL;
}

static void restart(struct bench *b)
{
    stop(b);
    start(b);
}

static int setup(void **state)
{
    struct bench *b = mem_alloc(sizeof(*b));
    lab_open(&b->lab);
    start(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    if (b->mirror != NULL)
        stop(b);
    lab_close(&b->lab);
    free(b);
    return 0;
}

/* "u@5:hi" is said by the user in second 5. */
static void parse(char *text, struct conversation *c)
{
    char *rest = NULL;
    *c = (struct conversation){.v = mem_calloc(64, sizeof(*c->v))};
    for (char *word = strtok_r(text, "|", &rest); word != NULL; word = strtok_r(NULL, "|", &rest)) {
        struct conversation_message *m = &c->v[c->n];
        char *colon = strchr(word, ':');
        *colon = '\0';
        *m = (struct conversation_message){.id = c->n++,
            .is_user = word[0] == 'u',
            .content = colon + 1,
            .n = strlen(colon + 1),
            .time = word[1] == '@' ? word + 2 : ""};
    }
}

static size_t look(struct bench *b, const char *text, bool is_new_app)
{
    struct conversation c;
    char *copy = mem_strdup(text);
    parse(copy, &c);
    size_t known = mirror_sync(b->mirror, &c, is_new_app);
    free(c.v);
    free(copy);
    return known;
}

static bool update(struct bench *b, int id, const char *text)
{
    struct conversation c;
    char *copy = mem_strdup(text);
    parse(copy, &c);
    c.v->id = (uint64_t)id;
    bool ok = mirror_update(b->mirror, c.v);
    free(c.v);
    free(copy);
    return ok;
}

/* What has been said since the last time. */
static void assert_said(struct bench *b, const char *expected)
{
    assert_waiting(b->reports, expected);
    reports_commit(b->reports, reports_last(b->reports));
}

static void test_a_conversation_that_goes_on(void **state)
{
    struct bench *b = *state;
    assert_int_equal(look(b, "a:hello", true), 0);
    assert_said(b, "agent #0 \"hello\"\n");
    assert_true(update(b, 1, "u:do it"));
    assert_true(update(b, 2, "a:done"));
    assert_true(update(b, 2, "a:done"));
    assert_said(b, "user #1 \"do it\"\nagent #2 \"done\"\n");
    assert_int_equal(look(b, "a:hello|u:do it|a:done|u:more", false), 3);
    assert_said(b, "user #3 \"more\"\n");
    assert_false(update(b, 5, "a:gap"));
    assert_false(update(b, 1, "u:something else"));
    assert_int_equal(mirror_count(b->mirror), 4);
}

static bool has_settled(void *arg)
{
    struct bench *b = arg;
    char *text = lab_waiting(b->reports);
    bool ok = strstr(text, "step 99") != NULL;
    free(text);
    return ok;
}

static void test_a_message_that_changes_all_the_time(void **state)
{
    struct bench *b = *state;
    look(b, "a:step 0", true);
    for (int i = 1; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof(text), "a:step %d", i);
        assert_true(update(b, 0, text));
    }
    assert_said(b, "agent #0 \"step 0\"\n");
    int64_t before = clock_mono_ms();
    lab_run_until(b->loop, has_settled, b);
    assert_in_range(clock_mono_ms() - before, 150, 2000);
    assert_said(b, "agent #0 \"step 99\"\n");
    /* At rest: at once. */
    assert_true(update(b, 0, "a:end"));
    assert_said(b, "");
    mirror_flush(b->mirror);
    assert_said(b, "agent #0 \"end\"\n");
    /* What comes behind it does not wait either. */
    assert_true(update(b, 0, "a:very end"));
    assert_true(update(b, 1, "u:next"));
    assert_said(b, "agent #0 \"very end\"\nuser #1 \"next\"\n");
}

static void test_empty_messages_are_said_once_they_are_not(void **state)
{
    struct bench *b = *state;
    look(b, "a:", true);
    assert_said(b, "");
    assert_true(update(b, 0, "a:hi"));
    assert_said(b, "agent #0 \"hi\"\n");
}

static void test_the_agent_starts_again(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello|u:do it|a:done", true);
    assert_said(b, "agent #0 \"hello\"\nuser #1 \"do it\"\nagent #2 \"done\"\n");
    restart(b);
    assert_int_equal(look(b, "a:hello|u:do it|a:done|u:x", true), 3);
    /* They are said again: perhaps they had not been. */
    assert_said(b, "agent #0 \"hello\"\nuser #1 \"do it\"\nagent #2 \"done\"\nuser #3 \"x\"\n");
}

static void test_killed_between_the_record_and_the_saying(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello|u:do it", true);
    /* A store without these reports. */
    stop(b);
    assert_int_equal(unlinkat(b->lab.dir, "reports", 0), 0);
    start(b);
    look(b, "a:hello|u:do it", true);
    assert_said(b, "agent #0 \"hello\"\nuser #1 \"do it\"\n");
}

static void test_an_app_that_starts_over(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello|u@1:do it|a:done", true);
    assert_said(b, "agent #0 \"hello\"\nuser #1 \"do it\"\nagent #2 \"done\"\n");
    assert_int_equal(look(b, "a:hello again", true), 0);
    assert_said(b, ""); /* it may yet remember */
    mirror_flush(b->mirror);
    assert_said(b, "agent #3 \"hello again\"\n");
    update(b, 1, "u@2:do it");
    update(b, 2, "a:done");
    assert_said(b, "user #4 \"do it\"\nagent #5 \"done\"\n");
    /* Once more, and with the same greeting: it keeps its place. */
    assert_int_equal(look(b, "a:hello again|u@3:do it|a:other", true), 1);
    assert_said(b, "user #6 \"do it\"\nagent #7 \"other\"\n");
}

static void test_an_app_that_remembers_later(void **state)
{
    struct bench *b = *state;
    const char *all = "a:hello|u@1:do it|a:done";
    look(b, all, true);
    reports_commit(b->reports, reports_last(b->reports));
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            restart(b);
        look(b, "a:", true);
        assert_true(update(b, 0, "a:Welcome!"));
        /* The memory is loaded. */
        assert_false(update(b, 0, "a:hello"));
        assert_int_equal(look(b, all, false), 3);
        reports_commit(b->reports, reports_last(b->reports));
        assert_int_equal(mirror_id(b->mirror, 2), 2);
    }
    assert_true(update(b, 3, "u@2:next"));
    assert_said(b, "user #3 \"next\"\n");
}

static void test_killed_while_the_app_had_not_remembered_yet(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello|u@1:do it|a:done", true);
    look(b, "a:Welcome!", true);
    restart(b);
    assert_int_equal(look(b, "a:hello|u@1:do it|a:done", true), 3);
    assert_int_equal(mirror_id(b->mirror, 2), 2);
}

static void test_an_app_with_an_old_memory(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello|u@1:one|a:1|u@2:two|a:2", true);
    reports_commit(b->reports, reports_last(b->reports));
    /* What it has forgotten stays in the task. */
    assert_int_equal(look(b, "a:hello|u@1:one|a:1", true), 3);
    assert_true(update(b, 3, "u@3:three"));
    assert_true(update(b, 4, "a:3"));
    assert_said(b, "user #5 \"three\"\nagent #6 \"3\"\n");
    restart(b);
    assert_int_equal(look(b, "a:hello|u@1:one|a:1|u@3:three|a:3", true), 5);
    assert_int_equal(mirror_id(b->mirror, 4), 6);
}

static void test_a_greeting_alone(void **state)
{
    struct bench *b = *state;
    look(b, "a:hello", true);
    assert_int_equal(look(b, "a:hello, it grows", false), 1);
    mirror_flush(b->mirror);
    assert_int_equal(look(b, "a:another start", true), 0);
    mirror_flush(b->mirror);
    assert_said(
        b, "agent #0 \"hello\"\nagent #0 \"hello, it grows\"\nagent #1 \"another start\"\n");
}

static void test_no_room_for_reports(void **state)
{
    struct bench *b = *state;
    reports_set_limits(b->reports, 1024 * 1024, 1);
    look(b, "a:1|u:2|a:3", true);
    assert_true(update(b, 2, "a:4"));
    assert_said(b, "agent #0 \"1\"\n");
    mirror_flush(b->mirror);
    assert_said(b, "user #1 \"2\"\n");
    mirror_flush(b->mirror);
    assert_said(b, "agent #2 \"4\"\n");
}

static void test_damaged_record(void **state)
{
    struct bench *b = *state;
    const char *const texts[] = {"", "{", "{\"version\": 2, \"entries\": \"\"}",
        "{\"version\": 1, \"entries\": \"12\"}", "{\"version\": 1, \"entries\": 5}",
        "{\"version\": 1, \"entries\": \"0000000000000000000000000000000x\"}"};
    look(b, "a:hello", true);
    for (size_t i = 0; i < COUNT(texts); i++) {
        stop(b);
        lab_write(&b->lab, "mirror.json", texts[i], strlen(texts[i]));
        start(b);
        assert_int_equal(look(b, "a:hello", true), 0);
        assert_int_equal(mirror_id(b->mirror, 0), i + 1);
    }
}

static void test_long_content_is_cut(void **state)
{
    (void)state;
    struct strbuf in, out;
    strbuf_init(&in);
    strbuf_init(&out);
    for (int i = 0; i < 30000; i++)
        strbuf_addstr(&in, "é");
    mirror_add_content(&out, in.s, in.len, false, CHAT_CONTENT_BYTES_MAX);
    assert_true(out.len <= CHAT_CONTENT_BYTES_MAX && out.len > CHAT_CONTENT_BYTES_MAX - 8);
    assert_int_equal(strncmp(out.s, "[60000 bytes in all, cut here]\né", 33), 0);
    strbuf_clear(&out);
    mirror_add_content(&out, in.s, in.len, true, CHAT_CONTENT_BYTES_MAX);
    assert_true(out.len <= CHAT_CONTENT_BYTES_MAX && out.len > CHAT_CONTENT_BYTES_MAX - 8);
    assert_non_null(strstr(out.s, "é\n[60000 bytes in all, cut here]"));
    strbuf_clear(&out);
    mirror_add_content(&out, "\033[1mx\0y\r\n", 9, false, CHAT_CONTENT_BYTES_MAX);
    assert_string_equal(out.s, "x\xef\xbf\xbdy\n");
    strbuf_done(&in);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_conversation_that_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_message_that_changes_all_the_time, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_empty_messages_are_said_once_they_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_agent_starts_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_killed_between_the_record_and_the_saying, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_app_that_starts_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_app_that_remembers_later, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_killed_while_the_app_had_not_remembered_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_app_with_an_old_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_greeting_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_record, setup, teardown),
        cmocka_unit_test(test_long_content_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
