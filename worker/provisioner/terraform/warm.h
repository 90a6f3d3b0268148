/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.h - templates that were initialised: their .terraform and lock file, by the archive's id.
 *
 * An archive's id stands for its bytes (the same bytes are stored once), so what `init` has made of
 * it is good for ever, and for every build of every task: read-only, with the providers as links
 * into the plugin cache or the mirror.  `init` runs once per archive and host, one at a time:
 * Terraform's plugin cache is not safe for two at once.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_WARM_H
#define WORKER_PROVISIONER_TERRAFORM_WARM_H

#include "worker/provisioner/terraform/run.h"

/* The template in r->place is initialised: src/.terraform leads to what is warm. */
enum err must_check warm_up(struct run *r, const struct uuid *file_id, struct errctx *ctx);
/* For the stub of a template: no archive, made anew. */
enum err must_check warm_once(struct run *r, struct errctx *ctx);
/* Those that were not used for longest go, beyond a number; and what dead workers have left. */
void warm_sweep(const struct terraform *t);

#endif
