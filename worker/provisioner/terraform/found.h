/* SPDX-License-Identifier: Apache-2.0 */
/*
 * found.h - what there is after an apply, read from Terraform's state (format version 4).
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_FOUND_H
#define WORKER_PROVISIONER_TERRAFORM_FOUND_H

#include "worker/provisioner/provisioner.h"

/* `with_agent`: a start; else resources alone.  ERR_INVALID: more than one coder_ai_task, or an
 * app_id that no app has. */
enum err must_check found_read(
    const char *state, size_t n, bool with_agent, struct build_found *ret, struct errctx *ctx);

/* Does the state hold any resource that is more than words (no data source, none of Coder's)? */
bool found_anything(const char *state, size_t n);

/* A template that knows no more than the state's providers: enough to destroy what is in it. */
char *found_stub(const char *state, size_t n);

#endif
