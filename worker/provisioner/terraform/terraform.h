/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terraform.h - Coder's templates, unchanged: `terraform` or `tofu` with whatever providers they
 * name, the `coder/coder` provider among them.
 *
 *   template ── warm.c: `init` once per archive ──┐
 *   state    <─ states of the scheduler ─────────┐│
 *                                                ││
 *   <data_dir>/terraform/                        vv
 *     work/<workspace>/     a build under way: src/ (the template), the state, the plan, a home
 *     warm/<archive>/       .terraform and the lock file of a template that was initialised
 *     plugins/              the shared plugin cache; written during `init` alone
 *
 * One directory per workspace, under a lock: two builds of a workspace on a host never overlap.
 * Names in the world are the template's, which is told the task's id; carried out twice, Terraform
 * converges by its state.  The state is saved whenever Terraform writes it (watch.c).
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_TERRAFORM_H
#define WORKER_PROVISIONER_TERRAFORM_TERRAFORM_H

#include "worker/provisioner/provisioner.h"

struct terraform;

/* Borrowed strings; NULL where unset. */
struct terraform_conf {
    const char *data_dir;
    const char *path;       /* of terraform or tofu; NULL: whichever is on the PATH */
    const char *mirror;     /* directory or https:// of providers; NULL: the registry */
    const char *access_url; /* of the gateway, for agents */
    const char *binds; /* what its sandbox may reach beside: /from[:/to][:rw], comma-separated */
    const char *pass;  /* variables of the worker's environment that it gets, by name */
    bool sandbox;
    int64_t time_limit_ms; /* of one command */
    int64_t memory_mb;     /* of one process of it; 0: no limit */
};

/* ERR_UNAVAILABLE with what to install or to set. */
enum err must_check terraform_new(
    const struct terraform_conf *conf, struct terraform **ret_terraform, struct errctx *ctx);
void terraform_free(struct terraform *t);
struct provisioner terraform_provisioner(struct terraform *t);
/* For a log line. */
const char *terraform_text(const struct terraform *t);

#endif
