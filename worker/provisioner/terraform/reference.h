/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference.h - what an expression of the configuration refers to, through modules.
 *
 *   coder_ai_task.task { app_id = module.claude.task_app_id }
 *        module.claude: output task_app_id = module.agentapi.task_app_id
 *             module.agentapi: output task_app_id = coder_app.web.id
 *   =>  "module.claude.module.agentapi.coder_app.web"
 *
 * Addresses are plain: without indexes.
 */
#ifndef WORKER_PROVISIONER_TERRAFORM_REFERENCE_H
#define WORKER_PROVISIONER_TERRAFORM_REFERENCE_H

#include <jansson.h>
#include <stdbool.h>

/* The coder_app that this coder_ai_task means; NULL: cannot be told.  malloc'd. */
char *reference_of_ai_task(const json_t *plan, const char *address);
/* Is this coder_metadata about that resource? */
bool reference_metadata_is_of(const json_t *plan, const char *address, const char *resource);

#endif
