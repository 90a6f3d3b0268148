/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/local_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/file.h"

static void write_text(const char *path, const char *text, mode_t mode)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

static void collect(void *arg, const struct job_spec *spec, const char *level, const char *stage,
    const char *output)
{
    struct fixture *f = arg;
    (void)spec;
    size_t n = strlen(f->lines);
    snprintf(f->lines + n, sizeof(f->lines) - n, "%s|%s|%s\n", level, stage, output);
}

static void make_dirs(struct fixture *f)
{
    static const char *const folders[] = {"data", "data/agents", "data/templates",
        "data/workspaces", "data/etc", "content", "secrets"};
    snprintf(f->dir, sizeof(f->dir), "/tmp/stint-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->data, sizeof(f->data), "%s/data", f->dir);
    snprintf(f->agent, sizeof(f->agent), "%s/agent", f->dir);
    snprintf(f->content, sizeof(f->content), "%s/content", f->dir);
    snprintf(f->secrets, sizeof(f->secrets), "%s/secrets", f->dir);
    for (size_t i = 0; i < COUNT(folders); i++) {
        char path[160];
        snprintf(path, sizeof(path), "%s/%s", f->dir, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
}

bool fixture_init(struct fixture *f, const char *mounts)
{
    memset(f, 0, sizeof(*f));
    make_dirs(f);
    f->workspace = uuid_random();
    f->io = (struct job_io){
        .call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .line = collect, .arg = f};
    fixture_agent(f, STAND_IN_AGENT);
    fixture_template(
        f, "command: [sh]\nenv: [{name: A, value: b}]\ngrace: 1s\napp: {slug: shell}\n");

    const struct local_conf conf = {
        .data_dir = f->data, .agent_path = f->agent, .mounts = mounts, .secrets_dir = f->secrets};
    if (local_new(&conf, &f->local, &f->ctx) != ERR_OK) {
        print_message("SKIPPED: no sandboxes on this machine: %s\n", f->ctx.text);
        return false;
    }
    f->provisioner = local_provisioner(f->local);
    return true;
}

void fixture_done(struct fixture *f)
{
    if (f->local != NULL) {
        f->io.call = JOB_GO_ON;
        const struct job_spec spec = fixture_spec(f, JOB_DELETE, 1000000);
        assert_int_equal(fixture_run(f, &spec), ERR_OK);
    }
    local_free(f->local);
    job_found_done(&f->found);
    close(f->io.call_fd);
    assert_int_equal(file_remove_tree(AT_FDCWD, f->dir, &f->ctx), ERR_OK);
}

void fixture_template(struct fixture *f, const char *yaml)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/template.yaml", f->content);
    write_text(path, yaml, 0644);
}

void fixture_secret(struct fixture *f, const char *name, const char *content, unsigned mode)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", f->secrets, name);
    unlink(path);
    write_text(path, content, (mode_t)mode);
}

void fixture_agent(struct fixture *f, const char *script)
{
    static const char head[] =
        "#!/bin/sh\n"
        "up() { b=$(sed 's/.*\"build_id\":\"\\([^\"]*\\)\".*/\\1/' /var/lib/stint/manifest.json);"
        " printf %s \"$b\" >/var/lib/stint/new; mv /var/lib/stint/new /var/lib/stint/started; }\n";
    char text[4096];
    snprintf(text, sizeof(text), "%s%s", head, script);
    unlink(f->agent);
    write_text(f->agent, text, 0755);
}

struct job_spec fixture_spec(const struct fixture *f, enum job_kind kind, unsigned build_number)
{
    struct job_spec s = {
        .job_id = uuid_random(),
        .token = 1,
        .kind = kind,
        .attempt = 1,
        .build_id = uuid_random(),
        .build_number = build_number,
        .workspace_id = f->workspace,
        .task_id = uuid_random(),
        .agent_id = uuid_random(),
        .provisioner = (char *)(uintptr_t) "local",
        .workspace_name = (char *)(uintptr_t) "box",
        .task_name = (char *)(uintptr_t) "box",
        .owner_name = (char *)(uintptr_t) "ann",
        .prompt = (char *)(uintptr_t) "hello",
        .agent_token = (char *)(uintptr_t) "top-secret-token",
        .app_slug = (char *)(uintptr_t) "shell",
        .template_name = (char *)(uintptr_t) "t",
        .template_dir = (char *)(uintptr_t)f->content,
    };
    return s;
}

enum err fixture_run(struct fixture *f, const struct job_spec *spec)
{
    job_found_done(&f->found);
    f->ctx.text[0] = '\0';
    enum err e =
        f->provisioner.action[spec->kind](f->provisioner.self, spec, &f->io, &f->found, &f->ctx);
    if (e != ERR_OK)
        print_message("    %s: %s\n", err_name(e), f->ctx.text);
    return e;
}

const char *fixture_path(const struct fixture *f, const char *rest)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/workspaces/%s%s", f->data, uuid_format(&f->workspace).s, rest);
    return path;
}

const char *fixture_read(const struct fixture *f, const char *rest)
{
    static char text[65536];
    FILE *in = fopen(fixture_path(f, rest), "r");
    size_t n = in == NULL ? 0 : fread(text, 1, sizeof(text) - 1, in);
    if (in != NULL)
        fclose(in);
    text[n] = '\0';
    return text;
}

bool fixture_wait_until(bool (*fits)(const void *arg), const void *arg)
{
    int64_t end_ms = clock_mono_ms() + 10000;
    while (!fits(arg) && clock_mono_ms() < end_ms)
        poll(NULL, 0, 5);
    return fits(arg);
}

struct awaited {
    const struct fixture *f;
    const char *rest, *text;
};

static bool has_come(const void *arg)
{
    const struct awaited *a = arg;
    return strstr(fixture_read(a->f, a->rest), a->text) != NULL;
}

void fixture_await(const struct fixture *f, const char *rest, const char *text)
{
    const struct awaited a = {f, rest, text};
    assert_true(fixture_wait_until(has_come, &a));
}

bool fixture_exists(const struct fixture *f, const char *rest)
{
    struct stat st;
    return lstat(fixture_path(f, rest), &st) == 0;
}

pid_t fixture_pid(const struct fixture *f)
{
    const char *at = strstr(fixture_read(f, "/sandbox.json"), "\"pid\":");
    return at == NULL ? 0 : (pid_t)atoi(at + strspn(at, "\"pid: "));
}
