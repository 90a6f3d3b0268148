/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - the state on its way from Terraform's file to Postgres, each time that Terraform writes
 * it.
 *
 * A worker that is killed in the middle of an apply has then lost at most what Terraform had not
 * written down itself.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_WATCH_H
#define WORKER_PROVISIONER_TERRAFORM_WATCH_H

#include "worker/provisioner/terraform/run.h"
#include "worker/provisioner/terraform/taint.h"

struct watch {
    struct run *run;
    uint64_t version;   /* the newest that the scheduler has */
    struct strbuf kept; /* its content */
    struct done_set done;
    int fd;        /* inotify */
    enum err code; /* of the last put */
    struct errctx ctx;
    struct watcher watcher;
};

/* Fetch the newest state into src/; one that a killed worker has left here counts if it continues
 * that one. */
enum err must_check watch_begin(struct watch *w, struct run *r, const struct strbuf *left,
    uint64_t left_after, struct errctx *ctx);
/* For struct command. */
const struct watcher *watch_on(struct watch *w);
/* After the command: the scheduler has all that there is now. */
enum err must_check watch_settle(struct watch *w, struct errctx *ctx);
void watch_end(struct watch *w);

#endif
