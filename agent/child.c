/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and reaping. */
#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

/* After KILL only a process stuck in the kernel can be left. */
#define KILL_MS 1000

enum ending { ENDING_NOT, ENDING_BEGUN, ENDING_TERM, ENDING_KILL };

struct child {
    struct list item;
    struct children *children;
    pid_t pid;
    child_exit_fn on_exit;
    void *arg;
    struct timer *grace; /* NULL: it is not being ended */
};

struct children {
    struct loop *loop;
    uv_signal_t *on_child;
    struct list running;
    enum ending ending;
    int64_t grace_ms;
    struct timer *timer;
    loop_fn done;
    void *done_arg;
};

static void end_step(struct children *c, bool is_due);
static void on_timer(void *arg);

/* ---- reaping ---- */

static struct child *find(const struct children *c, pid_t pid)
{
    list_for(item, &c->running)
    {
        struct child *k = container_of(item, struct child, item);
        if (k->pid == pid)
            return k;
    }
    return NULL;
}

static void child_free(struct child *k)
{
    timer_free(k->grace);
    list_unlink(&k->item);
    free(k);
}

static void ended(struct children *c, pid_t pid, int wait_status)
{
    struct child *k = find(c, pid);
    if (k == NULL) {
        log_debug("reaped an orphan pid=%d", (int)pid);
        return;
    }
    if (k->grace != NULL)
        kill(-pid, SIGKILL); /* what it has left behind was to be ended too */
    list_unlink(&k->item);
    if (k->on_exit != NULL)
        k->on_exit(k->arg, wait_status);
    child_free(k);
}

static void on_child(uv_signal_t *handle, int number)
{
    (void)number;
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        ended(handle->data, pid, wait_status);
    end_step(handle->data, false);
}

struct children *children_new(struct loop *l)
{
    struct children *c = mem_alloc(sizeof(*c));
    c->loop = l;
    list_init(&c->running);
    c->on_child = mem_alloc(sizeof(*c->on_child));
    c->on_child->data = c;
    c->timer = timer_new(l, on_timer, c);
    uv_signal_init(loop_uv(l), c->on_child);
    uv_signal_start(c->on_child, on_child, SIGCHLD);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        log_warn("orphans will not be reaped error=%s", LOG_Q(strerror(errno)));
    return c;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void children_free(struct children *c)
{
    if (c == NULL)
        return;
    list_for_safe(item, &c->running) child_free(container_of(item, struct child, item));
    uv_close((uv_handle_t *)c->on_child, on_closed);
    timer_free(c->timer);
    free(c);
}

pid_t child_pid(const struct child *k)
{
    return k->pid;
}

void child_forget(struct child *k)
{
    k->on_exit = NULL;
}

void children_signal(struct children *c, int number)
{
    list_for(item, &c->running) kill(-container_of(item, struct child, item)->pid, number);
}

/* ---- how it has ended ---- */

bool child_has_succeeded(int wait_status)
{
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

void child_end_text(int wait_status, char ret_text[static CHILD_END_TEXT_MAX])
{
    const char *name = WIFSIGNALED(wait_status) ? sigabbrev_np(WTERMSIG(wait_status)) : NULL;
    if (name != NULL)
        snprintf(ret_text, CHILD_END_TEXT_MAX, "SIG%s", name);
    else if (WIFSIGNALED(wait_status))
        snprintf(ret_text, CHILD_END_TEXT_MAX, "signal %d", WTERMSIG(wait_status));
    else
        snprintf(ret_text, CHILD_END_TEXT_MAX, "exit status %d", WEXITSTATUS(wait_status));
}

/* ---- ending ---- */

static void on_grace_over(void *arg)
{
    struct child *k = arg;
    log_warn("the grace time is over, killing it pid=%d", (int)k->pid);
    kill(-k->pid, SIGKILL);
}

void child_end(struct child *k, int64_t grace_ms)
{
    if (k->grace != NULL)
        return;
    kill(-k->pid, SIGTERM);
    k->grace = timer_new(k->children->loop, on_grace_over, k);
    timer_start(k->grace, grace_ms, 0);
}

static void signal_all(struct children *c, int number)
{
    if (getpid() == 1)
        kill(-1, number);
    else
        children_signal(c, number);
}

static bool are_gone(const struct children *c)
{
    if (!list_is_empty(&c->running) || getpid() != 1)
        return list_is_empty(&c->running);
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}

/* Called on every SIGCHLD and when the timer is due. */
static void end_step(struct children *c, bool is_due)
{
    if (c->ending == ENDING_NOT)
        return;
    if (are_gone(c) || (is_due && c->ending == ENDING_KILL)) {
        timer_stop(c->timer);
        c->ending = ENDING_NOT;
        c->done(c->done_arg);
    } else if (is_due) {
        log_warn("the grace time is over, killing what is left");
        signal_all(c, SIGKILL);
        c->ending = ENDING_KILL;
        timer_start(c->timer, KILL_MS, 0);
    }
}

static void on_timer(void *arg)
{
    struct children *c = arg;
    /* Nothing to end is found on the first tick; the grace time runs from then on. */
    bool is_due = c->ending != ENDING_BEGUN;
    if (!is_due) {
        c->ending = ENDING_TERM;
        timer_start(c->timer, c->grace_ms, 0);
    }
    end_step(c, is_due);
}

void children_end(struct children *c, int64_t grace_ms, loop_fn done, void *arg)
{
    c->ending = ENDING_BEGUN;
    c->grace_ms = grace_ms;
    c->done = done;
    c->done_arg = arg;
    signal_all(c, SIGTERM);
    timer_start(c->timer, 0, 0);
}

/* ---- finding the program ---- */

static const char *env_value(char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; *env != NULL; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static enum err find_program(
    const struct child_spec *spec, struct strbuf *ret_path, struct errctx *ctx)
{
    const char *name = spec->argv[0];
    if (strchr(name, '/') != NULL) {
        strbuf_addstr(ret_path, name);
        return ERR_OK;
    }
    const char *path = env_value(spec->env, "PATH");
    for (const char *p = path; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, ":");
        strbuf_clear(ret_path);
        strbuf_addf(ret_path, "%.*s/%s", (int)n, p, name);
        if (is_program(ret_path->s))
            return ERR_OK;
        p += n + (p[n] == ':');
    }
    return err_set(ctx, ERR_NOT_FOUND, "cannot run \"%s\": it is not in the PATH %s", name,
        path != NULL ? path : "(none)");
}

/* ---- starting ---- */

static enum err check_dir(const char *dir, struct errctx *ctx)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return err_set(ctx, ERR_NOT_FOUND, "cannot run in %s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(ctx, ERR_NOT_FOUND, "cannot run in %s: not a directory", dir);
    return ERR_OK;
}

/* The order counts: the files first, then the directory (a relative program is meant from there).
 */
static int plan_files(posix_spawn_file_actions_t *plan, const char *dir, int output)
{
    int error = posix_spawn_file_actions_addopen(plan, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(plan, output, 1);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(plan, output, 2);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(plan, 3);
    if (error == 0)
        error = posix_spawn_file_actions_addchdir_np(plan, dir);
    return error;
}

static int plan_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attr, &none);
    posix_spawnattr_setsigdefault(attr, &all);
    return posix_spawnattr_setflags(
        attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const char *program, const struct child_spec *spec, int output, pid_t *ret_pid)
{
    posix_spawn_file_actions_t plan;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&plan);
    posix_spawnattr_init(&attr);
    int error = plan_files(&plan, spec->dir, output);
    if (error == 0)
        error = plan_signals(&attr);
    if (error == 0)
        error = posix_spawn(ret_pid, program, &plan, &attr, spec->argv, spec->env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&plan);
    return error;
}

static struct child *child_new(struct children *c, const struct child_spec *spec, pid_t pid)
{
    struct child *k = mem_alloc(sizeof(*k));
    k->children = c;
    k->pid = pid;
    k->on_exit = spec->on_exit;
    k->arg = spec->arg;
    list_append(&c->running, &k->item);
    return k;
}

enum err children_start(struct children *c, const struct child_spec *spec, struct child **ret_child,
    int *ret_output, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf program;
    strbuf_init(&program);
    enum err e = check_dir(spec->dir, ctx);
    if (e == ERR_OK)
        e = find_program(spec, &program, ctx);
    if (e != ERR_OK)
        return e;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(ctx, ERR_FAILED, "cannot make a pipe: %s", strerror(errno));
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    pid_t pid;
    int error = spawn(program.s, spec, ends[1], &pid);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return err_set(ctx, error == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "cannot run \"%s\": %s",
            spec->argv[0], strerror(error));
    }
    *ret_child = child_new(c, spec, pid);
    *ret_output = ends[0];
    return ERR_OK;
}
