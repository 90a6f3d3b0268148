/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.h - a process of Terraform: its command line, its sandbox, its limits, its end.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_START_H
#define WORKER_PROVISIONER_TERRAFORM_START_H

#include <sys/types.h>

#include "worker/provisioner/terraform/run.h"

struct started {
    pid_t pid;  /* our child: bubblewrap, or Terraform itself */
    int pid_fd; /* readable once our child has ended */
    int out_fd, err_fd;
    int info_fd; /* where bubblewrap says who Terraform is */
    int64_t deadline_mono_ms;
};

enum err must_check start_command(
    const struct run *r, const struct command *c, struct started *ret, struct errctx *ctx);
void start_signal(const struct started *s, int signal);
bool start_has_ended(const struct started *s);
/* Waits for it; its status as waitpid() has it. */
int start_reap(struct started *s);

/* What the sandbox calls the job's directory; without a sandbox it is the directory itself. */
const char *start_inner_dir(const struct run *r);

#endif
