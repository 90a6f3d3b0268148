/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what an agent says is told from its screens, without the echo of what was said to it and
 * without the box that people type into.
 * Method: rows of a screen before, a screen now, what was said, and what must come out.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include "agent/agentapi/answer.h"

#define RULE "────────────────────────"
#define BOX  RULE "\n❯\n" RULE "\n  ? for shortcuts"

/* clang-format off */
static const struct {
    const char *name;
    enum agent_type type;
    const char *before, *now, *said, *answer;
} rows[] = {
    {"a greeting", AGENT_CLAUDE, NULL, "\n Welcome\n\n" BOX, NULL, " Welcome"},
    {"an answer", AGENT_CLAUDE, "Welcome\n\n" BOX, "Welcome\n\n❯ hello\n\n● Hi!\n\n" BOX, "hello",
        "● Hi!"},
    {"the same question and answer again", AGENT_CLAUDE, "Hi\n❯ hello\n\n● Hi!\n\n" BOX,
        "Hi\n❯ hello\n\n● Hi!\n\n❯ hello\n\n● Hi!\n\n" BOX, "hello", "● Hi!"},
    {"a question of several lines, wrapped", AGENT_CLAUDE, "Welcome\n" BOX,
        "Welcome\n❯ first line of the\n  question\n  second line\n\n● Yes.\n" BOX,
        "first line of the question\nsecond line", "● Yes."},
    {"nothing yet", AGENT_CLAUDE, "Welcome\n" BOX, "Welcome\n❯ hello\n" BOX, "hello", ""},
    {"an answer with a comparison near the box", AGENT_CLAUDE, "Welcome\n" BOX,
        "Welcome\n❯ code\n● if a > b:\n" BOX, "code", "● if a > b:"},
    {"the screen has scrolled", AGENT_CUSTOM, "one\ntwo\n> ", "two\n> three\nthree!\n> ", "three",
        "three!"},
    {"no echo at all", AGENT_CUSTOM, "one\n> ", "one\nbot: hello\n> ", "hello", "bot: hello"},
    {"an echo behind a name", AGENT_CUSTOM, "one\nyou: ", "one\nyou: hello\nbot: hello", "hello",
        "bot: hello"},
    {"wide characters", AGENT_CUSTOM, "ok\n> ", "ok\n> 你好\n世界\n> ", "你好", "世界"},
    {"a report by a tool", AGENT_CLAUDE, "W\n" BOX,
        "W\n❯ go\n\n● coder - coder_report_task (MCP)(state: \"working\",\n"
        "                                   summary: \"x\")\n  ⎿  {\"message\":\"Thanks\"}\n\n"
        "● Done.\n" BOX,
        "go", "● Done."},
    {"reports folded away", AGENT_CLAUDE, "W\n" BOX,
        "W\n❯ go\n\n  Called coder (ctrl+o to expand)\n\n● Done.\n" BOX, "go", "● Done."},
    {"a box with sides", AGENT_GEMINI, "Hi\n╭─────────────────╮\n│ > │\n╰─────────────────╯",
        "Hi\n╭─────────────────╮\n│ > hello │\n╰─────────────────╯\n✦ Hello\n"
        "╭─────────────────╮\n│ >   │\n╰─────────────────╯",
        "hello", "✦ Hello"},
    {"codex", AGENT_CODEX, "Codex\n\n› Ask\n\n  model · 100% left",
        "Codex\n\n› hello\n\n• Hi there\n\n› Ask\n\n  model · 99% left", "hello", "• Hi there"},
    {"amp", AGENT_AMP, "Amp\n╭──────────────╮\n│      │\n╰──────────────╯",
        "Amp\n┃ hello\n\nHi!\n╭──────────────╮\n│      │\n╰──────────────╯", "hello", "Hi!"},
    {"opencode: its header changes by itself", AGENT_OPENCODE,
        "┃ # Talk\n┃ 10K/5%\n\nold\n┃\n┃\n┃\n┃ Build\n╹▀▀▀▀▀▀▀▀▀▀\n tab",
        "┃ # Talk\n┃ 12K/6%\n\nold\n┃ hello\n\n Hi!\n┃\n┃\n┃\n┃ Build\n╹▀▀▀▀▀▀▀▀▀▀\n tab", "hello",
        " Hi!"},
    {"goose", AGENT_GOOSE, "goose\n( O)> Press Enter to send",
        "goose\n( O)> hello\nHonk\n\n( O)> Press Enter to send", "hello", "Honk"},
    {"aider", AGENT_AIDER, "Aider\n" RULE "\n> ", "Aider\n" RULE "\n> hello\n\nHi\n" RULE "\n> ",
        "hello", "Hi"},
};
/* clang-format on */

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct strbuf out, now = lab_text(rows[i].now);
        struct strbuf before = lab_text(rows[i].before != NULL ? rows[i].before : "");
        strbuf_init(&out);
        answer_tell(
            rows[i].type, rows[i].before != NULL ? &before : NULL, &now, rows[i].said, &out);
        if (strcmp(out.s, rows[i].answer) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", rows[i].name, out.s, rows[i].answer);
        strbuf_done(&out);
    }
}

static const struct {
    const char *screen;
    enum agent_type type;
    bool is_ready;
} ready[] = {
    {"Hi\n" BOX,                                                   AGENT_CLAUDE, true },
    {"Do you trust this folder?\n" RULE "\n❯ 1. Yes\n  2. No\n", AGENT_CLAUDE, false},
    {"Loading",                                                    AGENT_CLAUDE, false},
    {"> ",                                                         AGENT_CUSTOM, true },
    {"sqlite> ",                                                   AGENT_CUSTOM, true },
    {"a -> b\n<html>\n-> c",                                       AGENT_CUSTOM, false},
    {"› Ask Codex\n\n  hints",                                   AGENT_CODEX,  true },
    {"› 1. Sign in\n",                                           AGENT_CODEX,  false},
    {"",                                                           AGENT_CUSTOM, false},
};

static void test_ready(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ready); i++) {
        struct lines lines = {0};
        lines_split(&lines, ready[i].screen, strlen(ready[i].screen));
        if (agent_type_is_ready(ready[i].type, &lines) != ready[i].is_ready)
            fail_msg("\"%s\" is%s ready", ready[i].screen, ready[i].is_ready ? " not" : "");
        lines_done(&lines);
    }
}

static void test_names(void **state)
{
    (void)state;
    enum agent_type type;
    assert_true(agent_type_parse("cursor-agent", &type) && type == AGENT_CURSOR);
    assert_true(agent_type_parse("q", &type) && type == AGENT_AMAZONQ);
    assert_false(agent_type_parse("emacs", &type));
    assert_int_equal(agent_type_of_program("/usr/bin/claude"), AGENT_CLAUDE);
    assert_int_equal(agent_type_of_program("python3"), AGENT_CUSTOM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
