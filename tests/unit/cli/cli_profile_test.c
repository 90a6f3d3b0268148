/* SPDX-License-Identifier: Apache-2.0 */
/* cli_profile_test.c - goal: url and token come from where they should, and are kept where nobody
 * else reads them; login and template push.  Method: a config directory of the test's own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pack.h"
#include "cli/profile.h"
#include "core/base/mem.h"
#include "tests/unit/cli/fake.h"

#define RUN(f, ...)  fake_run((f), __VA_ARGS__, NULL)
#define HAS(text, s) assert_non_null(strstr((text), (s)))

static char dir[] = "/tmp/stint-cli-test-XXXXXX";
static char config[128];

static void take_config_dir(struct fake *f)
{
    free(f->cli.config_path);
    f->cli.config_path = mem_strdup(config);
}

static char *content(const char *path)
{
    static char text[512];
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return text;
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *clean;
    } rows[] = {
        {"localhost:7080",    "http://localhost:7080"    },
        {"127.0.0.1:7080/",   "http://127.0.0.1:7080"    },
        {"stint.example.com", "https://stint.example.com"},
        {"http://x/path//",   "http://x/path"            },
        {"https://x",         "https://x"                },
        {"ftp://x",           NULL                       },
        {"https://",          NULL                       },
        {"https:///x",        NULL                       },
        {"not a url",         NULL                       },
        {"",                  NULL                       },
        {"http://x?y=z",      NULL                       },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *clean = profile_clean_url(rows[i].typed);
        if (rows[i].clean == NULL)
            assert_null(clean);
        else
            assert_string_equal(clean, rows[i].clean);
        free(clean);
    }
}

static void test_first_user_logs_in_and_the_token_is_kept_private(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    take_config_dir(&f);
    fake_type(&f, "correct horse\n");
    fake_answer(&f, "POST /api/v2/users/first", 201, "{\"user_id\":\"x\"}");
    fake_answer(&f, "POST /api/v2/users/login", 201, "{\"session_token\":\"fresh-token\"}");
    fake_answer(&f, "GET /api/v2/users/me", 200, "{\"username\":\"ada\"}");
    assert_int_equal(RUN(&f, "login", "http://gateway/", "--first-user", "--username", "ada",
                         "--email", "ada@x.org", "--password-stdin"),
        0);
    assert_string_equal(f.last_token, "fresh-token");
    HAS(f.err, "Logged in to http://gateway as ada");
    assert_null(strstr(f.err, "fresh-token"));
    struct stat st;
    assert_int_equal(stat(config, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    HAS(content(config), "\"token\": \"fresh-token\"");
    fake_close(&f);
}

static void test_the_file_is_read_and_the_environment_comes_before_it(void **state)
{
    (void)state;
    struct cli cli;
    setenv("XDG_CONFIG_HOME", dir, 1);
    cli_init(&cli);
    assert_string_equal(cli.url, "http://gateway");
    assert_string_equal(cli.token, "fresh-token");
    cli_done(&cli);

    setenv("CODER_URL", "http://coder", 1);
    setenv("CODER_SESSION_TOKEN", "coder-token", 1);
    cli_init(&cli);
    assert_string_equal(cli.url, "http://coder");
    assert_string_equal(cli.token, "coder-token");
    cli_done(&cli);

    setenv("STINT_URL", "http://stint", 1);
    setenv("STINT_TOKEN", "stint-token", 1);
    cli_init(&cli);
    assert_string_equal(cli.url, "http://stint");
    assert_string_equal(cli.token, "stint-token");
    cli_done(&cli);
}

static void test_a_kept_token_goes_to_its_own_url_only(void **state)
{
    (void)state;
    struct cli cli;
    unsetenv("STINT_TOKEN");
    unsetenv("CODER_SESSION_TOKEN");
    unsetenv("CODER_URL");
    setenv("STINT_URL", "http://elsewhere", 1);
    setenv("XDG_CONFIG_HOME", dir, 1);
    cli_init(&cli);
    assert_string_equal(cli.url, "http://elsewhere");
    assert_null(cli.token);
    cli_done(&cli);
    setenv("STINT_URL", "http://gateway/", 1);
    cli_init(&cli);
    assert_string_equal(cli.token, "fresh-token");
    cli_done(&cli);
    unsetenv("STINT_URL");
}

static void test_logout_forgets_the_token_and_keeps_the_url(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    take_config_dir(&f);
    fake_answer(&f, "POST /api/v2/users/logout", 200, "{}");
    assert_int_equal(RUN(&f, "logout"), 0);
    assert_null(strstr(content(config), "token"));
    HAS(content(config), "http://gateway");
    fake_close(&f);
}

static void test_login_with_a_bad_token_keeps_nothing(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    take_config_dir(&f);
    fake_type(&f, "bad\n");
    fake_answer(&f, "GET /api/v2/users/me", 401, "{\"message\":\"No.\"}");
    assert_int_equal(RUN(&f, "login", "--token-stdin"), 77);
    assert_null(strstr(content(config), "bad"));
    fake_close(&f);
}

static void test_without_token_or_url_the_next_step_is_named(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    free(f.cli.token);
    f.cli.token = NULL;
    assert_int_equal(RUN(&f, "task", "list"), 77);
    HAS(f.err, "-> run `stint login http://gateway`");
    free(f.cli.url);
    f.cli.url = NULL;
    assert_int_equal(RUN(&f, "task", "list"), 78);
    HAS(f.err, "deploy/local/env");
    fake_close(&f);
}

/* ---- templates ---- */

static void make_template(void)
{
    put("template.yaml", "name: x\n", 0600);
    put("run.sh", "#!/bin/sh\n", 0711);
    put("run.sh~", "old", 0644);
}

static void test_packing_is_the_same_every_time(void **state)
{
    (void)state;
    struct fake f;
    struct strbuf one, two;
    fake_open(&f);
    strbuf_init(&one);
    strbuf_init(&two);
    make_template();
    assert_int_equal(pack_directory(&f.cli, dir, &one), ERR_OK);
    unlink(config);
    make_template();
    assert_int_equal(pack_directory(&f.cli, dir, &one), ERR_OK);
    strbuf_clear(&one);
    assert_int_equal(pack_directory(&f.cli, dir, &one), ERR_OK);
    assert_int_equal(pack_directory(&f.cli, dir, &two), ERR_OK);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.s, two.s, one.len);
    assert_null(memmem(one.s, one.len, "run.sh~", 7));
    strbuf_done(&one);
    strbuf_done(&two);
    fake_close(&f);
}

static void test_links_out_of_the_template_are_refused(void **state)
{
    (void)state;
    struct fake f;
    struct strbuf tar;
    char path[256];
    fake_open(&f);
    strbuf_init(&tar);
    (void)snprintf(path, sizeof(path), "%s/link", dir);
    assert_int_equal(symlink("run.sh", path), 0);
    assert_int_equal(pack_directory(&f.cli, dir, &tar), ERR_OK);
    unlink(path);
    assert_int_equal(symlink("../etc/passwd", path), 0);
    assert_int_equal(pack_directory(&f.cli, dir, &tar), ERR_INVALID);
    unlink(path);
    strbuf_done(&tar);
    fake_close(&f);
}

#define ORGANIZATION "GET /api/v2/users/me/organizations"
#define VERSION(status, error)                                                                    \
    "{\"id\":\"v1\",\"name\":\"calm_ada1\",\"job\":{\"status\":\"" status "\",\"error\":\"" error \
    "\"}}"

static void answer_until_version(struct fake *f, long template_status, const char *template)
{
    fake_answer(f, "POST /api/v2/files", 201, "{\"hash\":\"file1\"}");
    fake_answer(f, ORGANIZATION, 200, "[{\"id\":\"o1\"}]");
    fake_answer(f, "GET /api/v2/organizations/o1/templates/mine", template_status, template);
    fake_answer(f, "POST /api/v2/organizations/o1/templateversions", 201, VERSION("pending", ""));
    fake_answer(f, "GET /api/v2/templateversions/v1/logs?after=0", 200,
        "[{\"id\":1,\"output\":\"Reading\"}]");
}

static void test_push_of_a_new_template(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    answer_until_version(&f, 404, "{\"message\":\"Resource not found\"}");
    fake_answer(&f, "GET /api/v2/templateversions/v1", 200, VERSION("succeeded", ""));
    fake_answer(&f, "GET /api/v2/templateversions/v1/logs?after=1", 200,
        "[{\"id\":1,\"output\":\"Reading\"},{\"id\":2,\"output\":\"Done\"}]");
    fake_answer(
        &f, "POST /api/v2/organizations/o1/templates", 201, "{\"id\":\"t1\",\"name\":\"mine\"}");
    assert_int_equal(RUN(&f, "template", "push", dir, "--name", "mine"), 0);
    assert_string_equal(f.last_body, "{\"name\":\"mine\",\"template_version_id\":\"v1\"}");
    assert_string_equal(f.out, "The template mine is ready, version calm_ada1.\n");
    HAS(f.err, "  Reading\n  Done\n");
    fake_close(&f);
}

static void test_push_that_is_not_accepted_changes_nothing(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    answer_until_version(&f, 200, "{\"id\":\"t1\"}");
    fake_answer(
        &f, "GET /api/v2/templateversions/v1", 200, VERSION("failed", "line 3: unknown key"));
    fake_answer(&f, "GET /api/v2/templateversions/v1/logs?after=1", 404,
        "{\"message\":\"Route not found.\"}");
    assert_int_equal(RUN(&f, "template", "push", dir, "--name", "mine"), 64);
    HAS(f.err, "line 3: unknown key");
    fake_close(&f);
}

static void test_push_of_what_is_no_template(void **state)
{
    (void)state;
    struct fake f;
    fake_open(&f);
    assert_int_equal(RUN(&f, "template", "push", "/nonexistent"), 66);
    assert_int_equal(RUN(&f, "template", "push", "/proc/self/task"), 64);
    HAS(f.err, "has neither a template.yaml nor a main.tf");
    assert_int_equal(RUN(&f, "template", "push", dir, "--name", "not ok"), 64);
    fake_close(&f);
}

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(config, sizeof(config), "%s/stint/config.json", mkdtemp(dir));
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {
        "stint/config.json", "stint", "template.yaml", "run.sh", "run.sh~", ""};
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)remove(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_first_user_logs_in_and_the_token_is_kept_private),
        cmocka_unit_test(test_the_file_is_read_and_the_environment_comes_before_it),
        cmocka_unit_test(test_a_kept_token_goes_to_its_own_url_only),
        cmocka_unit_test(test_logout_forgets_the_token_and_keeps_the_url),
        cmocka_unit_test(test_login_with_a_bad_token_keeps_nothing),
        cmocka_unit_test(test_without_token_or_url_the_next_step_is_named),
        cmocka_unit_test(test_packing_is_the_same_every_time),
        cmocka_unit_test(test_links_out_of_the_template_are_refused),
        cmocka_unit_test(test_push_of_a_new_template),
        cmocka_unit_test(test_push_that_is_not_accepted_changes_nothing),
        cmocka_unit_test(test_push_of_what_is_no_template),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
