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

/* One key set to a value (JSON; NULL: taken out), and what the error must say. */
static const struct {
    const char *key, *value, *says;
} wrong[] = {
    {"version",      NULL,               "\"version\" is missing"                              },
    {"version",      "2",                "\"version\" must be 1"                               },
    {"version",      "\"1\"",            "\"version\" must be 1"                               },
    {"agent_id",     NULL,               "\"agent_id\" is missing"                             },
    {"agent_id",     "\"x\"",            "\"agent_id\" must be a uuid"                         },
    {"agent_id",     "7",                "\"agent_id\" must be a text"                         },
    {"agent_token",  "\"secret\"",       "\"agent_token\" must be a uuid"                      },
    {"task_name",    "\"\"",             "\"task_name\" must not be empty"                     },
    {"owner_name",   "null",             "\"owner_name\" must be a text"                       },
    {"build_number", "0",                "\"build_number\" must be from 1 to 2147483647, not 0"},
    {"build_number", "1.5",              "\"build_number\" must be a whole number"             },
    {"grace_ms",     "-1",               "\"grace_ms\" must be from 0 to 3600000, not -1"      },
    {"grace_ms",     "\"10s\"",          "\"grace_ms\" must be a whole number"                 },
    {"dir",          "\"work\"",         "\"dir\" must be an absolute path"                    },
    {"workers_dir",  "\"\"",             "\"workers_dir\" must be an absolute path"            },
    {"prompt",       NULL,               "\"prompt\" is missing"                               },
    {"prompt",       "[\"a\"]",          "\"prompt\" must be a text"                           },
    {"command",      NULL,               "\"command\" is missing"                              },
    {"command",      "\"bash\"",         "\"command\" must be a list"                          },
    {"command",      "[]",               "\"command\" must be a list of at least one text"     },
    {"command",      "[\"\"]",           "the first not empty"                                 },
    {"command",      "[\"a\", 1]",       "\"command\" must be a list of texts"                 },
    {"env",          "[]",               "\"env\" must be an object of texts"                  },
    {"env",          "{\"A\": 1}",       "\"env\": \"A\" must be a text"                       },
    {"env",          "{\"A=B\": \"1\"}", "\"env\" has a name"                                  },
    {"env",          "{\"\": \"1\"}",    "\"env\" has a name"                                  },
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
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_large_prompt),
        cmocka_unit_test(test_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
