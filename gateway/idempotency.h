/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idempotency.h - "Idempotency-Key" of POST requests below /api/stint/v1: what is sent twice is
 * done once, and answered twice.
 *
 *   claim (user, key) ─> work ─> answer stored ─> answer said      24 hours long: said again
 *
 * A claim is a row of idempotency_keys, committed before the work begins.  It holds a seed, from
 * which everything that the work makes (tasks, builds, messages) gets its id.  So a request whose
 * gateway died in the middle, or whose answer was a 5xx, can be worked on again by another gateway:
 * the scheduler finds by the id what was done already.
 *
 *   the same request again            the stored answer, with Idempotency-Replayed: true
 *   another request, the same key     422
 *   while the first one still runs    409 with Retry-After
 *
 * Answers below 500 are stored, refusals too.
 */
#ifndef GATEWAY_IDEMPOTENCY_H
#define GATEWAY_IDEMPOTENCY_H

#include "gateway/request.h"

#define IDEMPOTENCY_KEY_MAX 255

/* Of a request that was admitted: goes on with its handler, or answers instead of it. */
void idempotency_run(struct request *r);

/* The request has its answer.  True: it will be said (http_answer) when it is stored. */
bool idempotency_keep(struct request *r);

/* The n-th id that this request gives away: the same when it is worked on again. */
struct uuid idempotency_id(const struct request *r, uint32_t n);
/* It may have been worked on before: look what is there. */
bool idempotency_is_again(const struct request *r);

#endif
