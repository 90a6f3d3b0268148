/* SPDX-License-Identifier: Apache-2.0 */
/* cli_command_test.c - goal: the command line is understood, or the mistake is named with what was
 * probably meant.  Method: parse against the real tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/suggest.h"
#include "tests/unit/cli/fake.h"

#define RUN(f, ...)  fake_run((f), __VA_ARGS__, NULL)
#define HAS(text, s) assert_non_null(strstr((text), (s)))

static void test_distance(void **state)
{
    (void)state;
    assert_int_equal(suggest_distance("list", "list"), 0);
    assert_int_equal(suggest_distance("lits", "list"), 1);
    assert_int_equal(suggest_distance("LIST", "list"), 0);
    assert_int_equal(suggest_distance("lst", "list"), 1);
    assert_int_equal(suggest_distance("lisst", "list"), 1);
    assert_int_equal(suggest_distance("", "list"), 4);
    assert_int_equal(suggest_distance("kitten", "sitting"), 3);
}

static void test_nearest_is_offered_and_nothing_far(void **state)
{
    (void)state;
    struct suggestion near = {.typed = "delte"};
    suggest_offer(&near, "status");
    suggest_offer(&near, "delete");
    assert_string_equal(near.best, "delete");
    struct suggestion far = {.typed = "frobnicate"};
    suggest_offer(&far, "delete");
    assert_null(far.best);
    struct suggestion begin = {.typed = "temp"};
    suggest_offer(&begin, "template");
    assert_string_equal(begin.best, "template");
}

static enum err parse(struct fake *f, struct call *call, const char *line)
{
    static char words[512];
    char *argv[40];
    int argc = 0;
    (void)snprintf(words, sizeof(words), "stint %s", line);
    for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
        argv[argc++] = w;
    return command_parse(&f->cli, &stint_root, argc, argv, call);
}

static void test_flags_in_every_form(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "task create --template shell -q --name=x hello",
        "task create -t shell -qn x hello",
        "tasks create hello -tshell --quiet -nx",
        "task create -q -t shell --name x -- hello",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct fake f;
        struct call call;
        fake_open(&f);
        assert_int_equal(parse(&f, &call, lines[i]), ERR_OK);
        assert_string_equal(call.command->name, "create");
        assert_string_equal(call_text(&call, "template"), "shell");
        assert_string_equal(call_text(&call, "name"), "x");
        assert_true(call_has(&call, "quiet"));
        assert_false(call_has(&call, "watch"));
        assert_int_equal(call.n_args, 1);
        assert_string_equal(call.args[0], "hello");
        fake_close(&f);
    }
}

static void test_after_two_dashes_all_are_arguments(void **state)
{
    (void)state;
    struct fake f;
    struct call call;
    fake_open(&f);
    assert_int_equal(parse(&f, &call, "task create -- --template"), ERR_OK);
    assert_string_equal(call.args[0], "--template");
    assert_int_equal(parse(&f, &call, "task send t -"), ERR_OK);
    assert_string_equal(call.args[1], "-");
    fake_close(&f);
}

static void test_mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *line, *problem;
    } rows[] = {
        {"taks",                    "did you mean \"stint task\"?"     },
        {"task lits",               "did you mean \"stint task list\"?"},
        {"frobnicate",              "unknown command \"frobnicate\""   },
        {"task list --stauts x",    "did you mean --status?"           },
        {"task list --zzz",         "unknown flag --zzz"               },
        {"task list -z",            "unknown flag -z"                  },
        {"task list --status",      "--status needs a value"           },
        {"task list --all=yes",     "--all takes no value"             },
        {"task list more",          "unexpected argument \"more\""     },
        {"task create fix the bug", "put text with spaces in quotes"   },
        {"task status",             "an argument is missing: TASK"     },
        {"task status t -o yaml",   "-o yaml is not known"             },
        {"task list --sta paused",  "did you mean --status?"           },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake f;
        struct call call;
        fake_open(&f);
        assert_int_equal(parse(&f, &call, rows[i].line), ERR_USAGE);
        HAS(f.cli.problem.s, rows[i].problem);
        HAS(f.cli.hint.s, "--help");
        fake_close(&f);
    }
}

static void test_a_mistake_goes_to_stderr_with_status_64(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    assert_int_equal(RUN(&f, "task", "lits"), 64);
    assert_string_equal(f.out, "");
    assert_string_equal(f.err, "stint: unknown command \"lits\", did you mean \"stint task "
                               "list\"?\n  -> stint task --help\n");
    fake_close(&f);
}

/* Every command of the tree has a summary, help, and, when it runs, an example. */
static void check_help(const struct command *c, char **argv, int argc)
{
    struct fake f;
    fake_open(&f);
    argv[argc] = (char *)(uintptr_t) "--help";
    assert_int_equal(command_main(&f.cli, &stint_root, argc + 1, argv), 0);
    fflush(f.cli.out);
    HAS(f.out, c->summary);
    HAS(f.out, "Usage:\n  stint");
    HAS(f.out, "--help");
    if (c->children == NULL)
        HAS(f.out, "Examples:");
    fake_close(&f);
    for (const struct command *const *k = c->children; k != NULL && *k != NULL; k++) {
        argv[argc] = (char *)(uintptr_t)(*k)->name;
        check_help(*k, argv, argc + 1);
    }
}

static void test_every_command_has_help(void **state)
{
    (void)state;
    char *argv[8] = {(char *)(uintptr_t) "stint"};
    check_help(&stint_root, argv, 1);
}

static void test_completion_knows_the_tree(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    assert_int_equal(RUN(&f, "completion", "bash"), 0);
    HAS(f.out, "'stint task') words='create list status watch logs send messages unsend pause ");
    HAS(f.out, "'stint template push') words='--name ");
    fake_close(&f);
}

static void test_version(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    assert_int_equal(RUN(&f, "--version"), 0);
    assert_string_equal(f.out, "stint " STINT_VERSION "\n");
    fake_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_nearest_is_offered_and_nothing_far),
        cmocka_unit_test(test_flags_in_every_form),
        cmocka_unit_test(test_after_two_dashes_all_are_arguments),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_a_mistake_goes_to_stderr_with_status_64),
        cmocka_unit_test(test_every_command_has_help),
        cmocka_unit_test(test_completion_knows_the_tree),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
