/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile.h - one state out of two witnesses: what the app says of itself, and what its screen
 * shows (AgentAPI's `running` and `stable`).  Pure: no I/O, no clock.
 *
 * Coder's rules, and where they are bettered:
 *   - a self-reported `idle` is `working` while the screen still runs; when the screen comes to
 *     rest it is `idle`, with the message that came with it.
 *   - a screen that comes to rest is `idle`, unless the app has said complete or failure since the
 *     last message.
 *   - a message from the user is `working`.
 *   - a screen that starts to move again without a message is `working` too (Coder left `idle`).
 *   - an empty summary inherits the one before, and its link.
 *   - exact repetitions are not said again.
 *   - an app whose process has ended is never left `working`.
 */
#ifndef AGENT_RECONCILE_H
#define AGENT_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/status.h"

#define RECONCILE_MESSAGE_MAX 160

struct reconcile_word {
    enum app_state state;
    const char *message, *uri; /* borrowed from the reconcile, until its next event */
};

struct reconcile;
struct reconcile *reconcile_new(void);
void reconcile_free(struct reconcile *r);

/* Events; each returns true when there is something to say, in *ret. */
bool reconcile_app_says(struct reconcile *r, enum app_state state, const char *message,
    const char *uri, struct reconcile_word *ret);
bool reconcile_screen(struct reconcile *r, bool is_running, struct reconcile_word *ret);
/* A message of the user in the conversation; repeated and older ids change nothing. */
bool reconcile_user_message(struct reconcile *r, uint64_t id, struct reconcile_word *ret);
/* The app has come to its end, or the workspace stops. */
bool reconcile_ended(
    struct reconcile *r, enum app_state state, const char *message, struct reconcile_word *ret);

#endif
