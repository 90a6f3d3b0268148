/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the local provisioner gives an agent to work with, on real sandboxes: secrets that leave no
 * trace, the name coder, a terminal, a loopback, and a manifest that says what to run.
 */
#include "tests/unit/worker/local_fixture.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/provisioner/secrets.h"

#define SANDBOX(f, mounts)             \
    struct fixture f;                  \
    if (!fixture_init(&f, (mounts))) { \
        fixture_done(&f);              \
        skip();                        \
    }

#define VALUE    "s3cr3t-4f9a-value"
#define TEMPLATE "command: [sh]\ngrace: 1s\napp: {slug: shell}\n"
#define WITH_KEY TEMPLATE "env: [{name: API_KEY, secret: api-key}]\n"

/* ---- secrets ---- */

static void a_secret_is_a_file_of_the_sandbox_alone(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_secret(&f, "api-key", VALUE "\n", 0600);
    fixture_template(&f, WITH_KEY);
    /* The agent reads it and takes it away. */
    fixture_agent(&f,
        LIVE("stat -c '%a %U' /run/stint/secrets.json >/home/agent/mode;"
             " tr -d '\\n' </run/stint/secrets.json | md5sum >/home/agent/sum;"
             " grep -c s3cr3t /proc/mounts /proc/self/environ /proc/1/cmdline >/home/agent/seen;"
             " ls -l /proc/1/fd >/home/agent/fd; rm /run/stint/secrets.json; ls /run/stint "
             ">/home/agent/left; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_string_equal(fixture_read(&f, "/home/mode"), "400 agent\n");
    assert_string_equal(fixture_read(&f, "/home/left"), "workers\n");
    assert_null(strstr(fixture_read(&f, "/home/fd"), "memfd"));

    char command[300];
    snprintf(command, sizeof(command),
        "test \"$(printf '{\"API_KEY\":\"" VALUE "\"}' | md5sum)\" = \"$(cat %s)\"",
        fixture_path(&f, "/home/sum"));
    assert_int_equal(system(command), 0);
    /* Nowhere on disk, in no command line, in no line of progress. */
    snprintf(command, sizeof(command), "! grep -rqs s3cr3t %s", f.data);
    assert_int_equal(system(command), 0);
    assert_int_equal(system("! grep -qs s3cr3t-4f9a-valu[e] /proc/[0-9]*/cmdline"), 0);
    assert_null(strstr(f.lines, "s3cr3t"));
    assert_non_null(strstr(
        fixture_read(&f, "/agent/manifest.json"), "\"secrets_file\":\"/run/stint/secrets.json\""));
    assert_null(strstr(fixture_read(&f, "/agent/manifest.json"), "API_KEY"));
    fixture_done(&f);
}

/* The value of 64 KiB less a little arrives whole, and a second start reads what is there then. */
static void secrets_are_read_at_every_start(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f, WITH_KEY);
    fixture_agent(&f, LIVE("wc -c </run/stint/secrets.json >>/home/agent/sizes; "));
    char *large = malloc(65536 + 1);
    memset(large, 'x', 65536);
    large[65536] = '\0';
    for (unsigned build = 1; build <= 3; build += 2) {
        struct job_spec start = fixture_spec(&f, JOB_START, build),
                        stop = fixture_spec(&f, JOB_STOP, build + 1);
        fixture_secret(&f, "api-key", build == 1 ? "short" : large, 0400);
        assert_int_equal(fixture_run(&f, &start), ERR_OK);
        assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    }
    free(large);
    assert_string_equal(fixture_read(&f, "/home/sizes"), "19\n65550\n");
    fixture_done(&f);
}

static void a_secret_that_cannot_be_used_fails_for_good(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    static const struct {
        const char *content;
        unsigned mode;
        const char *says;
    } rows[] = {
        {NULL,   0,    "\"api-key\", which is not in the worker's secrets_dir"},
        {VALUE,  0644, "secret api-key"                                       },
        {VALUE,  0640, "chmod 600"                                            },
        {"\xff", 0600, "not UTF-8"                                            },
    };
    fixture_template(&f, WITH_KEY);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        if (rows[i].content != NULL)
            fixture_secret(&f, "api-key", rows[i].content, rows[i].mode);
        struct job_spec start = fixture_spec(&f, JOB_START, i + 1);
        enum err e = fixture_run(&f, &start);
        assert_int_equal(e, ERR_CONFIG);
        assert_false(err_is_retryable(e));
        if (strstr(f.ctx.text, rows[i].says) == NULL || strstr(f.ctx.text, "s3cr3t") != NULL)
            fail_msg("\"%s\" lacks \"%s\"", f.ctx.text, rows[i].says);
        assert_true(f.found.clean);
        assert_false(fixture_exists(&f, "/sandbox.json"));
    }
    fixture_done(&f);
}

static void too_long_a_secret_is_refused(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f, WITH_KEY);
    fixture_secret(&f, "api-key", "x", 0600);
    char path[200];
    snprintf(path, sizeof(path), "%s/api-key", f.secrets);
    assert_int_equal(truncate(path, 64 * 1024 + 1), 0);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_CONFIG);
    assert_non_null(strstr(f.ctx.text, "longer than 64 KiB"));
    fixture_done(&f);
}

static void an_optional_secret_may_be_missing(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f, TEMPLATE "env:\n  - {name: API_KEY, secret: api-key, optional: true}\n"
                                  "  - {name: EMPTY, secret: empty}\n");
    fixture_secret(&f, "empty", "\n", 0600);
    fixture_agent(&f, LIVE("cat /run/stint/secrets.json >/home/agent/got; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_string_equal(fixture_read(&f, "/home/got"), "{\"EMPTY\":\"\"}");
    fixture_done(&f);
}

static void without_a_directory_the_setting_is_named(void **state)
{
    (void)state;
    scoped(template_freep) struct template *t = NULL;
    struct errctx ctx = {0};
    int fd = -1;
    assert_int_equal(template_parse(WITH_KEY, strlen(WITH_KEY), &t, &ctx), ERR_OK);
    assert_true(secrets_are_named(t));
    assert_int_equal(secrets_open(NULL, t, &fd, &ctx), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "\"api-key\", and this worker's setting secrets_dir"));
    assert_int_equal(secrets_open("/no/such/dir", t, &fd, &ctx), ERR_IO);
    assert_int_equal(fd, -1);
}

/* The import says what is missing here; it is no error, for another host may have it. */
static void import_looks_for_secrets(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec import = fixture_spec(&f, JOB_IMPORT, 0);
    fixture_template(&f, WITH_KEY);
    assert_int_equal(fixture_run(&f, &import), ERR_OK);
    assert_non_null(strstr(f.lines, "warn|Checking template|env API_KEY needs the secret"));
    f.lines[0] = '\0';
    fixture_secret(&f, "api-key", VALUE, 0600);
    assert_int_equal(fixture_run(&f, &import), ERR_OK);
    assert_null(strstr(f.lines, "warn|"));
    assert_null(strstr(f.lines, "s3cr3t"));
    fixture_done(&f);
}

/* ---- what an agent finds ---- */

static void the_agent_is_called_coder_too(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, "[ \"$(basename $0)\" = coder ] && { echo I am coder; exit; }\n" LIVE(
                          "coder >/home/agent/coder; command -v stint-agent >/home/agent/which; "
                          "command -v coder >>/home/agent/which; mkdir -p ~/.local/bin; "
                          "cp $0 ~/.local/bin/coder; hash -r; command -v coder "
                          ">>/home/agent/which; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_string_equal(fixture_read(&f, "/home/coder"), "I am coder\n");
    assert_string_equal(fixture_read(&f, "/home/which"),
        "/opt/stint/bin/stint-agent\n/opt/stint/bin/coder\n/home/agent/.local/bin/coder\n");
    fixture_done(&f);
}

/* AgentAPI needs a terminal to run the app on, and a loopback to be asked over. */
static void a_terminal_and_a_loopback_are_there(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(
        &f, LIVE("script -qec tty /dev/null </dev/null >/home/agent/tty 2>&1;"
                 " python3 -c 'import socket; s = socket.create_server((\"localhost\", 3284));"
                 " c = socket.create_connection((\"127.0.0.1\", 3284)); print(\"connected\")'"
                 " >/home/agent/lo 2>&1; "));
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_non_null(strstr(fixture_read(&f, "/home/tty"), "/dev/pts/0"));
    assert_string_equal(fixture_read(&f, "/home/lo"), "connected\n");
    fixture_done(&f);
}

static json_t *manifest(struct fixture *f)
{
    json_t *m = json_loads(fixture_read(f, "/agent/manifest.json"), 0, NULL);
    assert_non_null(m);
    return m;
}

/* The value at a key, as JSON. */
static void expect(json_t *m, const char *key, const char *json)
{
    json_t *wanted = json_loads(json, JSON_DECODE_ANY, NULL), *had = json_object_get(m, key);
    assert_non_null(wanted);
    if (!json_equal(wanted, had)) {
        char *text = json_dumps(had, JSON_ENCODE_ANY | JSON_COMPACT);
        fail_msg("%s is %s", key, text);
    }
    json_decref(wanted);
}

static void the_manifest_says_what_to_run(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_template(&f,
        "agentapi: {prompt: none, enable_state_persistence: true}\n"
        "app: {slug: a, command: [sh, -c, x], env: [{name: A, value: b}], dir: /tmp}\n"
        "apps:\n"
        "  - {slug: preview, display_name: Preview, url: \"http://localhost:80/\",\n"
        "     health: {url: \"http://localhost:${AGENTAPI_PORT}/up\", threshold: 5}}\n"
        "scripts:\n"
        "  - {name: install, command: [sh], blocking: true, timeout: 60s}\n"
        "  - {name: tidy, run: cron, cron: \"0 * * * *\", command: [sh]}\n"
        "metadata: [{key: load, command: [cat, /proc/loadavg]}]\n"
        "env: [{name: B, value: c}]\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    json_t *m = manifest(&f);
    expect(m, "version", "1");
    expect(m, "agentapi", "{\"port\":3284,\"prompt\":\"none\",\"enable_state_persistence\":true}");
    expect(m, "apps",
        "[{\"slug\":\"a\",\"display_name\":\"a\",\"command\":[\"sh\",\"-c\",\"x\"],"
        "\"env\":{\"A\":\"b\"},\"dir\":\"/tmp\",\"restart\":\"on-failure\"},"
        "{\"slug\":\"preview\",\"display_name\":\"Preview\","
        "\"health\":{\"url\":\"http://localhost:${AGENTAPI_PORT}/up\",\"interval_ms\":3000,"
        "\"threshold\":5}}]");
    expect(m, "scripts",
        "[{\"name\":\"install\",\"run\":\"start\",\"command\":[\"sh\"],\"blocking\":true,"
        "\"timeout_ms\":60000},{\"name\":\"tidy\",\"run\":\"cron\",\"cron\":\"0 * * * *\","
        "\"command\":[\"sh\"],\"blocking\":false,\"timeout_ms\":0}]");
    expect(m, "metadata",
        "[{\"key\":\"load\",\"display_name\":\"load\",\"command\":[\"cat\",\"/proc/loadavg\"],"
        "\"interval_ms\":10000,\"timeout_ms\":5000}]");
    expect(m, "env", "{\"B\":\"c\"}");
    assert_null(json_object_get(m, "command"));
    assert_null(json_object_get(m, "secrets_file"));
    json_decref(m);
    fixture_done(&f);
}

static void a_simple_manifest_stays_simple(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec start = fixture_spec(&f, JOB_START, 1);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    json_t *m = manifest(&f);
    expect(m, "command", "[\"sh\"]");
    expect(m, "apps", "[{\"slug\":\"shell\",\"display_name\":\"shell\"}]");
    assert_null(json_object_get(m, "agentapi"));
    assert_null(json_object_get(m, "scripts"));
    assert_null(json_object_get(m, "metadata"));
    json_decref(m);
    fixture_done(&f);
}

static void import_tells_of_all_apps(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    struct job_spec import = fixture_spec(&f, JOB_IMPORT, 0);
    fixture_template(&f,
        "agentapi: {}\napp: {slug: a, display_name: An app, icon: /icon/a.svg}\napps:\n"
        "  - {slug: preview, url: \"http://localhost:8000/\", health: {url: \"http://x/\"}}\n"
        "  - {slug: more}\n");
    assert_int_equal(fixture_run(&f, &import), ERR_OK);
    const struct import_found *found = &f.found.import;
    assert_true(found->has_ai_task);
    assert_string_equal(found->app_slug, "a");
    assert_int_equal(found->n_app, 3);
    assert_string_equal(found->app[0].slug, "a");
    assert_string_equal(found->app[0].display_name, "An app");
    assert_string_equal(found->app[0].icon, "/icon/a.svg");
    assert_true(found->app[0].has_health_check); /* AgentAPI's status */
    assert_string_equal(found->app[1].url, "http://localhost:8000/");
    assert_true(found->app[1].has_health_check);
    assert_string_equal(found->app[2].slug, "more");
    assert_string_equal(found->app[2].display_name, "");
    assert_false(found->app[2].has_health_check);

    fixture_template(&f, "agentapi: {port: 4000}\nnetwork: true\napp: {slug: a}\n");
    assert_int_equal(fixture_run(&f, &import), ERR_OK);
    assert_non_null(strstr(f.lines, "warn|Checking template|agentapi.port"));
    fixture_done(&f);
}

/* ---- the end ---- */

/* The grace time is all the agent's: it is not killed before it is over, and what it says in the
 * two seconds after it is heard. */
static void the_agent_has_all_of_its_grace_time(void **state)
{
    (void)state;
    SANDBOX(f, NULL);
    fixture_agent(&f, "trap 'sleep 3; echo bye >/home/agent/bye; exit 0' TERM; up; "
                      "while :; do sleep 0.05; done\n");
    struct job_spec start = fixture_spec(&f, JOB_START, 1), stop = fixture_spec(&f, JOB_STOP, 2);
    assert_int_equal(fixture_run(&f, &start), ERR_OK);
    assert_int_equal(fixture_run(&f, &stop), ERR_OK);
    assert_string_equal(fixture_read(&f, "/home/bye"), "bye\n");
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_a_file_of_the_sandbox_alone),
        cmocka_unit_test(secrets_are_read_at_every_start),
        cmocka_unit_test(a_secret_that_cannot_be_used_fails_for_good),
        cmocka_unit_test(too_long_a_secret_is_refused),
        cmocka_unit_test(an_optional_secret_may_be_missing),
        cmocka_unit_test(without_a_directory_the_setting_is_named),
        cmocka_unit_test(import_looks_for_secrets),
        cmocka_unit_test(the_agent_is_called_coder_too),
        cmocka_unit_test(a_terminal_and_a_loopback_are_there),
        cmocka_unit_test(the_manifest_says_what_to_run),
        cmocka_unit_test(a_simple_manifest_stays_simple),
        cmocka_unit_test(import_tells_of_all_apps),
        cmocka_unit_test(the_agent_has_all_of_its_grace_time),
    };
    cmocka_set_test_filter(getenv("TEST")); /* one test by name; unset: all */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
