/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: flag before environment before file before initial value; mistakes get a sentence that
 * names the place; secrets are not shown. Method: a made-up daemon with one setting of each type;
 * stdout goes to a file for --print-config.
 */
#include "tests/unit/core/unit.h"

#include <unistd.h>

#include "core/base/conf.h"

struct app {
    char *name, *token, *url;
    int64_t cap, lease_ms, room, queue;
};

#define KEY(...) CONF_KEY_ROW(struct app, __VA_ARGS__)
static const struct conf_key keys[] = {KEY(INT, "cap", cap, "1000", 1, 5000, RELOADABLE,
    "Most tasks at once.") KEY(DURATION, "lease", lease_ms, "5s", 1000, 3600000, NONE, "How long.")
        KEY(STRING, "name", name, NULL, 0, 0, NONE, "What it is called.")
            KEY(BOOL, "queue", queue, "true", 0, 0, NONE, "Whether others wait.")
                KEY(SIZE, "room", room, "64KiB", 0, 0, NONE, "How much.")
                    KEY(STRING, "token", token, NULL, 0, 0, SECRET, "Hush.")
                        KEY(STRING, "url", url, "x://u:pw@h/", 0, 0, REQUIRED, "Where.")};
static const struct conf_spec spec = {
    "stint-test", "a daemon of this test", NULL, keys, sizeof(keys) / sizeof(*keys)};

static struct app app;
static struct errctx ctx;
static char *args[16];
static int n_args;
static enum conf_next next;

/* load("--cap=3", "run", NULL) */
static enum err load(const char *first, ...)
{
    static char copies[16][200];
    int argc = 1;
    args[0] = strcpy(copies[0], "stint-test");
    va_list ap;
    va_start(ap, first);
    for (const char *a = first; a != NULL; a = va_arg(ap, const char *), argc++)
        args[argc] = strcpy(copies[argc], a);
    va_end(ap);
    conf_done(&spec, &app);
    memset(&app, 0, sizeof(app));
    memset(&ctx, 0, sizeof(ctx));
    return conf_load(&spec, argc, args, &app, &n_args, &next, &ctx);
}

static const char *file_with(const char *text)
{
    static char path[] = "/tmp/stint-conf-test-XXXXXX";
    if (strstr(path, "XXXXXX") != NULL)
        close(mkstemp(path));
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    return path;
}

static void initial_values(void **state)
{
    (void)state;
    assert_int_equal(load(NULL), ERR_OK);
    assert_int_equal(next, CONF_GO);
    assert_int_equal(app.cap, 1000);
    assert_int_equal(app.lease_ms, 5000);
    assert_int_equal(app.room, 65536);
    assert_int_equal(app.queue, 1);
    assert_null(app.name);
    assert_string_equal(app.url, "x://u:pw@h/");
}

static void the_stronger_source_wins(void **state)
{
    (void)state;
    const char *file = file_with("# a comment\n\n cap = 3 # three\nname=\"a # b\"\nlease = 2s\n");
    assert_int_equal(load("--config", file, NULL), ERR_OK);
    assert_int_equal(app.cap, 3);
    assert_string_equal(app.name, "a # b");
    setenv("STINT_CAP", "4", 1);
    assert_int_equal(load("--config", file, NULL), ERR_OK);
    assert_int_equal(app.cap, 4);
    assert_int_equal(app.lease_ms, 2000);
    assert_int_equal(load("--cap", "5", "--config", file, NULL), ERR_OK);
    assert_int_equal(app.cap, 5);
    setenv("STINT_CAP", "nonsense", 1); /* does no harm where it is overridden */
    assert_int_equal(load("--cap=6", NULL), ERR_OK);
    assert_int_equal(app.cap, 6);
    unsetenv("STINT_CAP");
}

static void arguments_stay(void **state)
{
    (void)state;
    assert_int_equal(load("one", "--cap", "7", "two", "--", "--three", NULL), ERR_OK);
    assert_int_equal(n_args, 3);
    assert_string_equal(args[1], "one");
    assert_string_equal(args[2], "two");
    assert_string_equal(args[3], "--three");
}

static void booleans_need_no_value(void **state)
{
    (void)state;
    assert_int_equal(load("--queue", "no", "run", NULL), ERR_OK);
    assert_int_equal(app.queue, 0);
    assert_int_equal(load("--queue=off", NULL), ERR_OK);
    assert_int_equal(app.queue, 0);
    assert_int_equal(load("--queue", "run", NULL), ERR_OK);
    assert_int_equal(app.queue, 1);
    assert_int_equal(n_args, 1);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_int_equal(load("--capp=1", NULL), ERR_USAGE);
    assert_string_equal(ctx.text, "there is no flag --capp; see stint-test --help");
    assert_int_equal(load("--cap", NULL), ERR_USAGE);
    assert_string_equal(ctx.text, "--cap needs a value");
    assert_int_equal(load("--cap=0", NULL), ERR_USAGE);
    assert_string_equal(ctx.text, "cap (flag --cap): 0 is not between 1 and 5000");
    assert_int_equal(load("--lease=5", NULL), ERR_USAGE);
    assert_string_equal(
        ctx.text, "lease (flag --lease): \"5\" is not a duration such as 250ms, 5s, 10m or 2h");
    assert_int_equal(load("--lease=5ms", NULL), ERR_USAGE);
    assert_string_equal(ctx.text, "lease (flag --lease): 5ms is not between 1s and 3600s");
    setenv("STINT_ROOM", "lots", 1);
    assert_int_equal(load(NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "room (environment STINT_ROOM): \"lots\""));
    unsetenv("STINT_ROOM");
    assert_int_equal(load("--url=", NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "url is not set: give --url, or STINT_URL"));
}

static void mistakes_in_files_have_a_line(void **state)
{
    (void)state;
    const char *file = file_with("cap = 1\ncapp = 2\n");
    assert_int_equal(load("--config", file, NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, ":2: there is no setting capp"));
    file = file_with("just words\n");
    assert_int_equal(load("--config", file, NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, ":1: expected key = value"));
    file = file_with("\n\ncap = many\n");
    assert_int_equal(load("--config", file, NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, ":3): \"many\" is not a whole number"));
    assert_int_equal(load("--config=/nonexistent/x", NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "cannot read /nonexistent/x: No such file"));
    unlink(file_with(""));
}

/* What conf_load() prints. */
static const char *printed(const char *flag)
{
    static char text[8192];
    FILE *f = tmpfile();
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fileno(f), STDOUT_FILENO);
    setenv("STINT_TOKEN", "sesame", 1);
    enum err e = load(flag, "--cap=9", NULL);
    unsetenv("STINT_TOKEN");
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    assert_int_equal(e, ERR_OK);
    assert_int_equal(next, CONF_EXIT);
    return text;
}

static void settings_are_shown_without_secrets(void **state)
{
    (void)state;
    assert_string_equal(printed("--print-config"), "cap = 9 # flag --cap\n"
                                                   "lease = 5s # initial\n"
                                                   "# name is not set\n"
                                                   "queue = true # initial\n"
                                                   "room = 64KiB # initial\n"
                                                   "token = \"***\" # environment STINT_TOKEN\n"
                                                   "url = \"x://u:***@h/\" # initial\n");
    const char *help = printed("--help");
    assert_non_null(strstr(help, "--lease DURATION"));
    assert_non_null(strstr(help, "How long. Initially 5s. [STINT_LEASE]"));
    assert_null(strstr(help, "sesame"));
    assert_memory_equal(printed("--version"), "stint-test ", 11);
}

static void units(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "5", "-5s", "5 s", " 5s", "5S", "s", "1.5s",
        "99999999999999999999s", "9999999999999999h"};
    int64_t v;
    assert_int_equal(conf_parse_duration_ms("250ms", &v), ERR_OK);
    assert_int_equal(v, 250);
    assert_int_equal(conf_parse_duration_ms("10m", &v), ERR_OK);
    assert_int_equal(v, 600000);
    assert_int_equal(conf_parse_duration_ms("2h", &v), ERR_OK);
    assert_int_equal(v, 7200000);
    assert_int_equal(conf_parse_duration_ms("0", &v), ERR_OK);
    assert_int_equal(v, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(conf_parse_duration_ms(bad[i], &v), ERR_INVALID);
    assert_int_equal(conf_parse_size("512", &v), ERR_OK);
    assert_int_equal(v, 512);
    assert_int_equal(conf_parse_size("2GiB", &v), ERR_OK);
    assert_int_equal(v, INT64_C(2) << 30);
    assert_int_equal(conf_parse_size("2GB", &v), ERR_INVALID);
    assert_int_equal(conf_parse_bool("yes", &v), ERR_OK);
    assert_int_equal(v, 1);
    assert_int_equal(conf_parse_bool("maybe", &v), ERR_INVALID);
}

static void a_secret_from_a_file(void **state)
{
    (void)state;
    const char *file = file_with("hush hush\nmore\n");
    assert_int_equal(load("--token-file", file, NULL), ERR_OK);
    assert_string_equal(app.token, "hush hush");
    setenv("STINT_TOKEN", "other", 1);
    assert_int_equal(setenv("STINT_TOKEN_FILE", file, 1), 0);
    assert_int_equal(load(NULL), ERR_OK);
    assert_string_equal(app.token, "hush hush");
    assert_int_equal(load("--token=mine", NULL), ERR_OK);
    assert_string_equal(app.token, "mine");
    unsetenv("STINT_TOKEN");
    unsetenv("STINT_TOKEN_FILE");

    assert_int_equal(load("--token-file=/nowhere/at/all", NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "flag --token-file"));
    assert_non_null(strstr(ctx.text, "/nowhere/at/all"));
    assert_int_equal(load("--token-file", file_with("\n"), NULL), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "empty"));
    assert_int_equal(load("--name-file", file, NULL), ERR_USAGE); /* no secret */
}

/* From the arguments as the first reading has left them. */
static void once_more(void **state)
{
    (void)state;
    const char *file = file_with("cap = 3\nlease = 2s\n");
    assert_int_equal(load("--name=a", "run", "--config", file, NULL), ERR_OK);
    assert_string_equal(args[1], "run");
    (void)file_with("cap = 4\nlease = 9s\nname = b\n");
    assert_int_equal(conf_reload(&spec, 5, args, &app, &ctx), ERR_OK);
    assert_int_equal(app.cap, 4);
    assert_int_equal(app.lease_ms, 2000); /* needs a restart */
    assert_string_equal(app.name, "a");

    (void)file_with("cap = 4000000\n");
    assert_int_equal(conf_reload(&spec, 5, args, &app, &ctx), ERR_CONFIG);
    assert_int_equal(app.cap, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initial_values),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(arguments_stay),
        cmocka_unit_test(booleans_need_no_value),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(mistakes_in_files_have_a_line),
        cmocka_unit_test(settings_are_shown_without_secrets),
        cmocka_unit_test(units),
        cmocka_unit_test(a_secret_from_a_file),
        cmocka_unit_test(once_more),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    conf_done(&spec, &app);
    return failed;
}
