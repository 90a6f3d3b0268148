/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the command line and the environment are read as the real agentapi's are, with a sentence
 * for what is wrong; lists of hosts and origins let in whom they name and nobody else.
 * Method: rows of words, of headers, and of bodies.
 */
#include "tests/unit/agentapi/agentapi_lab.h"

#include <jansson.h>

#include "agent/agentapi/api.h"
#include "agent/agentapi/flags.h"
#include "agent/agentapi/hosts.h"

static enum err parse(const char *line, struct flags *f, struct errctx *ctx)
{
    static char words[300], *argv[20];
    int argc = 0;
    snprintf(words, sizeof(words), "agentapi %s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    *f = (struct flags){0};
    return flags_parse(argc, argv, f, ctx);
}

static void test_initial_values(void **state)
{
    (void)state;
    struct flags f;
    assert_int_equal(parse("server -- claude --model x", &f, NULL), ERR_OK);
    assert_int_equal(f.port, 3284);
    assert_int_equal(f.width, 80);
    assert_int_equal(f.height, 1000);
    assert_int_equal(f.agent_type, AGENT_CLAUDE);
    assert_string_equal(f.command[0], "claude");
    assert_string_equal(f.command[1], "--model");
    assert_string_equal(f.host_list.s, "localhost, 127.0.0.1, [::1]");
    assert_string_equal(f.chat_base_path, "/chat");
    assert_null(f.prompt);
    assert_false(f.load_state || f.save_state);
    flags_done(&f);
}

static const struct {
    const char *line, *trouble; /* NULL: none */
} lines[] = {
    {"-p 0 -t custom -I hi -s /tmp/s -- x",                 NULL                             },
    {"--port=1 --type=cursor-agent x",                      NULL                             },
    {"--state-file s --load-state=false --save-state -- x", NULL                             },
    {"--allowed-hosts * --allowed-origins * -- x",          NULL                             },
    {"--print-openapi",                                     NULL                             },
    {"--help",                                              NULL                             },
    {"",                                                    "which command?"                 },
    {"--",                                                  "which command?"                 },
    {"--port",                                              "needs a value"                  },
    {"--port x -- y",                                       "not a number"                   },
    {"--port 70000 -- y",                                   "not a number"                   },
    {"--port -1 -- y",                                      "not a number"                   },
    {"--term-width 9 -- y",                                 "10 to 1000"                     },
    {"--term-height 5000 -- y",                             "10 to 2000"                     },
    {"--type emacs -- y",                                   "claude, goose"                  },
    {"--nonsense -- y",                                     "not a flag"                     },
    {"-x y",                                                "not a flag"                     },
    {"--save-state -- y",                                   "--save-state needs --state-file"},
    {"--load-state -- y",                                   "--load-state needs --state-file"},
    {"--load-state=perhaps -s f -- y",                      "neither true nor false"         },
    {"--experimental-acp -- y",                             "not supported"                  },
    {"--allowed-hosts http://a -- y",                       "must not include http"          },
    {"--allowed-hosts a:80 -- y",                           "must not include a port"        },
    {"--allowed-hosts , -- y",                              "must not be empty"              },
    {"--allowed-origins localhost -- y",                    "is not an origin"               },
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct flags f;
        struct errctx ctx = {0};
        enum err e = parse(lines[i].line, &f, &ctx);
        bool is_right = lines[i].trouble == NULL
                            ? e == ERR_OK
                            : e == ERR_USAGE && strstr(ctx.text, lines[i].trouble) != NULL;
        if (!is_right)
            fail_msg("%s: %s %s", lines[i].line, err_name(e), ctx.text);
        flags_done(&f);
    }
}

static void test_environment(void **state)
{
    (void)state;
    struct flags f;
    setenv("AGENTAPI_PORT", "4000", 1);
    setenv("AGENTAPI_ALLOWED_HOSTS", "a b,[::1]", 1);
    setenv("AGENTAPI_STATE_FILE", "/tmp/s", 1);
    setenv("AGENTAPI_SAVE_STATE", "true", 1);
    setenv("AGENTAPI_LOAD_STATE", "false", 1);
    setenv("AGENTAPI_INITIAL_PROMPT", "", 1);
    assert_int_equal(parse("-- x", &f, NULL), ERR_OK);
    assert_int_equal(f.port, 4000);
    assert_string_equal(f.host_list.s, "a, b, [::1]");
    assert_true(f.save_state && !f.load_state);
    assert_null(f.prompt);
    flags_done(&f);
    assert_int_equal(parse("--port 5000 -- x", &f, NULL), ERR_OK);
    assert_int_equal(f.port, 5000);
    flags_done(&f);
    unsetenv("AGENTAPI_STATE_FILE");
    assert_int_equal(parse("-- x", &f, NULL), ERR_USAGE);
    flags_done(&f);
    static const char *const names[] = {
        "PORT", "ALLOWED_HOSTS", "SAVE_STATE", "LOAD_STATE", "INITIAL_PROMPT"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[40];
        snprintf(name, sizeof(name), "AGENTAPI_%s", names[i]);
        unsetenv(name);
    }
}

static const struct {
    const char *list, *header;
    bool is_allowed;
} hosts[] = {
    {"localhost, 127.0.0.1, [::1]", "localhost:3284",     true },
    {"localhost, 127.0.0.1, [::1]", "LOCALHOST",          true },
    {"localhost, 127.0.0.1, [::1]", "[::1]:80",           true },
    {"::1",                         "[::1]",              true },
    {"localhost",                   "localhost.evil.com", false},
    {"localhost",                   "evil.com",           false},
    {"localhost",                   "evil.com:localhost", false},
    {"localhost",                   "",                   false},
    {"localhost",                   NULL,                 false},
    {"localhost",                   ":80",                false},
    {"localhost",                   "[localhost",         false},
    {"*",                           "evil.com",           true },
    {"*",                           NULL,                 true },
};

static void test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++)
        if (hosts_allow(hosts[i].list, hosts[i].header) != hosts[i].is_allowed)
            fail_msg("%s: %s", hosts[i].list, hosts[i].header != NULL ? hosts[i].header : "(none)");
    assert_true(origins_allow("http://a:1, http://b", "http://b"));
    assert_true(origins_allow("*", "http://b"));
    assert_false(origins_allow("http://a:1", "http://a:12"));
    assert_false(origins_allow("http://a:1", "http://a"));
}

static const struct {
    const char *body;
    size_t n_errors;
} bodies[] = {
    {"{\"content\":\"x\",\"type\":\"user\"}",                   0},
    {"{\"content\":\"\\u0003\",\"type\":\"raw\"}",              0},
    {"{\"$schema\":\"x\",\"content\":\"\",\"type\":\"user\"}",  0},
    {"{\"content\":\"x\"}",                                     1},
    {"{\"type\":\"user\"}",                                     1},
    {"{}",                                                      2},
    {"{\"content\":1,\"type\":2}",                              2},
    {"{\"content\":\"x\",\"type\":\"shout\"}",                  1},
    {"{\"content\":\"x\",\"type\":\"user\",\"more\":1}",        1},
    {"{\"content\":\"x\",\"content\":\"y\",\"type\":\"user\"}", 1},
    {"[]",                                                      1},
    {"\"x\"",                                                   1},
    {"{",                                                       1},
    {"\xff",                                                    1},
};

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct api_message m = {0};
        json_t *errors = json_array();
        bool is_good = api_read_message(bodies[i].body, strlen(bodies[i].body), &m, errors);
        if (json_array_size(errors) != bodies[i].n_errors || is_good != (bodies[i].n_errors == 0))
            fail_msg("%s: %zu errors", bodies[i].body, json_array_size(errors));
        if (is_good)
            api_message_done(&m);
        json_decref(errors);
    }
}

static void test_help_names_every_flag(void **state)
{
    (void)state;
    struct strbuf help;
    strbuf_init(&help);
    flags_help(&help);
#define FLAG(type, name, letter, field, initial, value, text) \
    assert_non_null(strstr(help.s, "--" name));
#include "agent/agentapi/flag.def"
    strbuf_done(&help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_help_names_every_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
