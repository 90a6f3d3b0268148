/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - what /proc says. */
#include "worker/provisioner/process.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "worker/file.h"

/* The content of a small /proc file, NUL-terminated; its length, or -1. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (n >= 0)
        buf[n] = '\0';
    return n;
}

struct stat_fields {
    char state;
    pid_t parent;
    uint64_t start_time;
};

/* /proc/<pid>/stat: "pid (name) S ppid …"; the name may hold anything, so look from its last ')'.
 */
static bool read_stat(pid_t pid, struct stat_fields *ret)
{
    char path[40], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_small(path, text, sizeof(text)) <= 0)
        return false;
    const char *p = strrchr(text, ')');
    unsigned long long start;
    int parent;
    if (p == NULL ||
        sscanf(p + 1,
            " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
            &ret->state, &parent, &start) != 3)
        return false;
    ret->parent = parent;
    ret->start_time = start;
    return true;
}

bool process_look_up(pid_t pid, struct process *ret_process)
{
    struct stat_fields f;
    if (pid <= 0 || !read_stat(pid, &f) || f.state == 'Z' || f.state == 'X')
        return false;
    *ret_process = (struct process){.pid = pid, .start_time = f.start_time};
    return true;
}

bool process_is_alive(const struct process *p)
{
    struct process now;
    return process_look_up(p->pid, &now) && now.start_time == p->start_time;
}

int process_open(const struct process *p)
{
    if (p->pid <= 0)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    /* Held first, compared then: the pid cannot be given to another one in between. */
    if (fd >= 0 && !process_is_alive(p)) {
        close(fd);
        return -1;
    }
    return fd;
}

bool process_boot_id(struct uuid *ret_boot)
{
    char text[64];
    if (read_small("/proc/sys/kernel/random/boot_id", text, sizeof(text)) < UUID_STR_LEN)
        return false;
    text[UUID_STR_LEN] = '\0';
    return uuid_parse(text, ret_boot);
}

/* In our own pid namespace: NSpid has one number.  A stranger inside a sandbox may call itself
 * anything, but lives deeper. */
static bool is_in_our_namespace(pid_t pid)
{
    char path[40], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (read_small(path, text, sizeof(text)) <= 0)
        return false;
    const char *line = strstr(text, "\nNSpid:");
    if (line == NULL)
        return true;
    line += 7;
    line += strspn(line, " \t");
    line += strspn(line, "0123456789");
    return *line == '\n' || *line == '\0';
}

static bool has_title(pid_t pid, const char *title)
{
    char path[40], text[256];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    return read_small(path, text, sizeof(text)) > 0 && strcmp(text, title) == 0;
}

/* The first process for which fits() is true. */
static pid_t find(bool (*fits)(pid_t pid, const void *arg), const void *arg)
{
    DIR *proc = opendir("/proc");
    pid_t found = 0;
    if (proc == NULL)
        return 0;
    for (struct dirent *entry; found == 0 && (entry = readdir(proc)) != NULL;) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)atoi(entry->d_name) : 0;
        if (pid > 0 && fits(pid, arg))
            found = pid;
    }
    closedir(proc);
    return found;
}

static bool is_supervisor(pid_t pid, const void *title)
{
    return has_title(pid, title) && is_in_our_namespace(pid);
}

static bool is_child_of(pid_t pid, const void *parent)
{
    struct stat_fields f;
    return read_stat(pid, &f) && f.parent == *(const pid_t *)parent;
}

static bool carries_title(pid_t pid, const void *title)
{
    return has_title(pid, title);
}

static bool kill_and_await(pid_t pid, int64_t end_ms)
{
    struct process p;
    if (!process_look_up(pid, &p))
        return true;
    scoped_fd int fd = process_open(&p);
    if (fd < 0)
        return !process_is_alive(
            &p); /* no descriptor to be had: it is not waited for in a circle */
    (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    int64_t left_ms = end_ms - clock_mono_ms();
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    return poll(&pfd, 1, left_ms > 0 ? (int)left_ms : 0) > 0;
}

/* It makes no more children from now on. */
static void halt(pid_t pid, int64_t end_ms)
{
    struct stat_fields f;
    (void)kill(pid, SIGSTOP);
    while (read_stat(pid, &f) && strchr("TtZX", f.state) == NULL && clock_mono_ms() < end_ms)
        (void)poll(NULL, 0, 1);
}

void process_kill(const struct process *p)
{
    scoped_fd int fd = process_open(p);
    if (fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

bool process_end_by_title(const char *title, int64_t wait_ms)
{
    int64_t end_ms = clock_mono_ms() + wait_ms;
    pid_t supervisor = find(is_supervisor, title);
    if (supervisor != 0) {
        halt(supervisor, end_ms);
        pid_t init = find(is_child_of, &supervisor);
        if (init != 0 && !kill_and_await(init, end_ms))
            return false;
    }
    for (pid_t pid; (pid = find(carries_title, title)) != 0;) {
        if (!kill_and_await(pid, end_ms))
            return false;
    }
    return true;
}

void process_find_by_title(
    const char *title, struct process *ret_supervisor, struct process *ret_init)
{
    *ret_supervisor = *ret_init = (struct process){0};
    pid_t supervisor = find(is_supervisor, title);
    if (supervisor == 0 || !process_look_up(supervisor, ret_supervisor))
        return;
    pid_t init = find(is_child_of, &supervisor);
    if (init != 0)
        (void)process_look_up(init, ret_init);
}
