/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.h - an app, asked over HTTP at intervals whether it is well.  Coder's rule:
 *
 *                       an answer                threshold failures in a row
 *   INITIALIZING ---------------------> HEALTHY ----------------------------> UNHEALTHY
 *        |                                 ^              an answer               |  ^
 *        |                                 +--------------------------------------+  |
 *        +------------------- threshold failures in a row ---------------------------+
 *
 * An answer is any status below 500 within the interval (a second at least); its body is not read
 * to its end.  While it is initializing the app is asked more often; what fails then does not
 * count. Changes are said; what the store of reports does not take is said after the next asking.
 * An app without a check is `disabled`: of it nothing is said.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_HEALTH_H
#define AGENT_HEALTH_H

#include "agent/manifest.h"
#include "agent/status.h"
#include "core/loop/loop.h"

struct health;

/* `url` is copied; `check` (for its interval and threshold) and `status`, which speaks for the app,
 * are borrowed.  Says "initializing" and asks from now on. */
struct health *health_new(
    struct loop *l, struct status *status, const char *url, const struct manifest_health *check);
/* Asks no more. */
void health_free(struct health *h);

#endif
