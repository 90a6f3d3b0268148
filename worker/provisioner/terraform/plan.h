/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what a plan tells of a template (`terraform show -json` of a saved plan).
 *
 * In a plan nothing has an id yet.  Which app the task points at is therefore read from the
 * configuration in the plan: what `app_id` refers to, followed through the outputs and variables of
 * modules to a coder_app.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_PLAN_H
#define WORKER_PROVISIONER_TERRAFORM_PLAN_H

#include <jansson.h>

#include "worker/provisioner/provisioner.h"

/* coder_ai_task that the plan makes. */
unsigned plan_ai_tasks(const json_t *plan);
/* The template has one somewhere, be it planned or not. */
bool plan_mentions_ai_task(const json_t *plan);
/* Agents that it makes. */
unsigned plan_agents(const json_t *plan);

typedef void (*plan_warn_fn)(void *arg, const char *sentence);

/*
 * Everything of an import: `start` as a workspace's start, `task` as a task's (may be the same),
 * `stop` as its stop.  ERR_INVALID with a sentence for what can be no template: two coder_ai_task,
 * an app_id that no app has, apps without an agent.
 */
enum err must_check plan_read(const json_t *start, const json_t *task, const json_t *stop,
    plan_warn_fn warn, void *arg, struct import_found *ret, struct errctx *ctx);

#endif
