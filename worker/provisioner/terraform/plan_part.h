/* SPDX-License-Identifier: Apache-2.0 */
/* plan_part.h - what plan.c and plan_data.c share. */
#ifndef WORKER_PROVISIONER_TERRAFORM_PLAN_PART_H
#define WORKER_PROVISIONER_TERRAFORM_PLAN_PART_H

#include "worker/provisioner/terraform/plan.h"

typedef void (*plan_each_fn)(void *arg, const json_t *resource);

/* Every planned instance, and every data source. */
void plan_each_planned(const json_t *plan, plan_each_fn each, void *arg);
void plan_each_data(const json_t *plan, plan_each_fn each, void *arg);
bool plan_is_of(const json_t *resource, const char *mode, const char *type);

/* Icon, cost and items of a coder_metadata go to the resource that it is about. */
void plan_put_metadata(json_t *resource, const json_t *values);

/* Parameters, presets, external auth. */
void plan_read_data(const json_t *plan, plan_warn_fn warn, void *arg, struct import_found *f);
void plan_read_variables(const json_t *plan, struct import_found *f);

#endif
