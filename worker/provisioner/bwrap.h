/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bwrap.h - bubblewrap: is it there and does it work, the command line of a sandbox, its start.
 *
 * The sandbox does not belong to the worker: it is started by a grandchild in a session of its own,
 * with no descriptor, variable, or signal disposition of ours, and lives on when the worker ends.
 *
 * A worker that is root gives the sandbox another user, who may not be able to walk the path to its
 * directories.  So the grandchild first makes itself a mount namespace, binds what the sandbox
 * needs to /tmp/<n> in there, and only then changes the user and becomes bubblewrap.
 */
#ifndef WORKER_PROVISIONER_BWRAP_H
#define WORKER_PROVISIONER_BWRAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/base/vec.h"
#include "worker/provisioner/limit.h"

struct bwrap {
    char *path;
    bool stage;              /* we are root: bind and change the user as above */
    bool has_disable_userns; /* --disable-userns is known and works here */
    bool has_size;           /* --size */
};

/* Find bubblewrap and try it.  ERR_UNAVAILABLE with what to install or to set. */
enum err must_check bwrap_init(struct bwrap *b, struct errctx *ctx);
void bwrap_done(struct bwrap *b);

/* One directory or file of the host that the sandbox sees. */
struct bwrap_bind {
    char *from;
    char *to;
    bool writable;
    bool is_dir;
};

/* A sandbox's command line, built up and then started.  Zero-initialised is empty. */
struct bwrap_plan {
    VEC(char *) argv;
    VEC(char *) options; /* given to it through a descriptor: a command line stays short */
    VEC(struct bwrap_bind) bind;
    uid_t uid;
    gid_t gid;
    int log_fd;    /* stdout and stderr */
    int cgroup_fd; /* cgroup.procs, -1: none */
    int file_fd;   /* becomes a file of the sandbox, -1: none */
    struct limit_plan limit;
};

struct bwrap_shape {
    const char *title;    /* the supervisor's first argument, to find it by */
    const char *hostname; /* NULL: "workspace" */
    const char *dir;      /* where its first process starts */
    bool network;
    long long tmp_bytes; /* of /tmp; 0: no limit of its own */
};

/* Everything but the binds and the command: namespaces, system directories, /etc, /proc, /dev,
 * /tmp. */
void bwrap_plan_begin(const struct bwrap *b, struct bwrap_plan *p, const struct bwrap_shape *shape);
enum err must_check bwrap_plan_bind(const struct bwrap *b, struct bwrap_plan *p, const char *from,
    const char *to, bool writable, struct errctx *ctx);
/*
 * The content of *take_fd becomes a file in the sandbox, on a tmpfs, for its user alone.  One at
 * most.  The directory it is in belongs to that user too, who may remove it.
 */
void bwrap_plan_file(struct bwrap_plan *p, int take_fd, const char *to);
/* `to` becomes a link with this text. */
void bwrap_plan_link(struct bwrap_plan *p, const char *text, const char *to);
/* `command` ends with NULL. */
void bwrap_plan_end(struct bwrap_plan *p, const char *const *command);
void bwrap_plan_done(struct bwrap_plan *p);

/*
 * Start it.  bubblewrap will write {"child-pid": …} into *ret_info_fd, a file in memory: it works
 * whether we live to read it or not.  *ret_supervisor is its pid.
 */
enum err must_check bwrap_spawn(const struct bwrap *b, const struct bwrap_plan *p, int *ret_info_fd,
    pid_t *ret_supervisor, struct errctx *ctx);

#endif
