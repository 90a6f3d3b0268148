/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bwrap_plan.c - a sandbox's command line.
 *
 * / is a small read-only tmpfs with the host's /usr and little else.  Writable are the home, the
 * agent's directory, /tmp, /var/tmp, /run and /dev/shm.  The prompt and the token are not here:
 * they are in the manifest.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <errno.h>

#include "worker/file.h"
#include "worker/provisioner/bwrap.h"

/* As bwrap_spawn.c lays them. */
#define INFO_FD_TEXT "3"
#define ARGS_FD_TEXT "4"
#define FILE_FD_TEXT "6"

#define SANDBOX_PATH                                                      \
    "/home/agent/.local/bin:/opt/stint/bin:/usr/local/bin:/usr/bin:/bin:" \
    "/usr/local/sbin:/usr/sbin:/sbin"

static void add(struct bwrap_plan *p, const char *arg)
{
    *vec_push(&p->options) = mem_strdup(arg);
}

/* The arguments up to NULL. */
static void add_all(struct bwrap_plan *p, ...) __attribute__((sentinel));
static void add_all(struct bwrap_plan *p, ...)
{
    va_list ap;
    va_start(ap, p);
    for (const char *arg; (arg = va_arg(ap, const char *)) != NULL;)
        add(p, arg);
    va_end(ap);
}

static void add_namespaces(
    const struct bwrap *b, struct bwrap_plan *p, const struct bwrap_shape *shape)
{
    add_all(p, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
        "--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--as-pid-1", "--new-session",
        "--clearenv", "--info-fd", INFO_FD_TEXT, NULL);
    if (!shape->network)
        add(p, "--unshare-net");
    if (b->has_disable_userns)
        add(p, "--disable-userns");
    add_all(p, "--hostname", shape->hostname != NULL ? shape->hostname : "workspace", NULL);
}

/* /bin and its like: a link where the host has one, else the directory. */
static void add_system(struct bwrap_plan *p)
{
    static const char *const dirs[] = {"/bin", "/sbin", "/lib", "/lib32", "/libx32", "/lib64"};
    add_all(p, "--ro-bind", "/usr", "/usr", NULL);
    for (size_t i = 0; i < COUNT(dirs); i++) {
        char target[256];
        ssize_t n = readlink(dirs[i], target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            add_all(p, "--symlink", target, dirs[i], NULL);
        } else if (access(dirs[i], F_OK) == 0) {
            add_all(p, "--ro-bind", dirs[i], dirs[i], NULL);
        }
    }
}

static void add_etc(struct bwrap_plan *p, bool network)
{
    static const char *const shared[] = {"/etc/ssl", "/etc/pki", "/etc/ca-certificates",
        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
        "/etc/nsswitch.conf", "/etc/localtime", "/etc/timezone", "/etc/services", "/etc/protocols",
        "/etc/mime.types", "/etc/magic", "/etc/terminfo"};
    for (size_t i = 0; i < COUNT(shared); i++)
        add_all(p, "--ro-bind-try", shared[i], shared[i], NULL);
    if (network)
        add_all(p, "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf", NULL);
}

static void add_own_mounts(
    const struct bwrap *b, struct bwrap_plan *p, const struct bwrap_shape *shape)
{
    char bytes[32];
    add_all(p, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", NULL);
    if (b->has_size && shape->tmp_bytes > 0) {
        snprintf(bytes, sizeof(bytes), "%lld", shape->tmp_bytes);
        add_all(p, "--size", bytes, NULL);
    }
    add_all(p, "--tmpfs", "/tmp", "--tmpfs", "/run", "--dir", "/var", "--symlink", "/run",
        "/var/run", "--symlink", "/tmp", "/var/tmp", "--dir", "/var/lib", "--dir", "/opt", "--dir",
        "/mnt", "--dir", "/home", "--dir", "/root", NULL);
    add_all(p, "--setenv", "PATH", SANDBOX_PATH, "--setenv", "HOME", "/home/agent", "--setenv",
        "USER", "agent", "--setenv", "LANG", "C.UTF-8", "--setenv", "TERM", "dumb", NULL);
}

void bwrap_plan_begin(const struct bwrap *b, struct bwrap_plan *p, const struct bwrap_shape *shape)
{
    *p = (struct bwrap_plan){
        .log_fd = -1, .cgroup_fd = -1, .file_fd = -1, .uid = geteuid(), .gid = getegid()};
    *vec_push(&p->argv) = mem_strdup(shape->title);
    *vec_push(&p->argv) = mem_strdup("--args");
    *vec_push(&p->argv) = mem_strdup(ARGS_FD_TEXT);
    *vec_push(&p->argv) = mem_strdup("--");
    add_namespaces(b, p, shape);
    add_system(p);
    add_etc(p, shape->network);
    add_own_mounts(b, p, shape);
    add_all(p, "--chdir", shape->dir, NULL);
}

enum err bwrap_plan_bind(const struct bwrap *b, struct bwrap_plan *p, const char *from,
    const char *to, bool writable, struct errctx *ctx)
{
    struct stat st;
    if (stat(from, &st) != 0 && errno == ENOENT)
        return err_set(
            ctx, ERR_UNAVAILABLE, "%s, which the sandbox needs at %s, is not there", from, to);
    if (stat(from, &st) != 0)
        return file_errno(ctx, "cannot use %s", from);

    char source[64];
    snprintf(source, sizeof(source), "/tmp/%zu", p->bind.n);
    add_all(p, writable ? "--bind" : "--ro-bind", b->stage ? source : from, to, NULL);
    *vec_push(&p->bind) = (struct bwrap_bind){.from = mem_strdup(from),
        .to = mem_strdup(to),
        .writable = writable,
        .is_dir = S_ISDIR(st.st_mode)};
    return ERR_OK;
}

void bwrap_plan_file(struct bwrap_plan *p, int take_fd, const char *to)
{
    file_closep(&p->file_fd);
    p->file_fd = take_fd;
    add_all(p, "--perms", "0400", "--file", FILE_FD_TEXT, to, NULL);
}

void bwrap_plan_link(struct bwrap_plan *p, const char *text, const char *to)
{
    add_all(p, "--symlink", text, to, NULL);
}

void bwrap_plan_end(struct bwrap_plan *p, const char *const *command)
{
    add_all(p, "--remount-ro", "/", NULL);
    for (; *command != NULL; command++)
        *vec_push(&p->argv) = mem_strdup(*command);
    *vec_push(&p->argv) = NULL;
}

void bwrap_plan_done(struct bwrap_plan *p)
{
    for (size_t i = 0; i < p->argv.n; i++)
        free(p->argv.v[i]);
    vec_done(&p->argv);
    for (size_t i = 0; i < p->options.n; i++)
        free(p->options.v[i]);
    vec_done(&p->options);
    for (size_t i = 0; i < p->bind.n; i++) {
        free(p->bind.v[i].from);
        free(p->bind.v[i].to);
    }
    vec_done(&p->bind);
    file_closep(&p->log_fd);
    file_closep(&p->cgroup_fd);
    file_closep(&p->file_fd);
}
