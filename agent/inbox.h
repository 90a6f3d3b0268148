/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox.h - messages for the app, from the session to whoever runs the app (turns.h or bridge.h).
 *
 * A message may come any number of times and gets the same answer each time.  One that is to wait
 * (when_stable) is kept here until the app is stable; the control plane keeps it too, and sends it
 * again should this process die, so nothing here needs a disk.  APP_UNREACHABLE and OVERLOADED are
 * no last word for such a message: it may come again and is tried again.  One that is not to wait
 * is answered APP_BUSY unless the app can take it at once.
 *
 *             inbox_message            stable, turn mark           app has it
 *   (unknown) --------------> WAITING ------------------> TAKING ------------> answered NONE
 *                                | withdraw
 *                                v
 *                            answered WITHDRAWN, for good
 *
 * Bounded: INBOX_MAX messages wait; beyond, OVERLOADED (it comes again).
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_INBOX_H
#define AGENT_INBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

#define INBOX_MAX 64

struct inbox;

/* Hand it over; inbox_answered() follows, from inside or later. */
typedef void (*inbox_deliver_fn)(
    void *arg, const struct uuid *send_id, const char *content, size_t n);
/* The app can take a message now. */
typedef bool (*inbox_is_stable_fn)(void *arg);
/* The app has had this one, in this life or an earlier one (turn_mark.h). */
typedef bool (*inbox_has_taken_fn)(void *arg, const struct uuid *send_id);
/* For the control plane.  May be called from inside inbox_message() and inbox_withdraw(). */
typedef void (*inbox_answer_fn)(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail);

struct inbox_conf {
    inbox_deliver_fn deliver;
    inbox_is_stable_fn is_stable;
    inbox_has_taken_fn has_taken;
    /* It may have had it, and that will be known later.  May be NULL. */
    inbox_has_taken_fn may_have_taken;
    inbox_answer_fn answer;
    void *arg;
};

struct inbox *inbox_new(const struct inbox_conf *conf);
void inbox_free(struct inbox *i);

void inbox_message(
    struct inbox *i, const struct uuid *send_id, const char *content, size_t n, bool when_stable);
/* Answered WITHDRAWN: the app has not had it and never will; NONE: it has.  Not at all while nobody
 * knows: the wish comes again. */
void inbox_withdraw(struct inbox *i, const struct uuid *send_id);
/* What became of the message that deliver() was given. */
void inbox_answered(
    struct inbox *i, const struct uuid *send_id, enum refusal code, const char *detail);
/* The app may be stable now: the oldest that waits goes.  At the end of each turn of the loop.
 * Whoever answers APP_BUSY is not stable for a while. */
void inbox_pump(struct inbox *i);
/* The workspace stops: nothing is taken any more; what waits is not answered, it is for the next
 * start. */
void inbox_close(struct inbox *i);

#endif
