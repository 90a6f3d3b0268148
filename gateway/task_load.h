/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_load.h - from ids to rendered tasks, through the cache, the database and the queue.
 */
#ifndef GATEWAY_TASK_LOAD_H
#define GATEWAY_TASK_LOAD_H

#include "core/base/vec.h"
#include "gateway/queue.h"
#include "gateway/request.h"
#include "gateway/task_cache.h"

/* The tasks a request is about, in the order of its answer. */
struct task_set {
    VEC(struct uuid) ids;
    struct task_blob **blobs; /* as many as ids; NULL: there is no such task (any more) */
    uint64_t mark;
    request_fn then;
};

/* For request_state(). */
void task_set_done(void *set);

/* Fills in the blobs of r->state, which is a task_set with its ids, and goes on. */
void task_load(struct request *r, request_fn then);

/* Row i of task_read; `scratch` is any buffer. */
struct task_blob *task_blob_render(const struct db_result *rows, size_t i, struct strbuf *scratch);

/* One task with its place in the queue, if it has one; no line end. */
void task_blob_write(struct strbuf *out, const struct task_blob *b, struct queue_place place);

/* As Stint's own routes show it: with further members, and "queue" always. */
void task_blob_write_own(struct strbuf *out, const struct task_blob *b, struct queue_place place);

/* Answer with the one task of r->state, found readable. */
void task_answer(struct request *r, int status);

#endif
