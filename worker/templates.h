/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates.h - template archives: fetched from the scheduler once per host, unpacked, kept.
 *
 *   <data_dir>/templates/<file_id>/     complete, or not there: it is unpacked beside and renamed
 *
 * Workers of a host race for the same file harmlessly: the first rename wins.
 */
#ifndef WORKER_TEMPLATES_H
#define WORKER_TEMPLATES_H

#include "core/bus/bus.h"
#include "core/loop/loop.h"

struct templates;

/* `dir` is the unpacked archive when code is ERR_OK, else ctx says why.  May be called from inside
 * templates_want(). */
typedef void (*templates_fn)(void *arg, const struct uuid *job_id, uint64_t token, enum err code,
    const char *dir, const struct errctx *ctx);

/* Borrows all. */
struct templates *templates_new(struct loop *l, struct bus_client *scheduler, const char *data_dir,
    templates_fn on_ready, void *arg);
void templates_free(struct templates *t);

/* on_ready(…, job_id, token, …) when the template is there or cannot be had. */
void templates_want(
    struct templates *t, const struct uuid *file_id, const struct uuid *job_id, uint64_t token);

#endif
