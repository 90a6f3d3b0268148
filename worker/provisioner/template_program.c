/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_program.c - is there a program for each command, as the sandbox will see it?
 *
 *   in the template's directory          yes: the command gets its full path
 *   on the host, where sandboxes see it  yes
 *   stint-agent, coder                   yes
 *   elsewhere: a bare name, something    it may come with a start script or a mount: a warning;
 *   below the home or a mount            for `command` an error unless something can bring it
 *   anywhere else                        no
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "worker/provisioner/template_part.h"

enum presence { PRESENT, MAY_COME, ABSENT };

struct look {
    const struct template_source *source;
    struct template *t;
    int dir_fd;
    template_warn_fn warn;
    void *arg;
};

static bool is_program(int dir_fd, const char *path)
{
    struct stat st;
    return fstatat(dir_fd, path, &st, 0) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

static bool is_on_host(const char *name)
{
    static const char *const dirs[] = {
        "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"};
    for (size_t i = 0; i < COUNT(dirs); i++) {
        char path[1200];
        snprintf(path, sizeof(path), "%s/%.1100s", dirs[i], name);
        if (is_program(AT_FDCWD, path))
            return true;
    }
    return false;
}

/* Only what a sandbox sees of the host counts. */
static bool is_visible_on_host(const char *path)
{
    static const char *const dirs[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64"};
    for (size_t i = 0; i < COUNT(dirs); i++) {
        if (template_is_at_or_below(path, dirs[i]) && is_program(AT_FDCWD, path))
            return true;
    }
    return false;
}

/* A relative path without "..". */
static bool is_inside(const char *path)
{
    for (const char *p = path; *p != '\0'; p += strcspn(p, "/"), p += *p == '/') {
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    }
    return true;
}

static bool is_ours(const char *name)
{
    return strcmp(name, "stint-agent") == 0 || strcmp(name, "coder") == 0;
}

static bool is_in_a_mount(const struct template *t, const char *path)
{
    for (unsigned i = 0; i < t->mounts_count; i++) {
        if (template_is_at_or_below(path, t->mounts[i].to))
            return true;
    }
    return false;
}

static enum presence look_up_absolute(const struct look *l, const char *path)
{
    static const size_t dir_n = sizeof(TEMPLATE_DIR) - 1, bin_n = sizeof(TEMPLATE_BIN) - 1;
    if (!template_is_plain_path(path))
        return ABSENT;
    if (template_is_at_or_below(path, TEMPLATE_DIR))
        return path[dir_n] == '/' && is_program(l->dir_fd, path + dir_n + 1) ? PRESENT : ABSENT;
    if (template_is_at_or_below(path, TEMPLATE_BIN))
        return path[bin_n] == '/' && is_ours(path + bin_n + 1) ? PRESENT : ABSENT;
    if (is_visible_on_host(path))
        return PRESENT;
    bool may_come = template_is_at_or_below(path, TEMPLATE_HOME) || is_in_a_mount(l->t, path);
    return may_come ? MAY_COME : ABSENT;
}

/* A program of the template's directory gets its full path. */
static enum presence look_up(const struct look *l, char **program)
{
    const char *p = *program;
    bool bare = strchr(p, '/') == NULL;
    if (p[0] == '/')
        return look_up_absolute(l, p);
    if (bare && (is_ours(p) || is_on_host(p)))
        return PRESENT;
    if (!is_inside(p) || !is_program(l->dir_fd, p))
        return bare ? MAY_COME : ABSENT;
    while (strncmp(p, "./", 2) == 0)
        p += 2;
    size_t n = strlen(p) + sizeof(TEMPLATE_DIR) + 1;
    char *path = mem_alloc(n);
    snprintf(path, n, TEMPLATE_DIR "/%s", p);
    free(*program);
    *program = path;
    return PRESENT;
}

static enum err check(const struct look *l, const char *path, char **command, bool may_come)
{
    enum presence presence = look_up(l, &command[0]);
    if (presence == PRESENT)
        return ERR_OK;
    if (presence == ABSENT || !may_come)
        return template_wrong(l->source, path,
            "\"%.80s\" is not there: install it on the workers' hosts (below /usr), or put it "
            "into the template's directory and make it executable",
            command[0]);
    char sentence[240];
    snprintf(sentence, sizeof(sentence),
        "line %u: %s: \"%.80s\" is not there now; a start script or a mount has to bring it",
        template_line(l->source, path), path, command[0]);
    if (l->warn != NULL)
        l->warn(l->arg, sentence);
    return ERR_OK;
}

/* Something may bring programs before the first prompt. */
static bool has_bringers(const struct template *t)
{
    bool found = t->mounts_count > 0;
    for (unsigned i = 0; i < t->scripts_count; i++)
        found = found || strcmp(t->scripts[i].run, "start") == 0;
    return found;
}

enum err template_check_programs(const struct template_source *s, struct template *t, int dir_fd,
    template_warn_fn warn, void *arg)
{
    const struct look l = {.source = s, .t = t, .dir_fd = dir_fd, .warn = warn, .arg = arg};
    enum err e = ERR_OK;
    if (t->command_count > 0)
        e = check(&l, "command", t->command, has_bringers(t));
    if (e == ERR_OK && t->app != NULL && t->app->command_count > 0)
        e = check(&l, "app.command", t->app->command, true);
    for (unsigned i = 0; e == ERR_OK && i < t->apps_count; i++) {
        if (t->apps[i].command_count > 0)
            e = check(&l, template_path("apps[%u].command", i).s, t->apps[i].command, true);
    }
    for (unsigned i = 0; e == ERR_OK && i < t->scripts_count; i++)
        e = check(&l, template_path("scripts[%u].command", i).s, t->scripts[i].command, true);
    for (unsigned i = 0; e == ERR_OK && i < t->metadata_count; i++)
        e = check(&l, template_path("metadata[%u].command", i).s, t->metadata[i].command, true);
    return e;
}
