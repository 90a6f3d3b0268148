/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.c - bubblewrap's command line and a fork.
 *
 * The environment goes to bubblewrap as it is and through it: a command line can be read by
 * everybody on the host, an environment cannot.
 */
#include "worker/provisioner/terraform/start.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/file.h"

#define INNER_DIR  "/work"
#define INFO_FD    3
#define FILE_BYTES (2LL << 30) /* the largest file it may write */

const char *start_inner_dir(const struct run *r)
{
    return r->tf->bwrap != NULL ? INNER_DIR : r->place.dir;
}

/* ---- command line ---- */

struct argv {
    VEC(char *) v;
};

static void add(struct argv *a, const char *arg)
{
    *vec_push(&a->v) = mem_strdup(arg);
}

static void add_all(struct argv *a, const char *const *args)
{
    for (; *args != NULL; args++)
        add(a, *args);
}

static void add_bind(struct argv *a, bool writable, const char *from, const char *to)
{
    add(a, writable ? "--bind" : "--ro-bind");
    add(a, from);
    add(a, to);
}

/* /bin and its like: a link where the host has one. */
static void add_system(struct argv *a)
{
    static const char *const dirs[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64"};
    static const char *const files[] = {"/etc/alternatives", "/etc/ca-certificates", "/etc/group",
        "/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd",
        "/etc/pki", "/etc/resolv.conf", "/etc/ssl"};
    add_bind(a, false, "/usr", "/usr");
    for (size_t i = 0; i < COUNT(dirs); i++) {
        char target[256];
        ssize_t n = readlink(dirs[i], target, sizeof(target) - 1);
        if (n > 0) {
            target[n] = '\0';
            add_all(a, (const char *const[]){"--symlink", target, dirs[i], NULL});
        } else if (access(dirs[i], F_OK) == 0) {
            add_bind(a, false, dirs[i], dirs[i]);
        }
    }
    for (size_t i = 0; i < COUNT(files); i++)
        if (access(files[i], R_OK) == 0)
            add_bind(a, false, files[i], files[i]);
}

static void add_ours(struct argv *a, const struct run *r, const struct command *c)
{
    char plugins[1200];
    snprintf(plugins, sizeof(plugins), "%s/plugins", r->tf->root);
    add_bind(a, c->warm_writes, plugins, plugins);
    if (r->tf->mirror != NULL && r->tf->mirror[0] == '/')
        add_bind(a, false, r->tf->mirror, r->tf->mirror);
    if (r->place.warm[0] != '\0')
        add_bind(a, false, r->place.warm, r->place.warm);
    if (strncmp(r->tf->path, "/usr/", 5) != 0)
        add_bind(a, false, r->tf->path, r->tf->path);
    add_bind(a, true, r->place.dir, INNER_DIR);
    for (size_t i = 0; i < r->tf->binds.n; i++)
        if (access(r->tf->binds.v[i].from, F_OK) == 0)
            add_bind(a, r->tf->binds.v[i].writable, r->tf->binds.v[i].from, r->tf->binds.v[i].to);
}

static void add_sandbox(struct argv *a, const struct run *r, const struct command *c)
{
    static const char *const shape[] = {"--unshare-user", "--unshare-ipc", "--unshare-pid",
        "--unshare-uts", "--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--as-pid-1",
        "--new-session", "--die-with-parent", "--info-fd", "3", "--hostname", "terraform", "--proc",
        "/proc", "--dev", "/dev", "--tmpfs", "/run", NULL};
    add(a, r->tf->bwrap);
    add_all(a, shape);
    if (r->tf->has_disable_userns)
        add(a, "--disable-userns");
    char tmp[1100];
    snprintf(tmp, sizeof(tmp), "%s/tmp", r->place.dir);
    add_system(a);
    add_bind(a, true, tmp, "/tmp"); /* before what may lie below it */
    add_ours(a, r, c);
    add_all(a, (const char *const[]){"--chdir", INNER_DIR "/src", "--", NULL});
}

static void argv_done(struct argv *a)
{
    for (size_t i = 0; i < a->v.n; i++)
        free(a->v.v[i]);
    vec_done(&a->v);
}

/* ---- the child ---- */

struct birth {
    char *const *argv, *const *envp;
    const char *dir;
    int in, out, err, info;
    rlim_t data_bytes;
};

static void limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit l = {value, value}, now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max < value)
        l = (struct rlimit){now.rlim_max, now.rlim_max};
    setrlimit(resource, &l);
}

/* Between fork and exec: system calls alone. */
__attribute__((noreturn)) static void become(const struct birth *b)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    static const int ordinary[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT(ordinary); i++)
        signal(ordinary[i], SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, FILE_BYTES);
    if (b->data_bytes > 0)
        limit(RLIMIT_DATA, b->data_bytes);
    if (dup2(b->in, 0) < 0 || dup2(b->out, 1) < 0 || dup2(b->err, 2) < 0 ||
        dup2(b->info, INFO_FD) < 0 || (b->dir != NULL && chdir(b->dir) != 0))
        _exit(127);
    syscall(SYS_close_range, INFO_FD + 1, ~0U, 0);
    execve(b->argv[0], b->argv, b->envp);
    _exit(127);
}

static enum err fork_it(
    const struct birth *b, struct started *ret, const char *program, struct errctx *ctx)
{
    pid_t pid = fork();
    if (pid == 0)
        become(b);
    if (pid < 0)
        return err_set(ctx, ERR_UNAVAILABLE, "cannot start %s: %s", program, strerror(errno));
    ret->pid = pid;
    ret->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return ERR_OK;
}

/* ---- start ---- */

static enum err pipes(struct started *s, int ret_ours[2], struct errctx *ctx)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return file_errno(ctx, "cannot make a pipe");
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return file_errno(ctx, "cannot make a pipe");
    }
    s->out_fd = out[0];
    s->err_fd = err[0];
    ret_ours[0] = out[1];
    ret_ours[1] = err[1];
    return ERR_OK;
}

static void build_argv(struct argv *a, const struct run *r, const struct command *c)
{
    if (r->tf->bwrap != NULL)
        add_sandbox(a, r, c);
    add(a, r->tf->path);
    add_all(a, c->args);
    vec_push(&a->v);
}

enum err start_command(
    const struct run *r, const struct command *c, struct started *ret, struct errctx *ctx)
{
    int theirs[2];
    char src[1100];
    *ret = (struct started){.pid_fd = -1};
    enum err e = pipes(ret, theirs, ctx);
    if (e != ERR_OK)
        return e;
    struct argv a = {0};
    VEC(char *) envp = {0};
    build_argv(&a, r, c);
    for (size_t i = 0; i < r->env.v.n; i++)
        *vec_push(&envp) = r->env.v.v[i];
    vec_push(&envp);
    snprintf(src, sizeof(src), "%s/src", r->place.dir);
    scoped_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ret->info_fd = memfd_create("bwrap-info", MFD_CLOEXEC);
    struct birth b = {.argv = a.v.v,
        .envp = envp.v,
        .dir = r->tf->bwrap == NULL ? src : NULL,
        .in = null,
        .out = theirs[0],
        .err = theirs[1],
        .info = ret->info_fd,
        .data_bytes = (rlim_t)r->tf->memory_mb << 20};
    ret->deadline_mono_ms = clock_mono_ms() + r->tf->time_limit_ms;
    e = fork_it(&b, ret, a.v.v[0], ctx);
    close(theirs[0]);
    close(theirs[1]);
    argv_done(&a);
    vec_done(&envp);
    if (e != ERR_OK) {
        close(ret->out_fd);
        close(ret->err_fd);
        close(ret->info_fd);
    }
    return e;
}

/* ---- signals and the end ---- */

/* Whom bubblewrap has made the first process of the sandbox; 0: it has not said yet. */
static pid_t inner_pid(const struct started *s)
{
    char text[1024];
    ssize_t n = pread(s->info_fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    json_t *o = json_loads(text, 0, NULL);
    pid_t pid = (pid_t)json_integer_value(json_object_get(o, "child-pid"));
    json_decref(o);
    return pid;
}

void start_signal(const struct started *s, int signal)
{
    if (start_has_ended(s)) /* and reaped by nobody yet, so that the number is still its own */
        return;
    pid_t inner = inner_pid(s);
    if (signal == SIGKILL)
        kill(-s->pid, SIGKILL);
    kill(inner > 0 ? inner : s->pid, signal);
}

bool start_has_ended(const struct started *s)
{
    struct pollfd fd = {.fd = s->pid_fd, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

int start_reap(struct started *s)
{
    int status = 0;
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(s->pid_fd);
    close(s->info_fd);
    return status;
}
