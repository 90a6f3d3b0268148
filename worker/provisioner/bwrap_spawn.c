/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bwrap_spawn.c - fork, fork, exec.
 *
 * Between fork and exec there is only this thread of a process that had many, so everything is laid
 * out before the fork and the children make system calls only.  What they have to tell (the pid, or
 * which step failed) goes through a pipe that exec closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "worker/file.h"
#include "worker/provisioner/bwrap.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1U
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4U
#endif

enum { INFO_FD = 3, ARGS_FD = 4, NEWS_FD = 5, FILE_FD = 6, PARKED_FD = 64 };

enum step {
    STEP_NONE,
    STEP_FORK,
    STEP_CGROUP,
    STEP_LIMIT,
    STEP_STAGE,
    STEP_FD,
    STEP_USER,
    STEP_EXEC
};
static const char *const step_texts[] = {
    [STEP_FORK] = "fork",
    [STEP_CGROUP] = "enter the cgroup",
    [STEP_LIMIT] = "set the limits",
    [STEP_STAGE] = "bind the workspace's directories",
    [STEP_FD] = "arrange descriptors",
    [STEP_USER] = "change the user",
    [STEP_EXEC] = "run bubblewrap",
};

struct news {
    enum step step; /* that failed; NONE: this is the pid */
    int number;     /* errno, or the pid */
};

/* All that the children need, laid out before the fork. */
struct launch {
    const struct bwrap *b;
    const struct bwrap_plan *p;
    char (*to)[32]; /* /tmp/<n> of each bind */
    int *tree;      /* room for a descriptor of each */
    int null_fd;
    int info_fd;
    int args_fd;
    int news_fd;
};

static void tell(const struct launch *l, enum step step, int number)
{
    struct news n = {.step = step, .number = number};
    ssize_t ignored = write(l->news_fd, &n, sizeof(n));
    (void)ignored;
}

static void fail(const struct launch *l, enum step step)
{
    tell(l, step, errno);
    _exit(127);
}

/* The C library has these only in newer versions. */
static int open_clone(const char *path)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
}

static bool attach(int tree, const char *path)
{
    return syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

static bool make_mount_point(const char *path, bool is_dir)
{
    if (is_dir)
        return mkdir(path, 0755) == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd >= 0 && close(fd) == 0;
}

/* All trees are held before /tmp is covered: some may be in it. */
static bool stage(const struct launch *l)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return false;
    for (size_t i = 0; i < l->p->bind.n; i++) {
        l->tree[i] = open_clone(l->p->bind.v[i].from);
        if (l->tree[i] < 0)
            return false;
    }
    if (mount("stint", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
        return false;
    for (size_t i = 0; i < l->p->bind.n; i++) {
        if (!make_mount_point(l->to[i], l->p->bind.v[i].is_dir) || !attach(l->tree[i], l->to[i]))
            return false;
    }
    return true;
}

/* 0 null, 1 and 2 the log, 3 info, 4 the options, 5 news (closed by exec), 6 the file if there is
 * one; nothing else stays open. */
static bool arrange_fds(struct launch *l)
{
    enum { NEWS_ROW = 5, FILE_ROW = 6 };
    const struct {
        int fd, target;
    } rows[] = {
        {l->null_fd,    0      },
        {l->p->log_fd,  1      },
        {l->p->log_fd,  2      },
        {l->info_fd,    INFO_FD},
        {l->args_fd,    ARGS_FD},
        {l->news_fd,    NEWS_FD},
        {l->p->file_fd, FILE_FD}
    };
    size_t n = l->p->file_fd >= 0 ? COUNT(rows) : FILE_ROW;
    int parked[COUNT(rows)];
    for (size_t i = 0; i < n; i++) {
        parked[i] = fcntl(rows[i].fd, F_DUPFD, PARKED_FD);
        if (parked[i] < 0)
            return false;
    }
    l->news_fd = parked[NEWS_ROW];
    for (size_t i = 0; i < n; i++) {
        if (dup2(parked[i], rows[i].target) < 0)
            return false;
    }
    l->news_fd = NEWS_FD;
    return fcntl(NEWS_FD, F_SETFD, FD_CLOEXEC) == 0 &&
           syscall(SYS_close_range, n < COUNT(rows) ? FILE_FD : FILE_FD + 1, ~0U, 0) == 0;
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
    tell(l, STEP_NONE, (int)getpid());
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

/* What the children have to tell until the last of them has closed the pipe. */
static enum err await(int news_fd, pid_t *ret_supervisor, struct errctx *ctx)
{
    struct news n;
    *ret_supervisor = 0;
    for (;;) {
        ssize_t got = read(news_fd, &n, sizeof(n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got != (ssize_t)sizeof(n))
            return ERR_OK;
        if (n.step == STEP_NONE) {
            *ret_supervisor = n.number;
            continue;
        }
        errno = n.number;
        return file_errno(ctx, "cannot start the sandbox: %s", step_texts[n.step]);
    }
}

static enum err launch(struct launch *l, pid_t *ret_supervisor, struct errctx *ctx)
{
    int news[2];
    if (pipe2(news, O_CLOEXEC) != 0)
        return file_errno(ctx, "cannot start the sandbox");
    scoped_fd int news_read = news[0];
    l->news_fd = news[1];
    pid_t pid = fork();
    if (pid == 0)
        child(l);
    close(news[1]);
    if (pid < 0)
        return file_errno(ctx, "cannot start the sandbox: fork");
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return await(news_read, ret_supervisor, ctx);
}

/* The options, NUL after each, in a file in memory. */
static int pack_options(const struct bwrap_plan *p)
{
    struct strbuf text;
    strbuf_init(&text);
    for (size_t i = 0; i < p->options.n; i++)
        strbuf_add(&text, p->options.v[i], strlen(p->options.v[i]) + 1);
    int fd = memfd_create("options", MFD_CLOEXEC);
    if (fd >= 0 && (pwrite(fd, text.s, text.len, 0) != (ssize_t)text.len))
        file_closep(&fd);
    strbuf_done(&text);
    return fd;
}

enum err bwrap_spawn(const struct bwrap *b, const struct bwrap_plan *p, int *ret_info_fd,
    pid_t *ret_supervisor, struct errctx *ctx)
{
    scoped_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    scoped_fd int args_fd = pack_options(p);
    scoped_fd int info_fd = memfd_create("info", MFD_CLOEXEC);
    if (null_fd < 0 || args_fd < 0 || info_fd < 0)
        return file_errno(ctx, "cannot start the sandbox");

    scoped_free char(*to)[32] = mem_calloc(p->bind.n + 1, sizeof(*to));
    scoped_free int *tree = mem_calloc(p->bind.n + 1, sizeof(*tree));
    for (size_t i = 0; i < p->bind.n; i++)
        snprintf(to[i], sizeof(to[i]), "/tmp/%zu", i);
    struct launch l = {.b = b,
        .p = p,
        .to = to,
        .tree = tree,
        .null_fd = null_fd,
        .info_fd = info_fd,
        .args_fd = args_fd};
    enum err e = launch(&l, ret_supervisor, ctx);
    if (e == ERR_OK) {
        *ret_info_fd = info_fd;
        info_fd = -1;
    }
    return e;
}
