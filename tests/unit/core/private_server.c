/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private_server.c - found in PATH or where Debian keeps it, started by fork and exec.
 */
#include "tests/unit/core/private_server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool find_program(const char *name, char *path, size_t size)
{
    char patterns[2][200];
    const char *dirs = getenv("PATH");
    while (dirs != NULL && *dirs != '\0') {
        size_t n = strcspn(dirs, ":");
        snprintf(path, size, "%.*s/%s", (int)n, dirs, name);
        if (access(path, X_OK) == 0)
            return true;
        dirs += n + (dirs[n] == ':');
    }
    snprintf(patterns[0], sizeof(patterns[0]), "/usr/lib/postgresql/*/bin/%s", name);
    snprintf(patterns[1], sizeof(patterns[1]), "/usr/local/*/bin/%s", name);
    for (int i = 0; i < 2; i++) {
        glob_t found;
        bool any = glob(patterns[i], 0, NULL, &found) == 0 && found.gl_pathc > 0;
        if (any)
            snprintf(path, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
        globfree(&found);
        if (any)
            return true;
    }
    return false;
}

/* Root is nobody Postgres would run for. */
static const struct passwd *servant(void)
{
    const struct passwd *who = getpwnam("postgres");
    return geteuid() != 0 ? NULL : who != NULL ? who : getpwnam("nobody");
}

static void make_dir(struct private_server *s)
{
    snprintf(s->dir, sizeof(s->dir), "/tmp/stint-server-XXXXXX");
    const struct passwd *who = servant();
    if (mkdtemp(s->dir) == NULL || (who != NULL && chown(s->dir, who->pw_uid, who->pw_gid) != 0))
        abort();
    chmod(s->dir, 0755);
}

static void child(struct private_server *s, char *const argv[])
{
    const struct passwd *who = servant();
    int log = open("/dev/null", O_RDWR);
    dup2(log, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (chdir(s->dir) != 0 ||
        (who != NULL &&
            (setgroups(0, NULL) != 0 || setgid(who->pw_gid) != 0 || setuid(who->pw_uid) != 0)))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    unsetenv("LD_PRELOAD");
    execv(argv[0], argv);
    _exit(127);
}

static pid_t spawn(struct private_server *s, char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0)
        child(s, argv);
    return pid;
}

bool private_postgres_make(struct private_server *s)
{
    char initdb[256], data[96];
    *s = (struct private_server){.is_postgres = true};
    if (!find_program("initdb", initdb, sizeof(initdb)) ||
        !find_program("postgres", s->program, sizeof(s->program)))
        return false;
    make_dir(s);
    snprintf(s->url, sizeof(s->url), "host=%s user=stint dbname=postgres", s->dir);
    snprintf(data, sizeof(data), "%s/data", s->dir);
    char *const argv[] = {initdb, "-D", data, "-U", "stint", "-A", "trust", "-E", "UTF8",
        "--no-locale", "--no-sync", "--no-instructions", NULL};
    int status;
    if (waitpid(spawn(s, argv), &status, 0) < 0 || status != 0)
        abort();
    return true;
}

bool private_redis_make(struct private_server *s)
{
    *s = (struct private_server){0};
    if (!find_program("redis-server", s->program, sizeof(s->program)))
        return false;
    make_dir(s);
    snprintf(s->url, sizeof(s->url), "unix://%s/redis.sock", s->dir);
    return true;
}

/* Until the kernel tells that `name` was made in the directory that `fd` watches. */
static void wait_for_file(int fd, const char *name)
{
    _Alignas(struct inotify_event) char buf[4096];
    struct pollfd patience = {.fd = fd, .events = POLLIN};
    while (poll(&patience, 1, 30000) == 1) {
        ssize_t n = read(fd, buf, sizeof(buf));
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const struct inotify_event *)(void *)(buf + at);
            if (e->len > 0 && strcmp(e->name, name) == 0) {
                close(fd);
                return;
            }
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
    abort();
}

void private_server_start(struct private_server *s)
{
    char data[96], sock[96];
    snprintf(data, sizeof(data), "%s/data", s->dir);
    snprintf(sock, sizeof(sock), "%s/redis.sock", s->dir);
    char *const postgres[] = {s->program, "-D", data, "-k", s->dir, "-c", "listen_addresses=", "-c",
        "fsync=off", "-c", "max_connections=20", NULL};
    char *const redis[] = {s->program, "--port", "0", "--unixsocket", sock, "--unixsocketperm",
        "777", "--save", "", "--appendonly", "no", "--dir", s->dir, NULL};
    int fd = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(fd, s->dir, IN_CREATE);
    s->pid = spawn(s, s->is_postgres ? postgres : redis);
    wait_for_file(fd, s->is_postgres ? ".s.PGSQL.5432" : "redis.sock");
}

void private_server_stop(struct private_server *s, int signal)
{
    if (s->pid == 0)
        return;
    kill(s->pid, signal);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
    char cmd[160];
    snprintf(cmd, sizeof(cmd), "rm -f %s/redis.sock %s/.s.PGSQL.*", s->dir, s->dir);
    if (system(cmd) != 0)
        abort();
}

void private_server_done(struct private_server *s)
{
    if (s->dir[0] == '\0')
        return;
    private_server_stop(s, s->is_postgres ? SIGQUIT : SIGTERM);
    char cmd[100];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", s->dir);
    if (system(cmd) != 0)
        abort();
}
