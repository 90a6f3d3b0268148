/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one command of Terraform: in its sandbox, with a scrubbed environment, watched.
 *
 * Its sandbox sees the system's /usr, its own directories and what the setting terraform_binds
 * names, nothing else of the host; it has the network.  It ends with the worker (a kill -9 of the
 * worker kills it), and with its time limit.  What it prints is JSON, a line at a time; what is no
 * JSON is a line of text.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_RUN_H
#define WORKER_PROVISIONER_TERRAFORM_RUN_H

#include "core/base/vec.h"
#include "worker/provisioner/terraform/terraform.h"

/* Something of the host that the sandbox sees. */
struct bind {
    char *from, *to;
    bool writable;
};

/* What every command needs of the worker's settings. */
struct terraform {
    char *path, *mirror, *access_url, *bwrap; /* bwrap NULL: no sandbox */
    char *root;                               /* <data_dir>/terraform */
    char *version;
    char *pass; /* names of variables of the worker's environment that it gets */
    VEC(struct bind) binds;
    bool has_disable_userns;
    int64_t time_limit_ms, memory_mb;
    char text[200];
};

/* "NAME=value" texts, for execve. */
struct environment {
    VEC(char *) v;
};
void environment_add(struct environment *e, const char *name, const char *fmt, ...)
    printf_like(3, 4);
void environment_done(struct environment *e);

/* Where a job works. */
struct place {
    char dir[1024];  /* holds src/, home/, tmp/ */
    char warm[1200]; /* what src/.terraform leads to; "" while `init` makes it */
    int lock_fd;
};

/* A job with what its commands share. */
struct run {
    const struct terraform *tf;
    const struct job_spec *spec;
    struct job_io *io;
    struct place place;
    struct environment env;
    VEC(const char *) secrets; /* never in a line; borrowed */
    size_t line_bytes;         /* told so far */
    bool overflowed;
};

/* Called while the command runs: whenever `fd` is readable, and of each resource that is begun or
 * done. */
struct watcher {
    int fd;
    void (*ready)(void *arg);
    void (*hook)(void *arg, const char *type, const char *address, const char *action);
    void *arg;
};

struct command {
    const char *stage;
    const char *const *args; /* after "terraform", NULL-ended */
    struct strbuf *out;      /* its output as a whole; NULL: lines of progress */
    const struct watcher *watcher;
    bool quiet;        /* lines of level info are not told */
    bool warm_writes;  /* `init`: the plugin cache is writable */
    unsigned ai_tasks; /* out: coder_ai_task that are planned */
};

/*
 * ERR_OK when it ended with status 0.  Else ctx is the first thing it has said was wrong, with file
 * and line; ERR_FAILED, or ERR_CANCELED, ERR_LEASE_LOST.
 */
enum err must_check run_command(struct run *r, struct command *c, struct errctx *ctx);

/* A line of progress, with secrets taken out and within the bounds of a job's log. */
void run_line(struct run *r, enum log_level level, const char *stage, const char *text);

#endif
