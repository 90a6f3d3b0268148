/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_task.h - tasks as Stint's own routes show them, for those routes.
 */
#ifndef GATEWAY_OWN_TASK_H
#define GATEWAY_OWN_TASK_H

#include "gateway/etag.h"
#include "gateway/task_load.h"

/* Of the task without its place in the queue. */
struct etag_half own_task_tag(const struct task_blob *b);
/* Append the task, or the members of `fields` (task_query.h; 0: all) alone, to r->out. */
void own_task_write(struct request *r, const struct task_blob *b, uint64_t fields);
void own_task_answer(struct request *r, int status, const struct task_blob *b, uint64_t fields);

/* Read a task anew for an answer; r->state is a task_set then. */
void own_task_show(struct request *r, const struct uuid *id, request_fn then);

#endif
