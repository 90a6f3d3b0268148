/* SPDX-License-Identifier: Apache-2.0 */
/* template.yaml by table: what is accepted and what it means, what is refused and in which words.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"
#include "worker/provisioner/template.h"

static void a_full_template_is_read(void **state)
{
    (void)state;
    static const char yaml[] =
        "name: shell\n"
        "display_name: Shell script\n"
        "description: Runs it.\n"
        "icon: /icon/terminal.svg\n"
        "command:\n  - bash\n  - -c\n  - |\n    echo one\n    echo two\n"
        "dir: /home/agent/work\n"
        "env:\n  - name: A\n    value: 'x y'\n  - {name: EMPTY, value: \"\"}\n"
        "limits: {memory: 2GiB, pids: 512, cpus: 1.5, file_size: 10MiB}\n"
        "network: true\n"
        "mounts:\n  - name: source\n    to: /mnt/source\n    optional: true\n"
        "grace: 250ms\n"
        "app:\n  slug: my-shell\n  display_name: My shell\n";
    scoped(template_freep) struct template *t = NULL;
    struct errctx ctx = {0};
    assert_int_equal(template_parse(yaml, strlen(yaml), &t, &ctx), ERR_OK);
    assert_string_equal(t->name, "shell");
    assert_int_equal(t->command_count, 3);
    assert_string_equal(t->command[2], "echo one\necho two\n");
    assert_string_equal(t->dir, "/home/agent/work");
    assert_int_equal(t->env_count, 2);
    assert_string_equal(t->env[0].value, "x y");
    assert_string_equal(t->env[1].value, "");
    assert_int_equal(t->limits.memory_bytes, 2LL << 30);
    assert_int_equal(t->limits.pids, 512);
    assert_int_equal(t->limits.cpu_milli, 1500);
    assert_int_equal(t->limits.file_size_bytes, 10 << 20);
    assert_true(t->network);
    assert_true(t->mounts[0].optional);
    assert_int_equal(t->grace_ms, 250);
    assert_string_equal(t->app->slug, "my-shell");
}

static void little_is_needed(void **state)
{
    (void)state;
    static const char *const good[] = {
        "command: [true]\n",
        "command: [sh]\n# a comment\n",
        "---\ncommand: [\"sh\"]\n",
        "command: [sh]\nlimits: {}\n",
        "command: [sh]\nlimits: {cpus: 1}\n",
        "command: [sh]\napp: {slug: a}\n",
        "command: [sh]\nenv: []\nmounts: []\n",
        "command: [sh, \"\"]\n",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        scoped(template_freep) struct template *t = NULL;
        struct errctx ctx = {0};
        if (template_parse(good[i], strlen(good[i]), &t, &ctx) != ERR_OK)
            fail_msg("%s: %s", good[i], ctx.text);
        assert_string_equal(t->dir, "/home/agent");
        assert_int_equal(t->grace_ms, 10000);
        assert_false(t->network);
    }
}

static void bad_ones_are_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"",                                                             "empty"                 },
        {"# nothing\n",                                                  ""                      },
        {"name: x\n",                                                    "command"               },
        {"command: []\n",                                                "command: it is empty"  },
        {"command: [\"\"]\n",                                            "command: it is empty"  },
        {"command: sh\n",                                                ""                      },
        {"command: [sh]\nnetwrok: true\n",                               "netwrok"               },
        {"command: [sh]\n\nlimits:\n  memroy: 1GiB\n",                   "line 4"                },
        {"command: [sh]\nlimits: {memory: lots}\n",                      "limits.memory"         },
        {"command: [sh]\nlimits: {memory: 1KiB}\n",                      "limits.memory"         },
        {"command: [sh]\nlimits: {pids: -1}\n",                          "limits.pids"           },
        {"command: [sh]\nlimits: {pids: many}\n",                        ""                      },
        {"command: [sh]\nlimits: {cpus: 0}\n",                           "limits.cpus"           },
        {"command: [sh]\nlimits: {cpus: two}\n",                         "limits.cpus"           },
        {"command: [sh]\nlimits: {cpus: nan}\n",                         "limits.cpus"           },
        {"command: [sh]\nlimits: {file_size: 5}\n",                      "limits.file_size"      },
        {"command: [sh]\ngrace: soon\n",                                 "grace"                 },
        {"command: [sh]\ngrace: 2h\n",                                   "grace"                 },
        {"command: [sh]\nnetwork: perhaps\n",                            ""                      },
        {"command: [sh]\nenv: [{name: 1A, value: b}]\n",                 "1A"                    },
        {"command: [sh]\nenv: [{name: \"A B\", value: b}]\n",            "A B"                   },
        {"command: [sh]\nenv: [{name: STINT_X, value: b}]\n",            "STINT_X"               },
        {"command: [sh]\nenv: [{name: A}]\n",                            "value"                 },
        {"command: [sh]\ndir: home\n",                                   "dir"                   },
        {"command: [sh]\ndir: /home/../etc\n",                           "dir"                   },
        {"command: [sh]\nmounts: [{name: x, to: mnt}]\n",                "not an absolute path"  },
        {"command: [sh]\nmounts: [{name: x, to: /mnt/../etc}]\n",        "not an absolute path"  },
        {"command: [sh]\nmounts: [{name: x, to: /etc/ssl}]\n",           "belongs to the sandbox"},
        {"command: [sh]\nmounts: [{name: x, to: /usr}]\n",               "belongs to the sandbox"},
        {"command: [sh]\nmounts: [{name: x, to: /home}]\n",              "belongs to the sandbox"},
        {"command: [sh]\nmounts: [{name: x, to: /home/agent/x}]\n",      "belongs to the sandbox"},
        {"command: [sh]\nmounts: [{name: x, to: /run/stint/workers}]\n", "belongs to the sandbox"},
        {"command: [sh]\napp: {}\n",                                     "slug"                  },
        {"command: [sh]\napp: {slug: \"Not Good\"}\n",                   "app.slug"              },
        {"command: [sh]\napp: {slug: a--b}\n",                           "app.slug"              },
        {"command: [sh]\napp: {slug: -a}\n",                             "app.slug"              },
        {"command: [sh\n",                                               "line"                  },
        {"command: &a [sh]\nenv: *a\n",                                  ""                      },
        {"\tcommand: [sh]\n",                                            ""                      },
        {"command: [\"\xff\"]\n",                                        "UTF-8"                 },
        {"command: [sh]\ncommand: [bash]\n",                             ""                      },
        {"app: {slug: a}\n",                                             "agentapi"              },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct template *t = NULL;
        struct errctx ctx = {0};
        enum err e = template_parse(rows[i].yaml, strlen(rows[i].yaml), &t, &ctx);
        if (e == ERR_OK) {
            template_free(t);
            fail_msg("%s is taken", rows[i].yaml);
        }
        assert_int_equal(e, ERR_CONFIG);
        if (strstr(ctx.text, rows[i].says) == NULL || strstr(ctx.text, "template.yaml") == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].yaml, ctx.text, rows[i].says);
    }
}

static void too_large_is_refused(void **state)
{
    (void)state;
    size_t n = TEMPLATE_BYTES_MAX + 1;
    char *text = malloc(n);
    memset(text, '#', n);
    struct template *t;
    struct errctx ctx = {0};
    assert_int_equal(template_parse(text, n, &t, &ctx), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "64 KiB"));
    free(text);
}

/* ---- parameters and presets ---- */

static void parameters_are_read(void **state)
{
    (void)state;
    static const char yaml[] =
        "command: [sh]\n"
        "parameters:\n"
        "  - {name: model, default: small, mutable: true, options: [{name: S, value: small},\n"
        "     {name: L, value: large, description: Dear.}]}\n"
        "  - {name: turns, type: number, validation: {min: 1, max: 10}}\n"
        "  - {name: empty, required: false}\n"
        "  - {name: branch, default: main, validation: {regex: \"^[a-z]+$\"}}\n"
        "presets:\n"
        "  - {name: Big, default: true, parameters: [{name: model, value: large}]}\n"
        "  - {name: None}\n";
    scoped(template_freep) struct template *t = NULL;
    struct errctx ctx = {0};
    if (template_parse(yaml, strlen(yaml), &t, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    const struct template_parameter *p = t->parameters;
    assert_int_equal(t->parameters_count, 4);
    assert_string_equal(p[0].type, "string");
    assert_true(p[0].is_mutable && !p[0].required);
    assert_string_equal(p[0].options[1].description, "Dear.");
    assert_true(p[1].required && !p[1].is_mutable);
    assert_int_equal(p[1].validation->max, 10);
    assert_false(p[2].required);
    assert_string_equal(p[2].default_value, "");
    assert_string_equal(p[3].validation->error, "the value has another form");
    assert_int_equal(t->presets_count, 2);
    assert_true(t->presets[0].is_default && !t->presets[1].is_default);
    assert_string_equal(t->presets[0].values[0].value, "large");
}

struct bad_row {
    const char *yaml, *says;
};

/* `head` is line 2; the row's items follow. */
static void refused(const char *head, const struct bad_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char yaml[512];
        struct template *t = NULL;
        struct errctx ctx = {0};
        snprintf(yaml, sizeof(yaml), "command: [sh]\n%s\n%s", head, rows[i].yaml);
        if (template_parse(yaml, strlen(yaml), &t, &ctx) == ERR_OK) {
            template_free(t);
            fail_msg("%s is taken", yaml);
        }
        if (strstr(ctx.text, rows[i].says) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", yaml, ctx.text, rows[i].says);
    }
}

static void bad_parameters_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct bad_row rows[] = {
        {"- {name: a b}",                              "line 3: parameters[0].name: \"a b\" is no"},
        {"- {name: a-b}\n- {name: A_B}",               "line 4: parameters[1].name: another"      },
        {"- {name: a, type: text}",                    "parameters[0].type: \"text\" is none of"  },
        {"- {name: a, defualt: x}",                    "line 3: Unexpected key: defualt"          },
        {"- {name: a, default: x, required: true}",    "has no default"                           },
        {"- {name: a, type: number, default: x}",      "default: a: value \"x\" is not a n"       },
        {"- {name: a, type: number, required: false}", "is not a number"                          },
    };
    static const struct bad_row checks[] = {
        {"  type: bool\n  validation: {regex: a}",         "only a string"                    },
        {"  validation: {min: 1}",                         "only a number"                    },
        {"  type: number\n  validation: {min: 2, max: 1}", "larger"                           },
        {"  type: number\n  validation: {min: x}",         "validation.min"                   },
        {"  validation:\n    regex: \"(\"",                "line 5: parameters[0].validation."},
    };
    static const struct bad_row options[] = {
        {"  - {name: Y, value: y}\n  default: x",            "one of options: [y]"         },
        {"  - {name: Y, value: y}\n  type: bool",            "options[0]: a: boolean value"},
        {"  - {name: Y, value: y}\n  - {name: Z, value: y}", "same value"                  },
        {"  - {name: Y}",                                    "value"                       },
    };
    refused("parameters:", rows, COUNT(rows));
    refused("parameters:\n- name: a", checks, COUNT(checks));
    refused("parameters:\n- name: a\n  options:", options, COUNT(options));
}

static void bad_presets_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct bad_row rows[] = {
        {"- {name: a}\n- {name: a}",                               "has this name already" },
        {"- {name: a, default: true}\n- {name: b, default: true}", "is the default already"},
        {"- {name: \"\"}",                                         "1-128 bytes"           },
    };
    static const struct bad_row values[] = {
        {"    - {name: x, value: y}",                              "no parameter \"x\""      },
        {"    - {name: p, value: y}",                              "line 7: presets[0].param"},
        {"  - {name: p, value: true}\n  - {name: p, value: true}", "twice"                   },
    };
    static const char parameter[] = "parameters:\n- {name: p, type: bool}\npresets:";
    static const char preset[] =
        "parameters:\n- {name: p, type: bool}\npresets:\n- name: a\n  parameters:";
    refused(parameter, rows, COUNT(rows));
    refused(preset, values, COUNT(values));
}

/* ---- what the agent is to run ---- */

static const char whole_agent[] =
    "agentapi: {port: 4000, prompt: none, enable_state_persistence: true}\n"
    "app:\n"
    "  slug: claude\n"
    "  icon: /icon/claude.svg\n"
    "  url: http://localhost:4000/\n"
    "  command: [stint-agent, agentapi, --, cat]\n"
    "  env: [{name: A, value: b}]\n"
    "  dir: /home/agent/work\n"
    "apps:\n"
    "  - {slug: preview, command: [sh], restart: never,\n"
    "     health: {url: \"http://localhost:8000/up\", interval: 5s, threshold: 3}}\n"
    "  - {slug: docs, url: \"https://example.com/\"}\n"
    "env:\n"
    "  - {name: KEY, secret: api-key}\n"
    "  - {name: URL, secret: base-url, optional: true}\n"
    "  - {name: PLAIN, value: text}\n"
    "scripts:\n"
    "  - {name: install, command: [sh, -c, x], blocking: true, timeout: 5m}\n"
    "  - {name: bye, run: stop, command: [sh]}\n"
    "  - {name: tidy, run: cron, cron: \"*/5 * * * *\", command: [sh]}\n"
    "metadata:\n"
    "  - {key: load, display_name: Load, command: [cat, /proc/loadavg], interval: 1m, timeout: "
    "1s}\n"
    "  - {key: df, command: [df]}\n";

static void a_whole_agent_is_read(void **state)
{
    (void)state;
    scoped(template_freep) struct template *t = NULL;
    struct errctx ctx = {0};
    if (template_parse(whole_agent, strlen(whole_agent), &t, &ctx) != ERR_OK)
        fail_msg("%s", ctx.text);
    assert_int_equal(t->command_count, 0);
    assert_int_equal(t->agentapi->port, 4000);
    assert_string_equal(t->agentapi->prompt, "none");
    assert_true(t->agentapi->enable_state_persistence);

    assert_int_equal(t->app->command_count, 4);
    assert_string_equal(t->app->restart, "on-failure");
    assert_string_equal(t->app->env[0].value, "b");
    assert_int_equal(t->apps_count, 2);
    assert_string_equal(t->apps[0].restart, "never");
    assert_int_equal(t->apps[0].health->interval_ms, 5000);
    assert_int_equal(t->apps[0].health->threshold, 3);
    assert_int_equal(t->apps[1].command_count, 0);

    assert_string_equal(t->env[0].secret, "api-key");
    assert_false(t->env[0].optional);
    assert_true(t->env[1].optional);
    assert_null(t->env[2].secret);

    assert_string_equal(t->scripts[0].run, "start");
    assert_true(t->scripts[0].blocking);
    assert_int_equal(t->scripts[0].timeout_ms, 300000);
    assert_string_equal(t->scripts[1].run, "stop");
    assert_int_equal(t->scripts[1].timeout_ms, 0);
    assert_string_equal(t->scripts[2].cron, "*/5 * * * *");
    assert_int_equal(t->metadata[0].interval_ms, 60000);
    assert_int_equal(t->metadata[0].timeout_ms, 1000);
    assert_int_equal(t->metadata[1].interval_ms, 10000);
    assert_int_equal(t->metadata[1].timeout_ms, 5000);
}

static void what_is_not_said_of_agentapi(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        int port;
    } rows[] = {
        {"agentapi: {}\napp: {slug: a}\n",                          3284},
        {"agentapi: {}\napp: {slug: a}\nnetwork: true\n",           0   },
        {"agentapi: {port: 3284}\napp: {slug: a}\nnetwork: true\n", 3284},
        {"agentapi: {port: 0}\napp: {slug: a}\n",                   0   },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        scoped(template_freep) struct template *t = NULL;
        struct errctx ctx = {0};
        if (template_parse(rows[i].yaml, strlen(rows[i].yaml), &t, &ctx) != ERR_OK)
            fail_msg("%s: %s", rows[i].yaml, ctx.text);
        assert_int_equal(t->agentapi->port, rows[i].port);
        assert_string_equal(t->agentapi->prompt, "send");
        assert_false(t->agentapi->enable_state_persistence);
    }
}

#define TURN "command: [sh]\n"
#define API  "agentapi: {}\napp: {slug: a}\n"

static void bad_agents_are_refused_with_key_and_line(void **state)
{
    (void)state;
    /* What is wrong, and the words for it. */
    static const char *const rows[] = {
        TURN API,
        "line 2: agentapi: prompts go either",
        "agentapi: {}\n",
        "line 1: agentapi: it needs an app",
        "\nagentapi: {port: 80}\napp: {slug: a}\n",
        "line 2: agentapi.port: 80",
        "agentapi: {port: x}\napp: {slug: a}\n",
        "agentapi.port: \"x\" is not a number",
        "agentapi: {port: 65536}\napp: {slug: a}\n",
        "agentapi.port",
        "agentapi: {prompt: maybe}\napp: {slug: a}\n",
        "agentapi.prompt: \"maybe\" is none of these: send none",
        "agentapi: {enable_state_persistence: x}\napp: {slug: a}\n",
        "enable_state_persistence",
        "agentapi: {ports: 1}\napp: {slug: a}\n",
        "ports",
        TURN "app: {slug: a, command: [sh]}\n",
        "line 2: app.command",
        API "apps:\n - {slug: b}\n - {slug: a}\n",
        "line 5: apps[1].slug: another app",
        API "apps: [{slug: b}, {slug: b}]\n",
        "apps[1].slug: another app",
        API "apps: [{slug: B}]\n",
        "line 3: apps[0].slug",
        API "apps: [{slug: b, command: []}]\n",
        "apps[0].command: it is empty",
        API "apps: [{slug: b, command: [sh], restart: often}]\n",
        "apps[0].restart: \"often\" is none of these",
        API "apps: [{slug: b, restart: always}]\n",
        "nothing to restart",
        API "apps: [{slug: b, url: javascript:x}]\n",
        "apps[0].url",
        API "apps: [{slug: b, health: {}}]\n",
        "url",
        API "apps: [{slug: b, health: {url: localhost}}]\n",
        "apps[0].health.url",
        API "apps:\n- slug: b\n  health:\n    url: http://x\n    interval: 10ms\n",
        "line 7: apps[0].health.interval",
        API "apps: [{slug: b, health: {url: \"http://x\", threshold: 0}}]\n",
        "health.threshold",
        API "apps: [{slug: b, command: [sh], env: [{name: A, secret: b}]}]\n",
        "apps[0].env[0]: A: an app has no secrets of its own",
        API "apps: [{slug: b, command: [sh], dir: x}]\n",
        "apps[0].dir",
        TURN "env: [{name: A, value: b, secret: c}]\n",
        "not both",
        TURN "env: [{name: A, optional: true}]\n",
        "not neither",
        TURN "env: [{name: A, value: b, optional: true}]\n",
        "only a secret can be optional",
        TURN "env:\n - {name: A, value: b}\n - {name: B, secret: Bad/name}\n",
        "line 4: env[1]: B: \"Bad/name\" is no name of a secret",
        TURN "env: [{name: A, value: b}, {name: A, secret: c}]\n",
        "env[1]: A is there twice",
        TURN "env: [{name: A, secret: \"..\"}]\n",
        "no name of a secret",
        TURN "env: [{name: A, secret: \"\"}]\n",
        "no name of a secret",
        TURN "env: [{name: STINT_A, secret: b}]\n",
        "STINT_",
        TURN "scripts: [{name: a}]\n",
        "line 2: scripts[0].command: it is missing",
        TURN "scripts: [{command: [sh]}]\n",
        "name",
        TURN "scripts: [{name: \"a b\", command: [sh]}]\n",
        "scripts[0].name",
        TURN "scripts:\n- {name: a, command: [sh]}\n- {name: a, command: [sh]}\n",
        "line 4: scripts[1].name: another script",
        TURN "scripts: [{name: a, command: [sh], run: later}]\n",
        "scripts[0].run: \"later\" is none of these: start stop cron",
        TURN "scripts: [{name: a, command: [sh], run: cron}]\n",
        "say when",
        TURN "scripts: [{name: a, command: [sh], run: cron, cron: \"* * * *\"}]\n",
        "line 2: scripts[0].cron: \"* * * *\" has 4 of the five fields of cron",
        TURN "scripts: [{name: a, command: [sh], run: cron, cron: \"61 * * * *\"}]\n",
        "scripts[0].cron: the minute of",
        TURN "scripts: [{name: a, command: [sh], cron: \"* * * * *\"}]\n",
        "only a script with run",
        TURN "scripts: [{name: a, command: [sh], run: stop, blocking: true}]\n",
        "blocking",
        TURN "scripts: [{name: a, command: [sh], timeout: 1}]\n",
        "scripts[0].timeout",
        TURN "scripts: [{name: a, command: [sh], tiemout: 1s}]\n",
        "tiemout",
        TURN "metadata: [{key: a}]\n",
        "metadata[0].command: it is missing",
        TURN "metadata: [{key: a/b, command: [sh]}]\n",
        "metadata[0].key",
        TURN "metadata: [{key: a, command: [sh], interval: 1ms}]\n",
        "metadata[0].interval",
        TURN "metadata: [{key: a, command: [sh]}, {key: a, command: [sh]}]\n",
        "metadata[1].key: another one",
    };
    for (size_t i = 0; i < COUNT(rows); i += 2) {
        struct template *t = NULL;
        struct errctx ctx = {0};
        enum err e = template_parse(rows[i], strlen(rows[i]), &t, &ctx);
        if (e == ERR_OK) {
            template_free(t);
            fail_msg("%s is taken", rows[i]);
        }
        assert_int_equal(e, ERR_CONFIG);
        if (strstr(ctx.text, rows[i + 1]) == NULL || strstr(ctx.text, "template.yaml") == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", rows[i], ctx.text, rows[i + 1]);
    }
}

/* ---- the commands' programs ---- */

static void write_text(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

static void the_program_must_be_there(void **state)
{
    (void)state;
    static const struct {
        const char *program, *becomes; /* NULL: refused */
    } rows[] = {
        {"sh",                     "sh"                    },
        {"/bin/sh",                "/bin/sh"               },
        {"/usr/bin/env",           "/usr/bin/env"          },
        {"run",                    "/opt/template/run"     },
        {"./run",                  "/opt/template/run"     },
        {"bin/tool",               "/opt/template/bin/tool"},
        {"/opt/template/bin/tool", "/opt/template/bin/tool"},
        {"data",                   NULL                    }, /* not executable */
        {"bin",                    NULL                    }, /* a directory */
        {"/etc/passwd",            NULL                    }, /* not to be seen in a sandbox */
        {"/usr/../bin/sh",         NULL                    }, /* not plain */
        {"../run",                 NULL                    },
        {"bin/../../run",          NULL                    },
        {"/opt/template/none",     NULL                    },
        {"no-such-program",        NULL                    },
    };
    char dir[] = "/tmp/stint-template-XXXXXX", bin[64], yaml[200];
    assert_non_null(mkdtemp(dir));
    snprintf(bin, sizeof(bin), "%s/bin", dir);
    assert_int_equal(mkdir(bin, 0755), 0);
    write_text(dir, "run", "#!/bin/sh\n", 0755);
    write_text(dir, "data", "x", 0644);
    write_text(bin, "tool", "#!/bin/sh\n", 0755);
    for (size_t i = 0; i < COUNT(rows); i++) {
        snprintf(yaml, sizeof(yaml), "command: [\"%s\", arg]\n", rows[i].program);
        write_text(dir, "template.yaml", yaml, 0644);
        scoped(template_freep) struct template *t = NULL;
        struct errctx ctx = {0};
        enum err e = template_load(dir, NULL, NULL, &t, &ctx);
        if ((e == ERR_OK) != (rows[i].becomes != NULL))
            fail_msg("%s: %s %s", rows[i].program, err_name(e), ctx.text);
        if (e == ERR_OK)
            assert_string_equal(t->command[0], rows[i].becomes);
        else
            assert_non_null(strstr(ctx.text, "is not there"));
    }
    struct errctx ctx;
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &ctx), ERR_OK);
}

static void collect(void *arg, const char *sentence)
{
    char *all = arg;
    size_t n = strlen(all);
    snprintf(all + n, 1000 - n, "%s\n", sentence);
}

/* What a start script or a mount may bring is worth a word; what nothing can bring is refused. */
static void programs_of_apps_and_scripts(void **state)
{
    (void)state;
    /* A template, the error, the warning (NULL: none). */
    static const char *const rows[] = {
        API "apps: [{slug: b, command: [run]}]\n",
        NULL,
        NULL,
        API "apps: [{slug: b, command: [coder]}]\n",
        NULL,
        NULL,
        API "apps: [{slug: b, command: [/opt/stint/bin/stint-agent]}]\n",
        NULL,
        NULL,
        API "apps: [{slug: b, command: [/opt/stint/bin/x]}]\n",
        "apps[0].command",
        NULL,
        API "apps: [{slug: b, command: [no-such]}]\n",
        NULL,
        "line 3: apps[0].command: \"no-such\" is not there now",
        API "apps: [{slug: b, command: [/home/agent/.local/bin/x]}]\n",
        NULL,
        "not there now",
        API "apps: [{slug: b, command: [/opt/template/x]}]\n",
        "line 3: apps[0].command",
        NULL,
        API "apps: [{slug: b, command: [bin/x]}]\n",
        "apps[0].command",
        NULL,
        API "apps: [{slug: b, command: [/mnt/tools/x]}]\n",
        "apps[0].command",
        NULL,
        API "mounts: [{name: a, to: /mnt/tools}]\napps: [{slug: b, command: [/mnt/tools/x]}]\n",
        NULL,
        "line 4: apps[0].command",
        TURN "scripts: [{name: a, command: [/opt/template/x]}]\n",
        "scripts[0].command",
        NULL,
        TURN "scripts: [{name: a, command: [no-such]}]\n",
        NULL,
        "scripts[0].command",
        TURN "metadata: [{key: a, command: [/etc/passwd]}]\n",
        "metadata[0].command",
        NULL,
        "agentapi: {}\napp: {slug: a, command: [no-such]}\n",
        NULL,
        "app.command",
        "command: [no-such]\nscripts: [{name: a, command: [sh]}]\n",
        NULL,
        "line 1: command:",
        "command: [no-such]\nscripts: [{name: a, run: stop, command: [sh]}]\n",
        "command",
        NULL,
    };
    char dir[] = "/tmp/stint-template-XXXXXX";
    assert_non_null(mkdtemp(dir));
    write_text(dir, "run", "#!/bin/sh\n", 0755);
    for (size_t i = 0; i < COUNT(rows); i += 3) {
        char warnings[1000] = "";
        write_text(dir, "template.yaml", rows[i], 0644);
        scoped(template_freep) struct template *t = NULL;
        struct errctx ctx = {0};
        enum err e = template_load(dir, collect, warnings, &t, &ctx);
        if ((e == ERR_OK) != (rows[i + 1] == NULL) ||
            (e != ERR_OK && strstr(ctx.text, rows[i + 1]) == NULL))
            fail_msg("%s: %s %s", rows[i], err_name(e), ctx.text);
        if (rows[i + 2] == NULL ? warnings[0] != '\0' : strstr(warnings, rows[i + 2]) == NULL)
            fail_msg("%s: warned of \"%s\"", rows[i], warnings);
    }
    struct errctx ctx;
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &ctx), ERR_OK);
}

static void an_archive_without_template(void **state)
{
    (void)state;
    char dir[] = "/tmp/stint-template-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct template *t;
    struct errctx ctx = {0};
    assert_int_equal(template_load(dir, NULL, NULL, &t, &ctx), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "no template.yaml at its top"));

    /* A link to somewhere else is no template either. */
    assert_int_equal(symlinkat("/etc/passwd", open(dir, O_PATH), "template.yaml"), 0);
    assert_int_not_equal(template_load(dir, NULL, NULL, &t, &ctx), ERR_OK);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &ctx), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_template_is_read),
        cmocka_unit_test(little_is_needed),
        cmocka_unit_test(bad_ones_are_refused_with_words),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(parameters_are_read),
        cmocka_unit_test(bad_parameters_are_refused_with_their_line),
        cmocka_unit_test(bad_presets_are_refused_with_their_line),
        cmocka_unit_test(a_whole_agent_is_read),
        cmocka_unit_test(what_is_not_said_of_agentapi),
        cmocka_unit_test(bad_agents_are_refused_with_key_and_line),
        cmocka_unit_test(the_program_must_be_there),
        cmocka_unit_test(programs_of_apps_and_scripts),
        cmocka_unit_test(an_archive_without_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
