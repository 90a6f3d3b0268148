/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bwrap.c - is bubblewrap there, what does it know, does it work.
 *
 * The trial is a sandbox like a workspace's, made when the worker starts: a host
 * that cannot run sandboxes says so then, and not with the first task.
 */
#include "worker/provisioner/bwrap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "worker/file.h"
#include "worker/provisioner/workspace.h"

/* Which options does --help name? */
static void look_up_options(struct bwrap *b)
{
    char command[4200], text[32768];
    snprintf(command, sizeof(command), "'%.4000s' --help 2>&1", b->path);
    FILE *out = popen(command, "re");
    if (out == NULL)
        return;
    size_t n = fread(text, 1, sizeof(text) - 1, out);
    text[n] = '\0';
    pclose(out);
    b->has_disable_userns = strstr(text, "--disable-userns") != NULL;
    b->has_size = strstr(text, "--size") != NULL;
}

/* Text of the trial's stderr, one line. */
static void read_back(int fd, char *buf, size_t size)
{
    ssize_t n = pread(fd, buf, size - 1, 0);
    buf[n > 0 ? n : 0] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

/* Run a program that says "fine"; anything else is why it did not work. */
static bool try(const struct bwrap *b, char *why, size_t size)
{
    static const char *const command[] = {"/usr/bin/sh", "-c", "echo fine", NULL};
    struct bwrap_plan p;
    bwrap_plan_begin(b, &p, &(struct bwrap_shape){.title = "stint-sandbox-trial", .dir = "/"});
    bwrap_plan_end(&p, command);
    p.log_fd = memfd_create("trial", MFD_CLOEXEC);
    if (b->stage)
        p.uid = p.gid = WORKSPACE_UID_FIRST;

    struct errctx ctx = {0};
    int info_fd = -1;
    pid_t supervisor;
    snprintf(why, size, "no memory file");
    if (p.log_fd >= 0 && bwrap_spawn(b, &p, &info_fd, &supervisor, &ctx) != ERR_OK)
        snprintf(why, size, "%.150s", ctx.text);
    if (info_fd >= 0) {
        /* The supervisor and its child are strangers to us: what ends is their output. */
        why[0] = '\0';
        for (int tries = 0; tries < 2500 && why[0] == '\0'; tries++) {
            usleep(2000);
            read_back(p.log_fd, why, size);
        }
        close(info_fd);
    }
    bwrap_plan_done(&p);
    return strcmp(why, "fine") == 0;
}

enum err bwrap_init(struct bwrap *b, struct errctx *ctx)
{
    char why[160];
    *b = (struct bwrap){.path = file_find_program("bwrap"), .stage = geteuid() == 0};
    if (b->path == NULL)
        return err_set(ctx, ERR_UNAVAILABLE,
            "bubblewrap (bwrap), which makes the sandboxes, is not installed: install the package "
            "\"bubblewrap\", e.g. apt-get install bubblewrap");
    look_up_options(b);
    if (try(b, why, sizeof(why)))
        return ERR_OK;
    /* Some containers do not let it write the limit that this option needs. */
    b->has_disable_userns = false;
    if (try(b, why, sizeof(why)))
        return ERR_OK;
    return err_set(ctx, ERR_UNAVAILABLE,
        "bubblewrap cannot make a sandbox here (%.100s): allow unprivileged user namespaces "
        "(sysctl kernel.unprivileged_userns_clone, AppArmor, or the container's seccomp profile)",
        why);
}

void bwrap_done(struct bwrap *b)
{
    free(b->path);
    *b = (struct bwrap){0};
}
