/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hands.h - jobs into provisioners and outcomes out of them.
 *
 * All calls are on the loop's thread.  An `immediate` provisioner is done before hands_take() is;
 * the others work on the pool.  Outcomes end up as DONE jobs in the slots, from where results.c
 * takes them.
 */
#ifndef WORKER_HANDS_H
#define WORKER_HANDS_H

#include "core/loop/loop.h"
#include "core/wire/wire.h"
#include "worker/progress.h"
#include "worker/slots.h"
#include "worker/templates.h"

#define PROVISIONERS_MAX 4

struct hands {
    struct loop *loop;
    struct slots *slots;
    struct progress *progress;
    struct templates *templates;
    const struct job_states *states;
    struct provisioner provisioner[PROVISIONERS_MAX];
    size_t n_provisioners;
    struct job_lease lease; /* of all jobs in hand; moved by poll.c */
    bool draining;
    bool giving_up; /* what is under way is told to stop and handed back */
};

/* A job from the scheduler, new or again. */
void hands_take(struct hands *h, const Stint__V1__JobSpec *spec);
void hands_cancel(struct hands *h, const struct uuid *job_id, uint64_t token);
void hands_abandon(struct hands *h, const struct uuid *job_id, uint64_t token);

/* templates_fn */
void hands_template_ready(void *arg, const struct uuid *job_id, uint64_t token, enum err code,
    const char *dir, const struct errctx *ctx);

/* Take nothing new, hand back what has not begun. */
void hands_drain(struct hands *h);
/* Stop waiting for what is under way. */
void hands_give_up(struct hands *h);

#endif
