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

/* ---- the command's program ---- */

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
        enum err e = template_load(dir, &t, &ctx);
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

static void an_archive_without_template(void **state)
{
    (void)state;
    char dir[] = "/tmp/stint-template-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct template *t;
    struct errctx ctx = {0};
    assert_int_equal(template_load(dir, &t, &ctx), ERR_CONFIG);
    assert_non_null(strstr(ctx.text, "no template.yaml at its top"));

    /* A link to somewhere else is no template either. */
    assert_int_equal(symlinkat("/etc/passwd", open(dir, O_PATH), "template.yaml"), 0);
    assert_int_not_equal(template_load(dir, &t, &ctx), ERR_OK);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &ctx), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_template_is_read),
        cmocka_unit_test(little_is_needed),
        cmocka_unit_test(bad_ones_are_refused_with_words),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(the_program_must_be_there),
        cmocka_unit_test(an_archive_without_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
