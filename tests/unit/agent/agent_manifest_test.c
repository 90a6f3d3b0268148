/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a manifest that is not right is refused with a sentence that names the key.
 * Method: a good one, and a table of single changes to it.
 */
#include "tests/unit/agent/lab.h"

#include <jansson.h>

#include "agent/manifest.h"

static const char good[] =
    "{\"version\": 1, \"agent_id\": \"11111111-1111-4111-8111-111111111111\","
    "\"agent_token\": \"22222222-2222-4222-8222-222222222222\","
    "\"task_id\": \"33333333-3333-4333-8333-333333333333\", \"task_name\": \"fix-login\","
    "\"workspace_id\": \"44444444-4444-4444-8444-444444444444\","
    "\"workspace_name\": \"fix-login\", \"owner_name\": \"ada\","
    "\"build_id\": \"55555555-5555-4555-8555-555555555555\", \"build_number\": 3,"
    "\"template_name\": \"shell\", \"app_slug\": \"shell\","
    "\"command\": [\"bash\", \"-c\", \"true\"], \"env\": {\"A\": \"1\", \"B\": \"\"},"
    "\"dir\": \"/work\", \"prompt\": \"do it\", \"grace_ms\": 500, \"workers_dir\": \"/w\"}";

static enum err parse(const char *json, struct manifest **ret_manifest, struct errctx *ctx)
{
    *ctx = (struct errctx){0};
    return manifest_parse(json, strlen(json), ret_manifest, ctx);
}

static void test_good(void **state)
{
    (void)state;
    scoped(manifest_freep) struct manifest *m = NULL;
    struct errctx ctx;
    assert_int_equal(parse(good, &m, &ctx), ERR_OK);
    assert_string_equal(uuid_format(&m->build_id).s, "55555555-5555-4555-8555-555555555555");
    assert_string_equal(m->agent_token, "22222222-2222-4222-8222-222222222222");
    assert_string_equal(m->command[2], "true");
    assert_null(m->command[3]);
    assert_int_equal(m->n_env, 2);
    assert_int_equal(m->build_number, 3);
    assert_int_equal(m->grace_ms, 500);
    assert_string_equal(m->workers_dir, "/w");
    assert_string_equal(m->prompt, "do it");
}

static void test_keys_that_may_be_left_out(void **state)
{
    (void)state;
    json_t *root = json_loads(good, 0, NULL);
    const char *const optional[] = {"env", "dir", "grace_ms", "workers_dir"};
    for (size_t i = 0; i < COUNT(optional); i++)
        json_object_del(root, optional[i]);
    json_object_set_new(root, "of_a_newer_provisioner", json_true());
    scoped_free char *text = json_dumps(root, 0);
    json_decref(root);
    scoped(manifest_freep) struct manifest *m = NULL;
    struct errctx ctx;
    assert_int_equal(parse(text, &m, &ctx), ERR_OK);
    assert_string_equal(m->dir, "/home/agent");
    assert_int_equal(m->grace_ms, 10000);
    assert_string_equal(m->workers_dir, "/run/stint/workers");
    assert_int_equal(m->n_env, 0);
}

/* Rows of tables, which the formatter lets be. */
#define ROW(...)    \
    {               \
        __VA_ARGS__ \
    }

/* One key set to a value (JSON; NULL: taken out), and what the error must say. */
static const struct {
    const char *key, *value, *says;
} wrong[] = {
    ROW("version", NULL, "\"version\" is missing"),
    ROW("version", "2", "\"version\" must be 1"),
    ROW("version", "\"1\"", "\"version\" must be 1"),
    ROW("agent_id", NULL, "\"agent_id\" is missing"),
    ROW("agent_id", "\"x\"", "\"agent_id\" must be a uuid"),
    ROW("agent_id", "7", "\"agent_id\" must be a text"),
    ROW("agent_token", "\"secret\"", "\"agent_token\" must be a uuid"),
    ROW("task_name", "\"\"", "\"task_name\" must not be empty"),
    ROW("owner_name", "null", "\"owner_name\" must be a text"),
    ROW("build_number", "0", "\"build_number\" must be from 1 to 2147483647, not 0"),
    ROW("build_number", "1.5", "\"build_number\" must be a whole number"),
    ROW("grace_ms", "-1", "\"grace_ms\" must be from 0 to 3600000, not -1"),
    ROW("grace_ms", "\"10s\"", "\"grace_ms\" must be a whole number"),
    ROW("dir", "\"work\"", "\"dir\" must be an absolute path"),
    ROW("workers_dir", "\"\"", "\"workers_dir\" must be an absolute path"),
    ROW("prompt", NULL, "\"prompt\" is missing"),
    ROW("prompt", "[\"a\"]", "\"prompt\" must be a text"),
    ROW("command", NULL, "\"command\" is missing, and there is no \"agentapi\""),
    ROW("agentapi", "{}", "\"command\" and \"agentapi\" exclude each other"),
    ROW("secrets_file", "\"here\"", "\"secrets_file\" must be an absolute path"),
    ROW("apps", "{}", "\"apps\" must be a list of objects"),
    ROW("apps", "[1]", "manifest: apps[0] must be an object"),
    ROW("apps", "[{}]", "manifest: apps[0]: \"slug\" is missing"),
    ROW("apps", "[{\"slug\":\"a\"},{\"slug\":\"a\"}]",
        "apps[1]: \"slug\" is that of an earlier one"),
    ROW("apps", "[{\"slug\":\"a\",\"restart\":\"no\"}]",
        "\"restart\" must be one of on-failure|always|never"),
    ROW("apps", "[{\"slug\":\"a\",\"env\":{\"A\":1}}]", "apps[0]: \"env\": \"A\" must be a text"),
    ROW("apps", "[{\"slug\":\"a\",\"health\":{}}]", "apps[0].health: \"url\" is missing"),
    ROW("apps", "[{\"slug\":\"a\",\"health\":{\"url\":\"ftp://x\"}}]",
        "\"url\" must begin with http:// or https://"),
    ROW("scripts", "[{\"name\":\"a\",\"command\":[\"x\"]}]", "scripts[0]: \"run\" is missing"),
    ROW("scripts", "[{\"name\":\"a\",\"command\":[\"x\"],\"run\":\"cron\"}]",
        "scripts[0]: \"cron\" is missing"),
    ROW("scripts",
        "[{\"name\":\"a\",\"command\":[\"x\"],\"run\":\"cron\",\"cron\":\"60 * * * *\"}]",
        "scripts[0]: \"cron\": the minute of \"60 * * * *\" is not sound"),
    ROW("scripts",
        "[{\"name\":\"a\",\"command\":[\"x\"],\"run\":\"start\",\"cron\":\"* * * * *\"}]",
        "scripts[0]: \"cron\" is for"),
    ROW("scripts", "[{\"name\":\"a\",\"command\":[\"x\"],\"run\":\"stop\",\"blocking\":1}]",
        "scripts[0]: \"blocking\" must be true or false"),
    ROW("metadata", "[{\"key\":\"a\",\"command\":[\"x\"],\"interval_ms\":1}]",
        "metadata[0]: \"interval_ms\" must be from 1000 to 86400000, not 1"),
    ROW("command", "\"bash\"", "\"command\" must be a list"),
    ROW("command", "[]", "\"command\" must be a list of at least one text"),
    ROW("command", "[\"\"]", "the first not empty"),
    ROW("command", "[\"a\", 1]", "\"command\" must be a list of texts"),
    ROW("env", "[]", "\"env\" must be an object of texts"),
    ROW("env", "{\"A\": 1}", "\"env\": \"A\" must be a text"),
    ROW("env", "{\"A=B\": \"1\"}", "\"env\" has a name"),
    ROW("env", "{\"\": \"1\"}", "\"env\" has a name"),
};

static void test_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        json_t *root = json_loads(good, 0, NULL);
        if (wrong[i].value == NULL)
            json_object_del(root, wrong[i].key);
        else
            json_object_set_new(
                root, wrong[i].key, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        scoped_free char *text = json_dumps(root, 0);
        json_decref(root);
        struct manifest *m = NULL;
        struct errctx ctx;
        assert_int_equal(parse(text, &m, &ctx), ERR_CONFIG);
        if (strstr(ctx.text, wrong[i].says) == NULL)
            fail_msg("%s = %s: \"%s\" does not say \"%s\"", wrong[i].key, wrong[i].value, ctx.text,
                wrong[i].says);
        assert_null(m);
    }
}

/* ---- what a whole agent is told ---- */

/* `good` without its command and with these keys (JSON without braces). */
static void parse_with(const char *keys, struct manifest **ret_manifest)
{
    json_t *root = json_loads(good, 0, NULL);
    struct strbuf more;
    strbuf_init(&more);
    strbuf_addf(&more, "{%s}", keys);
    json_t *added = json_loads(more.s, 0, NULL);
    strbuf_done(&more);
    assert_non_null(added);
    json_object_del(root, "command");
    json_object_update(root, added);
    scoped_free char *text = json_dumps(root, 0);
    json_decref(added);
    json_decref(root);
    struct errctx ctx;
    if (parse(text, ret_manifest, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
}

static void test_agentapi(void **state)
{
    (void)state;
    scoped(manifest_freep) struct manifest *m = NULL;
    parse_with("\"agentapi\": {\"port\": 0, \"prompt\": \"none\", "
               "\"enable_state_persistence\": true}",
        &m);
    assert_null(m->command);
    assert_true(m->agentapi.is_on && m->agentapi.keeps_state && !m->agentapi.sends_prompt);
    assert_int_equal(m->agentapi.port, 0);
    /* The task's app is there though nobody has named it, and it is watched. */
    const struct manifest_app *app = manifest_find_app(m, "shell");
    assert_ptr_equal(app, &m->apps[0]);
    assert_null(app->command);
    assert_string_equal(app->health.url, "http://localhost:${AGENTAPI_PORT}/status");
    assert_int_equal(app->health.threshold, 20);
    assert_null(m->secrets_file);
}

static void test_tables(void **state)
{
    (void)state;
    scoped(manifest_freep) struct manifest *m = NULL;
    parse_with(
        "\"agentapi\": {}, \"apps\": [{\"slug\": \"web\", \"command\": [\"w\"], \"restart\": "
        "\"never\"}, {\"slug\": \"shell\", \"display_name\": \"Shell\", \"command\": [\"s\", "
        "\"-x\"], \"env\": {\"K\": \"V\"}, \"dir\": \"/d\", \"health\": {\"url\": \"http://h/\", "
        "\"threshold\": 2}}], \"scripts\": [{\"name\": \"tidy\", \"command\": [\"t\"], \"run\": "
        "\"cron\", \"cron\": \"*/5 * * * *\"}, {\"name\": \"get\", \"command\": [\"g\"], \"run\": "
        "\"start\", \"blocking\": true, \"timeout_ms\": 60000}], \"metadata\": [{\"key\": "
        "\"cpu\", \"command\": [\"c\"]}]",
        &m);
    assert_true(m->agentapi.is_on && m->agentapi.sends_prompt && !m->agentapi.keeps_state);
    assert_int_equal(m->agentapi.port, 3284);
    assert_int_equal(m->n_apps, 2);
    assert_string_equal(m->apps[0].display_name, "web");
    assert_int_equal(m->apps[0].restart, RESTART_NEVER);
    assert_null(m->apps[0].health.url);
    assert_string_equal(m->apps[1].command[1], "-x");
    assert_string_equal(m->apps[1].env.v[0].value, "V");
    assert_string_equal(m->apps[1].dir, "/d");
    assert_int_equal(m->apps[1].restart, RESTART_ON_FAILURE);
    assert_string_equal(m->apps[1].health.url, "http://h/");
    assert_int_equal(m->apps[1].health.interval_ms, 3000);
    assert_int_equal(m->apps[1].health.threshold, 2);
    assert_int_equal(m->scripts[0].run, SCRIPT_CRON);
    assert_true(m->scripts[1].is_blocking);
    assert_int_equal(m->scripts[1].timeout_ms, 60000);
    assert_string_equal(m->metadata[0].display_name, "cpu");
    assert_int_equal(m->metadata[0].interval_ms, 10000);
}

static void test_secrets(void **state)
{
    (void)state;
    struct lab lab;
    lab_open(&lab);
    scoped(manifest_freep) struct manifest *m = NULL;
    struct errctx ctx = {0};
    assert_int_equal(parse(good, &m, &ctx), ERR_OK);
    assert_int_equal(manifest_load_secrets(m, &ctx), ERR_OK); /* there are none */
    struct strbuf path;
    strbuf_init(&path);
    strbuf_addf(&path, "%s/secrets.json", lab.path);
    m->secrets_file = strbuf_detach(&path);
    assert_int_equal(manifest_load_secrets(m, &ctx), ERR_NOT_FOUND);
    static const char damaged[] = "{\"KEY\": \"hunter2\"";
    lab_write(&lab, "secrets.json", damaged, strlen(damaged));
    assert_int_equal(manifest_load_secrets(m, &ctx), ERR_CONFIG);
    assert_null(strstr(ctx.text, "hunter2"));
    static const char sound[] = "{\"KEY\": \"hunter2\"}";
    lab_write(&lab, "secrets.json", sound, strlen(sound));
    assert_int_equal(manifest_load_secrets(m, &ctx), ERR_OK);
    assert_string_equal(m->secrets.v[0].value, "hunter2");
    assert_int_equal(lab_size(&lab, "secrets.json"), -1);
    lab_close(&lab);
}

static void test_not_json(void **state)
{
    (void)state;
    const char *const texts[] = {
        "", "{", "[]", "\"x\"", "{\"version\": 1, \"version\": 1}", "{\"prompt\": \"a\\u0000b\"}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct manifest *m;
        struct errctx ctx;
        assert_int_equal(parse(texts[i], &m, &ctx), ERR_CONFIG);
        assert_non_null(strstr(ctx.text, "manifest: "));
    }
}

static void test_large_prompt(void **state)
{
    (void)state;
    for (size_t n = 1024 * 1024; n <= 1024 * 1024 + 1; n++) {
        json_t *root = json_loads(good, 0, NULL);
        scoped_free char *prompt = malloc(n);
        memset(prompt, 'x', n);
        json_object_set_new(root, "prompt", json_stringn(prompt, n));
        scoped_free char *text = json_dumps(root, 0);
        json_decref(root);
        scoped(manifest_freep) struct manifest *m = NULL;
        struct errctx ctx;
        assert_int_equal(parse(text, &m, &ctx), n > 1024 * 1024 ? ERR_CONFIG : ERR_OK);
    }
}

static void test_file_that_is_not_there(void **state)
{
    (void)state;
    struct manifest *m;
    struct errctx ctx = {0};
    assert_int_equal(manifest_load("/nowhere/manifest.json", &m, &ctx), ERR_NOT_FOUND);
    assert_string_equal(ctx.text, "/nowhere/manifest.json: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_keys_that_may_be_left_out),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_agentapi),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_large_prompt),
        cmocka_unit_test(test_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
