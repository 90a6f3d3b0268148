/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a task's state says is what its agent does.  Each complaint that users of Coder had
 * about it is a test.
 * Method: a story of what the app says, what its screen does and what the user sends; what is said
 * of it, one line per word.
 */
#include "tests/unit/agent/lab.h"

#include "agent/reconcile.h"
#include "core/base/cleanup.h"

/*
 * A story: words separated by blanks.
 *   run, rest           the screen; again: the same state has held for a while
 *   hand, back          a message is being handed over; it was not taken
 *   user<id>            a message of the user, in the conversation
 *   w:text i:text c:text f:text    the app says working, idle, complete, failure ("_" for "")
 *   end                 its process ends
 *   blind               the stream of events is lost
 */
static void tell(struct reconcile *r, const char *event, struct strbuf *said)
{
    static const enum app_state states[] = {
        ['w'] = APP_WORKING, ['i'] = APP_IDLE, ['c'] = APP_COMPLETE, ['f'] = APP_FAILURE};
    struct reconcile_word word;
    bool says = false;
    if (strcmp(event, "run") == 0 || strcmp(event, "rest") == 0)
        says = reconcile_screen(r, event[1] == 'u', &word);
    else if (strncmp(event, "user", 4) == 0)
        says = reconcile_user_message(r, strtoull(event + 4, NULL, 10), &word);
    else if (strcmp(event, "hand") == 0)
        reconcile_hands_over(r);
    else if (strcmp(event, "back") == 0)
        reconcile_took_back(r);
    else if (strcmp(event, "end") == 0)
        says = reconcile_ended(r, APP_FAILURE, "ended", &word);
    else if (strcmp(event, "blind") == 0)
        reconcile_lost_sight(r);
    else if (event[1] == ':')
        says = reconcile_app_says(r, states[(int)event[0]], event[2] == '_' ? "" : event + 2,
            strcmp(event + 2, "linked") == 0 ? "http://x" : "", &word);
    else
        fail_msg("no event: %s", event);
    if (says)
        strbuf_addf(said, "%s%s %s%s%s", said->len > 0 ? ", " : "", app_state_to_str(word.state),
            word.message, word.uri[0] != '\0' ? "@" : "", word.uri);
}

static void assert_story(const char *story, const char *expected)
{
    struct reconcile *r = reconcile_new();
    struct strbuf said;
    strbuf_init(&said);
    char *words = strdup(story), *rest = NULL;
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        tell(r, word, &said);
    if (strcmp(said.s, expected) != 0)
        fail_msg("%s\n  said:     %s\n  expected: %s", story, said.s, expected);
    free(words);
    strbuf_done(&said);
    reconcile_free(r);
}

/* Coder #19893: the agent says idle in the middle of its work. */
static void test_idle_is_never_shown_while_the_agent_is_running(void **state)
{
    (void)state;
    assert_story("run w:a i:done", "working , working a, working done");
    assert_story("run w:a i:done rest", "working , working a, working done, idle done");
    assert_story("i:hello run", "idle hello, working hello");
}

/* Coder #19146: nobody had sent a message, so the watcher's `working` was dropped. */
static void test_a_screen_that_moves_again_without_a_message_becomes_working(void **state)
{
    (void)state;
    assert_story("run w:a rest run run", "working , working a, idle a, working a");
    assert_story("run w:a rest run run rest", "working , working a, idle a, working a, idle a");
    assert_story("run c:a rest run run rest",
        "working , complete a, working a, complete a"); /* its own word still holds */
}

static void test_working_is_not_left_standing(void **state)
{
    (void)state;
    assert_story("rest w:a rest", "idle , working a, idle a");
    assert_story("rest user1 rest", "idle , working , idle ");
    assert_story("run w:a end", "working , working a, failure ended");
    assert_story("run end w:late i:late", "working , failure ended");
    assert_story("run end c:last", "working , failure ended, complete last");
    /* It has been started again. */
    assert_story("run end run rest", "working , failure ended, working ended, idle ended");
}

/* Coder #17928: the very first thing that is seen counts, whatever it is. */
static void test_the_first_report_is_not_missing(void **state)
{
    (void)state;
    assert_story("run", "working ");
    assert_story("rest", "idle ");
    assert_story("w:a", "working a");
    assert_story("user0", "working ");
}

static void test_complete_and_failure_hold_until_the_next_message(void **state)
{
    (void)state;
    assert_story("run c:a rest rest rest", "working , complete a");
    assert_story("run f:a rest", "working , failure a");
    assert_story("run c:a w:b rest", "working , complete a, working b, idle b");
    assert_story("run c:a rest user1 run rest", "working , complete a, working a, idle a");
    assert_story("run c:a blind run rest", "working , complete a");
}

/* An agent of thirty lines has reported before its terminal has shown the message. */
static void test_a_report_that_is_quicker_than_the_conversation(void **state)
{
    (void)state;
    assert_story("rest hand w:a c:done user1 run rest", "idle , working a, complete done");
    assert_story(
        "rest hand user1 w:a c:done run rest", "idle , working , working a, complete done");
    assert_story("rest c:old hand user1 run rest", "idle , complete old, working old, idle old");
    assert_story("rest c:old hand back run rest", "idle , complete old");
    assert_story("rest c:old hand w:new c:new user1 run rest user2",
        "idle , complete old, working new, complete new, working new");
}

static void test_a_screen_that_flickers_says_nothing(void **state)
{
    (void)state;
    assert_story("rest run rest run rest run rest", "idle ");
    assert_story("run c:a rest run rest run rest", "working , complete a");
    /* It spoke for itself while it moved. */
    assert_story("rest run c:a run", "idle , complete a");
}

static void test_messages_of_the_user(void **state)
{
    (void)state;
    assert_story("rest user1 user1 user0", "idle , working ");
    assert_story("rest w:a rest user1 run", "idle , working a, idle a, working a");
    assert_story("rest user1 rest user2 rest", "idle , working , idle , working , idle ");
    struct reconcile *r = reconcile_new();
    struct reconcile_word word;
    reconcile_skip_user_messages(r, 7);
    assert_false(reconcile_user_message(r, 7, &word));
    assert_true(reconcile_user_message(r, 8, &word));
    reconcile_free(r);
}

static void test_summaries_and_links(void **state)
{
    (void)state;
    assert_story("w:linked w:_ i:_", "working linked@http://x, idle linked@http://x");
    assert_story("w:linked w:b", "working linked@http://x, working b");
    assert_story("w:a w:a c:a c:a", "working a, complete a");
    assert_story("w:_", "working ");
}

static void test_long_words_are_cut_at_a_characters_end(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text);
    for (int i = 0; i < 100; i++)
        strbuf_addstr(&text, "é");
    struct reconcile *r = reconcile_new();
    struct reconcile_word word;
    assert_true(reconcile_app_says(r, APP_WORKING, text.s, "", &word));
    assert_int_equal(strlen(word.message), 160);
    strbuf_addch(&text, 'x');
    memmove(text.s + 1, text.s, text.len - 1);
    text.s[0] = 'x';
    assert_true(reconcile_app_says(r, APP_WORKING, text.s, "", &word));
    assert_int_equal(strlen(word.message), 159);
    strbuf_done(&text);
    reconcile_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_is_never_shown_while_the_agent_is_running),
        cmocka_unit_test(test_a_screen_that_moves_again_without_a_message_becomes_working),
        cmocka_unit_test(test_working_is_not_left_standing),
        cmocka_unit_test(test_the_first_report_is_not_missing),
        cmocka_unit_test(test_complete_and_failure_hold_until_the_next_message),
        cmocka_unit_test(test_a_report_that_is_quicker_than_the_conversation),
        cmocka_unit_test(test_a_screen_that_flickers_says_nothing),
        cmocka_unit_test(test_messages_of_the_user),
        cmocka_unit_test(test_summaries_and_links),
        cmocka_unit_test(test_long_words_are_cut_at_a_characters_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
