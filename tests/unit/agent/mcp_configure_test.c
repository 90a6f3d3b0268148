/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: other programs' files are edited without loss, the same way each time; sessions are found
 * where they are, and a stored token is sent nowhere else.
 * Method: files in a directory that is gone afterwards; the environment of this process.
 */
#include "tests/unit/agent/lab.h"

#include <jansson.h>

#include "agent/mcp/config_file.h"
#include "agent/mcp/configure.h"
#include "agent/mcp/options.h"
#include "agent/mcp/user.h"
#include "core/base/cleanup.h"

static struct lab lab;
static char path[256], md_path[256];

static const char *const variables[] = {"STINT_URL", "STINT_TOKEN", "CODER_URL",
    "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR", "ANTHROPIC_API_KEY", "TEST_A", "TEST_B"};

static int setup(void **state)
{
    (void)state;
    lab_open(&lab);
    snprintf(path, sizeof(path), "%s/.claude.json", lab.path);
    snprintf(md_path, sizeof(md_path), "%s/.claude/CLAUDE.md", lab.path);
    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    setenv("HOME", lab.path, 1);
    setenv("XDG_CONFIG_HOME", lab.path, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static char *content(const char *of)
{
    struct strbuf text;
    struct errctx ctx = {0};
    assert_int_equal(config_read_text(of, &text, &ctx), ERR_OK);
    char *s = strdup(text.s);
    strbuf_done(&text);
    return s;
}

/* ---- Claude Code ---- */

static enum err configure(const char *key)
{
    struct errctx ctx = {0};
    const struct claude_conf conf = {
        .config_path = path, .project = "/some/where/", .api_key = key};
    return configure_claude(
        &conf, configure_server("coder", json_pack("{s:s}", "SLUG", "x")), &ctx);
}

static json_t *at(json_t *value, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        value = json_object_get(value, *keys);
    return value;
}
#define AT(value, ...) at(value, (const char *const[]){__VA_ARGS__, NULL})

static void a_new_file(void **state)
{
    (void)state;
    assert_int_equal(configure("key"), ERR_OK);
    json_t *c = json_load_file(path, 0, NULL);
    json_t *project = AT(c, "projects", "/some/where");
    assert_string_equal(json_string_value(AT(c, "primaryApiKey")), "key");
    assert_true(json_is_true(AT(c, "hasCompletedOnboarding")));
    assert_true(json_is_true(AT(project, "hasTrustDialogAccepted")));
    assert_string_equal(json_string_value(json_array_get(AT(project, "allowedTools"), 0)),
        "mcp__coder__coder_report_task");
    json_t *server = AT(project, "mcpServers", "coder");
    assert_string_equal(json_string_value(AT(server, "command")), "coder");
    assert_int_equal(json_array_size(AT(server, "args")), 3);
    assert_string_equal(json_string_value(AT(server, "env", "SLUG")), "x");
    json_decref(c);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_rest_is_kept(void **state)
{
    (void)state;
    static const char old[] =
        "{\"numStartups\": 7, \"cost\": 0.1, \"primaryApiKey\": \"old\", \"projects\": "
        "{\"/other\": "
        "{\"a\": [1]}, \"/some/where\": {\"history\": [{\"display\": \"é\"}], \"allowedTools\": "
        "[\"Bash\"], \"mcpServers\": {\"mine\": {\"command\": \"m\"}, \"coder\": {\"command\": "
        "\"old\"}}}}, \"nul\": \"a\\u0000b\"}";
    lab_write(&lab, ".claude.json", old, sizeof(old) - 1);
    assert_int_equal(configure(NULL), ERR_OK);
    json_t *c = json_load_file(path, JSON_ALLOW_NUL, NULL);
    json_t *project = AT(c, "projects", "/some/where");
    assert_int_equal(json_integer_value(AT(c, "numStartups")), 7);
    assert_true(json_real_value(AT(c, "cost")) == 0.1);
    assert_string_equal(json_string_value(AT(c, "primaryApiKey")), "old");
    assert_int_equal(json_array_size(AT(c, "projects", "/other", "a")), 1);
    assert_int_equal(json_array_size(AT(project, "history")), 1);
    assert_int_equal(json_array_size(AT(project, "allowedTools")), 2);
    assert_string_equal(json_string_value(AT(project, "mcpServers", "mine", "command")), "m");
    assert_string_equal(json_string_value(AT(project, "mcpServers", "coder", "command")), "coder");
    assert_int_equal(json_string_length(AT(c, "nul")), 3);
    json_decref(c);
}

static void twice_is_once(void **state)
{
    (void)state;
    struct stat first, second;
    assert_int_equal(configure("key"), ERR_OK);
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(configure("key"), ERR_OK);
    assert_int_equal(stat(path, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* not even written */
}

static void what_is_not_understood_is_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"a\":", "[]", "3", "{} x", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        lab_write(&lab, ".claude.json", texts[i], strlen(texts[i]));
        assert_int_equal(configure("key"), ERR_INVALID);
        scoped_free char *now = content(path);
        assert_string_equal(now, texts[i]);
    }
    lab_write(&lab, ".claude.json", " \n", 2); /* empty is not wrong */
    assert_int_equal(configure("key"), ERR_OK);
}

static void a_link_stays_a_link(void **state)
{
    (void)state;
    struct stat st;
    lab_write(&lab, "real.json", "{\"x\": 1}", 8);
    assert_int_equal(symlinkat("real.json", lab.dir, ".claude.json"), 0);
    assert_int_equal(configure("key"), ERR_OK);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_true(lab_size(&lab, "real.json") > 100);
}

static void a_key_of_the_environment_is_approved_not_stored(void **state)
{
    (void)state;
    setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789-abcdefghijklmnopqrst", 1);
    assert_int_equal(configure(NULL), ERR_OK);
    scoped_free char *text = content(path);
    assert_null(strstr(text, "sk-ant"));
    assert_non_null(strstr(text, "\"abcdefghijklmnopqrst\""));
}

static void servers_of_others_are_kept(void **state)
{
    (void)state;
    struct errctx ctx = {0};
    char file[256];
    snprintf(file, sizeof(file), "%s/.cursor/mcp.json", lab.path);
    assert_int_equal(configure_json(file, configure_server(NULL, json_object()), &ctx), ERR_OK);
    json_t *c = json_load_file(file, 0, NULL);
    assert_non_null(strstr(json_string_value(AT(c, "mcpServers", "coder", "command")), "test"));
    json_object_set_new(AT(c, "mcpServers"), "mine", json_object());
    assert_int_equal(json_dump_file(c, file, 0), 0);
    json_decref(c);
    assert_int_equal(configure_json(file, configure_server("x", json_object()), &ctx), ERR_OK);
    c = json_load_file(file, 0, NULL);
    assert_int_equal(json_object_size(AT(c, "mcpServers")), 2);
    json_decref(c);
}

/* ---- CLAUDE.md ---- */

#define BLOCKS "<coder-prompt>\nR\n</coder-prompt>\n<system-prompt>\nS\n</system-prompt>\n"

static void assert_md(const char *old, const char *text)
{
    const struct claude_conf conf = {.report_prompt = "R", .system_prompt = "S"};
    scoped_free char *made = claude_md_text(&conf, old);
    assert_string_equal(made, text);
}

static void prompts_stand_between_their_markers(void **state)
{
    (void)state;
    assert_md("", BLOCKS);
    assert_md("# Mine\n\ntext\n", BLOCKS "# Mine\n\ntext\n");
    assert_md(BLOCKS "# Mine\n", BLOCKS "# Mine\n");
    assert_md("\n\n<system-prompt>\nold\n</system-prompt>\n\n# Mine", BLOCKS "# Mine");
    assert_md("before\n<coder-prompt>\nold\n</coder-prompt>\nafter\n", BLOCKS "before\nafter\n");
    assert_md(BLOCKS BLOCKS "x\n", BLOCKS "x\n");
    assert_md("a <coder-prompt> never ended\n", BLOCKS "a <coder-prompt> never ended\n");
    assert_md("</coder-prompt> x <coder-prompt>", BLOCKS "</coder-prompt> x <coder-prompt>");
}

static void prompts_may_lack_and_have_more(void **state)
{
    (void)state;
    const struct claude_conf none = {.system_prompt = "S"};
    const struct claude_conf more = {
        .report_prompt = "R", .coder_prompt = "C", .system_prompt = "S"};
    scoped_free char *a = claude_md_text(&none, ""), *b = claude_md_text(&more, "");
    assert_int_equal(strncmp(a, "<coder-prompt>\n\n</coder-prompt>\n", 31), 0);
    assert_int_equal(strncmp(b, "<coder-prompt>\nR\n\nC\n</coder-prompt>\n", 35), 0);
}

static void claude_md_is_written_with_its_directory(void **state)
{
    (void)state;
    struct errctx ctx = {0};
    const struct claude_conf conf = {
        .md_path = md_path, .report_prompt = "R", .system_prompt = "S"};
    for (int i = 0; i < 2; i++)
        assert_int_equal(configure_claude_md(&conf, &ctx), ERR_OK);
    scoped_free char *text = content(md_path);
    assert_string_equal(text, BLOCKS);
    lab_write(&lab, ".claude/CLAUDE.md", "a\0b", 3);
    assert_int_equal(configure_claude_md(&conf, &ctx), ERR_INVALID);
}

/* ---- sessions ---- */

static void assert_user(const char *url, const char *token)
{
    struct mcp_user u;
    user_load(&u);
    assert_string_equal(u.url != NULL ? u.url : "-", url);
    assert_string_equal(u.token != NULL ? u.token : "-", token);
    user_done(&u);
}

static void write_in(const char *directory, const char *name, const char *text)
{
    char file[64];
    mkdirat(lab.dir, directory, 0700);
    snprintf(file, sizeof(file), "%s/%s", directory, name);
    lab_write(&lab, file, text, strlen(text));
}

static void a_session_is_found_where_it_is(void **state)
{
    (void)state;
    assert_user("-", "-");
    write_in("coderv2", "url", "https://coder.example.com/\n");
    write_in("coderv2", "session", "coders\n");
    assert_user("https://coder.example.com", "coders");
    write_in("stint", "config.json", "{\"url\": \"http://localhost:7080\", \"token\": \"stints\"}");
    assert_user("http://localhost:7080", "stints");
    setenv("CODER_URL", "localhost:7080/", 1);
    assert_user("http://localhost:7080", "stints");
    setenv("CODER_URL", "https://elsewhere.example.com", 1);
    assert_user("https://elsewhere.example.com", "-");
    setenv("CODER_SESSION_TOKEN", "mine", 1);
    assert_user("https://elsewhere.example.com", "mine");
    setenv("STINT_URL", "https://first.example.com", 1);
    setenv("STINT_TOKEN", "first", 1);
    assert_user("https://first.example.com", "first");
    setenv("STINT_URL", "ftp://no", 1);
    assert_user("http://localhost:7080", "first");
}

static void files_that_are_broken_are_no_session(void **state)
{
    (void)state;
    write_in("stint", "config.json", "{\"url\":");
    write_in("coderv2", "session", "x");
    assert_user("-", "-");
}

/* ---- options ---- */

static void options_come_from_environment_and_flags(void **state)
{
    (void)state;
    const char *a = "default", *b = NULL, *s = NULL;
    const struct option_row rows[] = {
        {"--a",      "TEST_A, TEST_B", &a, "a", false},
        {"--b",      "",               &b, "b", false},
        {"--switch", "",               &s, "s", true },
    };
    struct option_words words;
    struct errctx ctx = {0};
    bool help;
    char *none[] = {(char *)"x", NULL};
    assert_int_equal(options_read(1, none, rows, 3, &words, &help, &ctx), ERR_OK);
    assert_string_equal(a, "default");
    setenv("TEST_B", "second", 1);
    assert_int_equal(options_read(1, none, rows, 3, &words, &help, &ctx), ERR_OK);
    assert_string_equal(a, "second");
    setenv("TEST_A", "", 1);
    char *some[] = {(char *)"x", (char *)"w1", (char *)"--a=", (char *)"--b", (char *)"v",
        (char *)"--switch", (char *)"--", (char *)"--w2", NULL};
    assert_int_equal(options_read(8, some, rows, 3, &words, &help, &ctx), ERR_OK);
    assert_string_equal(a, "");
    assert_string_equal(b, "v");
    assert_string_equal(s, "true");
    assert_int_equal(words.n, 2);
    assert_string_equal(words.words[1], "--w2");
    char *unknown[] = {(char *)"x", (char *)"--c", NULL};
    assert_int_equal(options_read(2, unknown, rows, 3, &words, &help, &ctx), ERR_USAGE);
    char *lacking[] = {(char *)"x", (char *)"--b", NULL};
    assert_int_equal(options_read(2, lacking, rows, 3, &words, &help, &ctx), ERR_USAGE);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_new_file),
        test(the_rest_is_kept),
        test(twice_is_once),
        test(what_is_not_understood_is_left_alone),
        test(a_link_stays_a_link),
        test(a_key_of_the_environment_is_approved_not_stored),
        test(servers_of_others_are_kept),
        test(prompts_stand_between_their_markers),
        test(prompts_may_lack_and_have_more),
        test(claude_md_is_written_with_its_directory),
        test(a_session_is_found_where_it_is),
        test(files_that_are_broken_are_no_session),
        test(options_come_from_environment_and_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
