/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment.h - what Terraform and its providers are told: nothing of the worker's own, and what
 * Coder's provider reads.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_ENVIRONMENT_H
#define WORKER_PROVISIONER_TERRAFORM_ENVIRONMENT_H

#include "worker/provisioner/terraform/run.h"

/* Fills r->env and r->secrets.  `transition`: start, stop or destroy; `as_task`: an import plays a
 * task. */
void environment_fill(struct run *r, const char *transition, bool as_task);

/* Terraform's own settings file, home/terraform.rc. */
enum err must_check environment_write_config(const struct run *r, struct errctx *ctx);

#endif
