/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile.h - one state out of two witnesses: what the app says of itself, and what its screen
 * shows (AgentAPI's `running` and `stable`).  Pure: no I/O, no clock.
 *
 * Coder's rules, and where they are bettered:
 *   - a self-reported `idle` is `working` while the screen still runs; when the screen comes to
 *     rest it is `idle`, with the message that came with it.
 *   - a screen that comes to rest is `idle`, unless the app has said complete or failure since the
 *     last message: then that.
 *   - a message from the user is `working`.
 *   - a screen that starts to move again without a message is `working` too (Coder left `idle`).
 *   - an empty summary inherits the one before, and its link.
 *   - exact repetitions are not said again.
 *   - an app whose process has ended is never left `working`.
 *
 * As rows (a screen of which nothing is known counts as one at rest):
 *
 *   event                       what is known                  what is said
 *   app: working, complete,     -                              that
 *        failure
 *   app: idle                   screen runs                    working
 *                               screen rests                   idle
 *   app: working, idle          the process has ended          nothing
 *   screen runs                 it is the first that is seen   working, unless complete or failure
 *                               it was at rest                 nothing yet: it may have flickered
 *                               said again: it still runs      working, unless the app has spoken
 *   screen rests                it ran, or nothing is known    the app's complete or failure,
 *                                                              else idle
 *                               said again: it still rests     the same, if `working` was said
 *   message of the user         it is new                      working
 *                               the app has answered already   nothing
 *   ended                       -                              what it says
 *
 * So the watcher says the screen's state when it changes, and again when it has held for a while:
 * a screen that is painted anew once a minute says nothing, one that goes on by itself does; an app
 * that says `working` while nothing moves is believed for a while, not for ever.
 */
#ifndef AGENT_RECONCILE_H
#define AGENT_RECONCILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/status.h"

#define RECONCILE_MESSAGE_MAX 160

struct reconcile_word {
    enum app_state state;
    /* Borrowed from the reconcile, until its next event; the message is "" when nobody has ever
     * given one. */
    const char *message, *uri;
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
/* A message is being handed over.  What the app says from now on it says of that message, even if
 * it is so quick that the message shows in the conversation only afterwards. */
void reconcile_hands_over(struct reconcile *r);
/* It was not taken after all. */
void reconcile_took_back(struct reconcile *r);
/* The app has come to its end, or the workspace stops. */
bool reconcile_ended(
    struct reconcile *r, enum app_state state, const char *message, struct reconcile_word *ret);

/* Messages of the user up to this id belong to the past. */
void reconcile_skip_user_messages(struct reconcile *r, uint64_t id);
/* Nobody sees the screen now. */
void reconcile_lost_sight(struct reconcile *r);

#endif
