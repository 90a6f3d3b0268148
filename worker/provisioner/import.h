/* SPDX-License-Identifier: Apache-2.0 */
/* import.h - what an import tells of a good template. */
#ifndef WORKER_PROVISIONER_IMPORT_H
#define WORKER_PROVISIONER_IMPORT_H

#include "worker/provisioner/provisioner.h"
#include "worker/provisioner/template.h"

/* Its texts and its apps, the task's first; job_found_done() frees them. */
struct import_found import_found_in(const struct template *t);

/* The program that the task's app is. */
const char *import_what_runs(const struct template *t);

/* What is allowed, and likely a mistake. */
void import_look(const struct template *t, template_warn_fn warn, void *arg);

#endif
