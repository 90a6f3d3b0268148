/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup v2 as files: a directory with the right names stands in for /sys/fs/cgroup. */
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
#include "worker/provisioner/cgroup.h"
#include "worker/provisioner/limit.h"

static char root[64];

static void put(const char *name, const char *text)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static const char *get(const char *name)
{
    static char text[256];
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *in = fopen(path, "r");
    size_t n = in == NULL ? 0 : fread(text, 1, sizeof(text) - 1, in);
    if (in != NULL)
        fclose(in);
    text[n] = '\0';
    return text;
}

static void make(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/stint-cgroup-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int clear(void **state)
{
    (void)state;
    struct errctx ctx;
    return file_remove_tree(AT_FDCWD, root, &ctx) != ERR_OK;
}

static void off_without_controllers(void **state)
{
    (void)state;
    struct cgroup c;
    cgroup_init(&c, root, "/");
    assert_false(c.on);
    assert_non_null(strstr(c.why, geteuid() == 0 ? "no cgroup v2" : "not root"));
    put("cgroup.controllers", "cpuset io pids\n");
    cgroup_init(&c, root, "/");
    assert_false(c.on);
    /* Off means: nothing happens. */
    const struct uuid id = {{1}};
    cgroup_kill(&c, &id);
    cgroup_remove(&c, &id);
}

static void limits_are_written(void **state)
{
    (void)state;
    struct cgroup c;
    struct errctx ctx = {0};
    const struct uuid id = {{1}};
    char group[80];
    /* As delegated to us: our own group is /stint-worker, its parent is ours to divide. */
    put("cgroup.controllers", "cpuset cpu io memory pids\n");
    put("cgroup.subtree_control", "");
    make("stint");
    put("stint/cgroup.subtree_control", "");
    make("user");
    put("user/cgroup.controllers", "cpu memory pids\n");
    put("user/cgroup.subtree_control", "");
    make("user/stint");
    put("user/stint/cgroup.subtree_control", "");
    cgroup_init(&c, root, "/user/worker");
    assert_true(c.on);
    const char *base = geteuid() == 0 ? "stint" : "user/stint";
    assert_non_null(strstr(c.dir, base));
    snprintf(group, sizeof(group), "%s/cgroup.subtree_control", base);
    assert_string_equal(get(group), "+memory +pids +cpu");

    char names[][32] = {"memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max",
        "cgroup.procs", "cgroup.kill"};
    snprintf(group, sizeof(group), "%s/%s", base, uuid_format(&id).s);
    make(group);
    for (size_t i = 0; i < COUNT(names); i++) {
        char file[160];
        snprintf(file, sizeof(file), "%s/%s", group, names[i]);
        put(file, "");
    }
    const struct template_limits limits = {.memory_bytes = 1 << 30, .pids = 100, .cpu_milli = 1500};
    int fd = -1;
    assert_int_equal(cgroup_make(&c, &id, &limits, &fd, &ctx), ERR_OK);
    assert_true(fd >= 0);
    close(fd);
    const struct {
        const char *name, *text;
    } rows[] = {
        {"memory.max",       "1073741824"   },
        {"memory.swap.max",  "0"            },
        {"memory.oom.group", "1"            },
        {"pids.max",         "102"          },
        {"cpu.max",          "150000 100000"},
        {"cgroup.kill",      "1"            }
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char file[160];
        snprintf(file, sizeof(file), "%s/%s", group, rows[i].name);
        assert_string_equal(get(file), rows[i].text);
    }
}

static rlim_t value_of(const struct limit_plan *p, int resource)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->row[i].resource == resource)
            return p->row[i].value;
    }
    return RLIM_INFINITY;
}

static void rlimits_where_there_is_no_cgroup(void **state)
{
    (void)state;
    struct limit_plan p;
    const struct template_limits l = {
        .memory_bytes = 64 << 20, .pids = 20, .cpu_milli = 500, .file_size_bytes = 1 << 20};
    limit_plan(&p, &l, false, true, 3);
    assert_int_equal(value_of(&p, RLIMIT_DATA), 64 << 20);
    assert_int_equal(value_of(&p, RLIMIT_NPROC), 22);
    assert_int_equal(value_of(&p, RLIMIT_FSIZE), 1 << 20);
    assert_int_equal(value_of(&p, RLIMIT_CORE), 0);
    if (p.pin)
        assert_int_equal(CPU_COUNT(&p.cpus), 1);

    limit_plan(&p, &l, false, false, 3); /* the user has other processes: do not count them */
    assert_true(value_of(&p, RLIMIT_NPROC) == RLIM_INFINITY);

    limit_plan(&p, &l, true, true, 3); /* a cgroup does it better */
    assert_true(value_of(&p, RLIMIT_DATA) == RLIM_INFINITY);
    assert_int_equal(value_of(&p, RLIMIT_CORE), 0);
    assert_false(p.pin);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(off_without_controllers),
        TEST(limits_are_written),
        TEST(rlimits_where_there_is_no_cgroup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
