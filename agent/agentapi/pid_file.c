/* SPDX-License-Identifier: Apache-2.0 */
/* A file that was left behind by a killed process must not stop the next one. */
#include "agent/agentapi/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agentapi/dirs.h"
#include "agent/file.h"
#include "core/base/cleanup.h"
#include "core/base/strbuf.h"

#define PID_FILE_MAX 64

/* 0: none. */
static pid_t read_pid(const char *path)
{
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    if (file_read(AT_FDCWD, path, PID_FILE_MAX, &text, NULL) != ERR_OK)
        return 0;
    char *end;
    long pid = strtol(text.s, &end, 10);
    return end != text.s && pid > 0 && pid < 1 << 30 ? (pid_t)pid : 0;
}

/* When a process began, in seconds of the wall clock; 0: unknown. */
static time_t began(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    scoped(strbuf_done) struct strbuf text;
    strbuf_init(&text);
    struct timespec up, now;
    if (file_read(AT_FDCWD, path, 4096, &text, NULL) != ERR_OK ||
        clock_gettime(CLOCK_BOOTTIME, &up) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    const char *field = strrchr(text.s, ')'); /* the name may hold anything; field 22 is the time */
    for (int i = 2; field != NULL && i < 22; i++)
        field = strchr(field + 1, ' ');
    if (field == NULL)
        return 0;
    return now.tv_sec - up.tv_sec + (time_t)(strtoll(field + 1, NULL, 10) / sysconf(_SC_CLK_TCK));
}

static bool is_its_writer(const char *path, pid_t pid)
{
    struct stat st;
    if (pid == getpid() || (kill(pid, 0) != 0 && errno != EPERM))
        return false;
    return stat(path, &st) != 0 || began(pid) <= st.st_mtime + 1;
}

enum err pid_file_take(const char *path, struct errctx *ctx)
{
    pid_t pid = read_pid(path);
    if (pid > 0 && is_its_writer(path, pid))
        return err_set(ctx, ERR_CONFLICT,
            "another server runs already with the pid %d (it stands in %s)", (int)pid, path);
    dirs_make_parents(path);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(
            ctx, file_err(errno), "cannot write the pid file %s: %s", path, strerror(errno));
    char text[32];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    enum err e = file_write(fd, text, (size_t)n, ctx);
    close(fd);
    return e;
}

void pid_file_drop(const char *path)
{
    if (read_pid(path) == getpid())
        unlink(path);
}
