/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bwrap_spawn.c - fork, fork, exec.
 *
 * Between fork and exec there is only this thread of a process that had many, so everything is laid
 * out before the fork and the children make system calls only.  What fails there is told over a
 * pipe that exec closes: a step's number and errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "worker/file.h"
#include "worker/provisioner/bwrap.h"

enum { INFO_FD = 3, FAILURE_FD = 4, FIRST_FREE_FD = 5, PARKED_FD = 64 };

enum step { STEP_FORK, STEP_CGROUP, STEP_LIMIT, STEP_STAGE, STEP_FD, STEP_USER, STEP_EXEC };
static const char *const step_texts[] = {
    [STEP_FORK] = "fork",
    [STEP_CGROUP] = "enter the cgroup",
    [STEP_LIMIT] = "set the limits",
    [STEP_STAGE] = "bind the workspace's directories",
    [STEP_FD] = "arrange descriptors",
    [STEP_USER] = "change the user",
    [STEP_EXEC] = "run bubblewrap",
};

struct failure {
    enum step step;
    int number;
};

/* All that the children need, laid out before the fork. */
struct launch {
    const struct bwrap *b;
    const struct bwrap_plan *p;
    char (*from)[32]; /* /proc/self/fd/N of each bind */
    char (*to)[32];   /* /tmp/<n> */
    int null_fd;
    int info_fd;
    int failure_fd;
};

static void fail(const struct launch *l, enum step step)
{
    struct failure f = {.step = step, .number = errno};
    ssize_t ignored = write(l->failure_fd, &f, sizeof(f));
    (void)ignored;
    _exit(127);
}

static bool stage(const struct launch *l)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return false;
    if (mount("stint", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
        return false;
    for (size_t i = 0; i < l->p->bind.n; i++) {
        if (l->p->bind.v[i].is_dir) {
            if (mkdir(l->to[i], 0755) != 0)
                return false;
        } else {
            int fd = open(l->to[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            if (fd < 0)
                return false;
            close(fd);
        }
        if (mount(l->from[i], l->to[i], NULL, MS_BIND | MS_REC, NULL) != 0)
            return false;
    }
    return true;
}

/* 0 null, 1 and 2 the log, 3 info, 4 failure (closed by exec); nothing else stays open. */
static bool arrange_fds(struct launch *l)
{
    int null_fd = fcntl(l->null_fd, F_DUPFD, PARKED_FD);
    int log_fd = fcntl(l->p->log_fd, F_DUPFD, PARKED_FD);
    int info_fd = fcntl(l->info_fd, F_DUPFD, PARKED_FD);
    int failure_fd = fcntl(l->failure_fd, F_DUPFD, PARKED_FD);
    if (null_fd < 0 || log_fd < 0 || info_fd < 0 || failure_fd < 0)
        return false;
    l->failure_fd = failure_fd;
    if (dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
        dup2(info_fd, INFO_FD) < 0 || dup2(failure_fd, FAILURE_FD) < 0)
        return false;
    l->failure_fd = FAILURE_FD;
    return fcntl(FAILURE_FD, F_SETFD, FD_CLOEXEC) == 0 &&
           syscall(SYS_close_range, FIRST_FREE_FD, ~0U, 0) == 0;
}

static void reset_signals(void)
{
    struct sigaction initial = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &initial, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* When memory runs out on the host, sandboxes go before its daemons. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "500", 3);
        (void)ignored;
        close(fd);
    }
}

static bool become(uid_t uid, gid_t gid)
{
    return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
           setresuid(uid, uid, uid) == 0;
}

static void grandchild(struct launch *l)
{
    static char *const no_environment[] = {NULL};
    reset_signals();
    offer_to_oom_killer();
    if (l->p->cgroup_fd >= 0 && write(l->p->cgroup_fd, "0", 1) != 1)
        fail(l, STEP_CGROUP);
    if (!limit_apply(&l->p->limit))
        fail(l, STEP_LIMIT);
    if (l->b->stage && !stage(l))
        fail(l, STEP_STAGE);
    if (!arrange_fds(l))
        fail(l, STEP_FD);
    if (l->b->stage && !become(l->p->uid, l->p->gid))
        fail(l, STEP_USER);
    umask(022);
    if (chdir("/") == 0)
        execve(l->b->path, l->p->argv.v, no_environment);
    fail(l, STEP_EXEC);
}

static void child(struct launch *l)
{
    setsid();
    pid_t pid = fork();
    if (pid < 0)
        fail(l, STEP_FORK);
    if (pid == 0)
        grandchild(l);
    _exit(0);
}

/* What the children had to say until the last of them has closed the pipe. */
static enum err await(int failure_fd, struct errctx *ctx)
{
    struct failure f;
    ssize_t n;
    do
        n = read(failure_fd, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(f))
        return ERR_OK;
    errno = f.number;
    return file_errno(ctx, "cannot start the sandbox: %s", step_texts[f.step]);
}

static enum err launch(struct launch *l, struct errctx *ctx)
{
    int failure[2];
    if (pipe2(failure, O_CLOEXEC) != 0)
        return file_errno(ctx, "cannot start the sandbox");
    scoped_fd int failure_read = failure[0];
    l->failure_fd = failure[1];
    pid_t pid = fork();
    if (pid == 0)
        child(l);
    close(failure[1]);
    if (pid < 0)
        return file_errno(ctx, "cannot start the sandbox: fork");
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return await(failure_read, ctx);
}

enum err bwrap_spawn(
    const struct bwrap *b, const struct bwrap_plan *p, int *ret_info_fd, struct errctx *ctx)
{
    int info[2];
    scoped_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || pipe2(info, O_CLOEXEC) != 0)
        return file_errno(ctx, "cannot start the sandbox");
    scoped_fd int info_read = info[0];
    scoped_fd int info_write = info[1];

    scoped_free char(*from)[32] = mem_calloc(p->bind.n + 1, sizeof(*from));
    scoped_free char(*to)[32] = mem_calloc(p->bind.n + 1, sizeof(*to));
    for (size_t i = 0; i < p->bind.n; i++) {
        snprintf(from[i], sizeof(from[i]), "/proc/self/fd/%d", p->bind.v[i].fd);
        snprintf(to[i], sizeof(to[i]), "/tmp/%zu", i);
    }
    struct launch l = {
        .b = b, .p = p, .from = from, .to = to, .null_fd = null_fd, .info_fd = info_write};
    enum err e = launch(&l, ctx);
    if (e == ERR_OK) {
        *ret_info_fd = info_read;
        info_read = -1;
    }
    return e;
}
