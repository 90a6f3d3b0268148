/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - where the groups go, and what is written into them.
 *
 * Sandboxes outlive their worker, so their groups must not be inside the worker's service, which a
 * service manager empties when it stops: as root they go to <root>/stint.  Without root they go
 * beside us into whatever was delegated: the parent of our own group.
 */
#include "worker/provisioner/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/file.h"

static bool read_line(const char *path, char *buf, size_t size)
{
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (n < 0)
        return false;
    buf[n] = '\0';
    return true;
}

static bool write_file(const char *dir, const char *name, const char *text)
{
    char path[1200];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += n) {
        if ((p == text || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ' || p[n] == '\n'))
            return true;
    }
    return false;
}

/* Our own group: the line "0::/path" of /proc/self/cgroup. */
static void look_up_own(char *buf, size_t size)
{
    char text[4096];
    buf[0] = '\0';
    if (!read_line("/proc/self/cgroup", text, sizeof(text)))
        return;
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return;
    line = strchr(line, '/');
    if (line != NULL)
        snprintf(buf, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static bool off(struct cgroup *c, const char *why, const char *detail)
{
    c->on = false;
    snprintf(c->why, sizeof(c->why), "%s%.100s", why, detail);
    return false;
}

/* Can groups with our three controllers be made in `parent`? */
static bool try_parent(struct cgroup *c, const char *parent)
{
    char path[1100], controllers[512];
    snprintf(path, sizeof(path), "%.1000s/cgroup.controllers", parent);
    if (!read_line(path, controllers, sizeof(controllers)))
        return off(c, "no cgroup v2 hierarchy at ", parent);
    if (!has_word(controllers, "memory") || !has_word(controllers, "pids") ||
        !has_word(controllers, "cpu"))
        return off(c, "cgroup v2 without the memory, pids and cpu controllers at ", parent);
    (void)write_file(parent, "cgroup.subtree_control", "+memory +pids +cpu");
    snprintf(c->dir, sizeof(c->dir), "%.1000s/stint", parent);
    if (mkdir(c->dir, 0755) != 0 && errno != EEXIST)
        return off(c, "cannot make groups in ", parent);
    if (!write_file(c->dir, "cgroup.subtree_control", "+memory +pids +cpu"))
        return off(c, "cannot hand controllers down in ", c->dir);
    c->on = true;
    return true;
}

void cgroup_init(struct cgroup *c, const char *root, const char *own)
{
    char looked_up[512], parent[1024];
    *c = (struct cgroup){0};
    if (geteuid() == 0 && try_parent(c, root))
        return;
    if (own == NULL) {
        look_up_own(looked_up, sizeof(looked_up));
        own = looked_up;
    }
    const char *slash = strrchr(own, '/');
    if (slash == NULL || slash == own) {
        if (c->why[0] == '\0')
            off(c, "not root, and no group was delegated to this worker below ", root);
        return;
    }
    snprintf(parent, sizeof(parent), "%.400s%.*s", root, (int)(slash - own), own);
    (void)try_parent(c, parent);
}

static void dir_of(const struct cgroup *c, const struct uuid *id, char ret_dir[static 1100])
{
    snprintf(ret_dir, 1100, "%s/%s", c->dir, uuid_format(id).s);
}

static enum err put_limit(const char *dir, const char *file, const char *value, struct errctx *ctx)
{
    if (write_file(dir, file, value))
        return ERR_OK;
    return file_errno(ctx, "cannot set %s of the sandbox's cgroup", file);
}

static enum err put_limits(const char *dir, const struct template_limits *l, struct errctx *ctx)
{
    char value[64];
    enum err e = ERR_OK;
    if (l->memory_bytes > 0) {
        snprintf(value, sizeof(value), "%lld", (long long)l->memory_bytes);
        e = put_limit(dir, "memory.max", value, ctx);
        /* A sandbox over its limit ends as a whole, and swap is no way round it. */
        (void)write_file(dir, "memory.swap.max", "0");
        (void)write_file(dir, "memory.oom.group", "1");
    }
    if (e == ERR_OK && l->pids > 0) {
        /* Two more: bubblewrap's own. */
        snprintf(value, sizeof(value), "%lld", (long long)l->pids + 2);
        e = put_limit(dir, "pids.max", value, ctx);
    }
    if (e == ERR_OK && l->cpu_milli > 0) {
        snprintf(value, sizeof(value), "%lld 100000", (long long)l->cpu_milli * 100);
        e = put_limit(dir, "cpu.max", value, ctx);
    }
    return e;
}

enum err cgroup_make(const struct cgroup *c, const struct uuid *workspace_id,
    const struct template_limits *limits, int *ret_fd, struct errctx *ctx)
{
    char dir[1100], procs[1200];
    dir_of(c, workspace_id, dir);
    cgroup_kill(c, workspace_id);
    cgroup_remove(c, workspace_id);
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return file_errno(ctx, "cannot make the cgroup %.120s", dir);
    enum err e = put_limits(dir, limits, ctx);
    if (e != ERR_OK)
        return e;
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
    *ret_fd = open(procs, O_WRONLY | O_CLOEXEC);
    return *ret_fd < 0 ? file_errno(ctx, "cannot open %.120s", procs) : ERR_OK;
}

void cgroup_kill(const struct cgroup *c, const struct uuid *workspace_id)
{
    char dir[1100];
    if (!c->on)
        return;
    dir_of(c, workspace_id, dir);
    (void)write_file(dir, "cgroup.kill", "1");
}

void cgroup_remove(const struct cgroup *c, const struct uuid *workspace_id)
{
    char dir[1100];
    if (!c->on)
        return;
    dir_of(c, workspace_id, dir);
    /* The kernel lets go of the last dead process a moment after it is gone. */
    for (int tries = 0; rmdir(dir) != 0 && errno == EBUSY && tries < 50; tries++)
        usleep(2000);
}
