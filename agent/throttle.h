/* SPDX-License-Identifier: Apache-2.0 */
/*
 * throttle.h - a flood of the apps' own reports, limited at its source.
 *
 * THROTTLE_PER_SECOND reports go on, with a burst of THROTTLE_BURST.  Beyond that the newest one of
 * each app is kept, in the place of the one kept before, and goes when there is room: what an app
 * says last is always said.
 *
 *               throttle_take: room                     room again
 *   report ------------------------------> say it    +-----------> say() (and again a second
 *      |                                             |              later, should it fail)
 *      +--- no room: throttle_keep ---> kept --------+
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_THROTTLE_H
#define AGENT_THROTTLE_H

#include <stdbool.h>

#include "agent/status.h"
#include "core/base/err.h"
#include "core/loop/loop.h"

#define THROTTLE_PER_SECOND 20
#define THROTTLE_BURST      200

struct throttle;

/* Say it now; anything but ERR_OK, and it is kept. */
typedef enum err (*throttle_say_fn)(
    void *arg, size_t app, enum app_state state, const char *message, const char *uri);

/* `n_apps`: apps are told apart by a number below it. */
struct throttle *throttle_new(struct loop *l, size_t n_apps, throttle_say_fn say, void *arg);
void throttle_free(struct throttle *t);

/* There is room for a report of this app, and it is taken up. */
bool throttle_take(struct throttle *t, size_t app);
/* There was none: keep this one, which is sound. */
void throttle_keep(
    struct throttle *t, size_t app, enum app_state state, const char *message, const char *uri);
/* What is kept is said now, room or not. */
void throttle_flush(struct throttle *t);

#endif
