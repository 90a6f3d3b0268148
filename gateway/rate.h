/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate.h - how many requests a minute one may send: 512 per person and path, as Coder has it.
 *
 * A request is counted in this process's memory, which costs well under a microsecond, and is never
 * held up by it.  What was counted goes to Redis ten times a second, and what the other gateways
 * counted comes back with the answer; so the limit is one for all gateways, but for what arrives
 * within a tenth of a second.  While Redis is away each gateway counts alone.
 */
#ifndef GATEWAY_RATE_H
#define GATEWAY_RATE_H

#include "gateway/request.h"

struct rates;

struct rates *rates_new(struct gateway *gw);
void rates_free(struct rates *rates);

/* Counts the request, whose sender is known (r->who, or nobody).  False: a 429, or a 428, has been
 * answered. */
bool rate_admit(struct request *r);

/* Counts a token that nobody has, by the address that it came from.  False: a 429 has been
 * answered. Good tokens from there go on to work. */
bool rate_admit_stranger(struct request *r);

#endif
