/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turns.h - the command, run once per prompt or message.
 *
 *            prompt, message                exit                 its output is said
 *   STABLE ------------------> RUNNING ------------> DRAINING ------------------> STABLE
 *             (mark on disk)
 *
 * At most one turn at a time.  A turn is marked on disk before its command is run and never run
 * again (rule 7).  What is said about it:
 *
 *   begin          working   "Working on it."
 *   the app        anything  through the control socket, as it likes; but `idle` is working, with
 *                            its message, until the turn has ended: nobody is shown an app at
 *                            rest that runs
 *   end, exit 0    the app's own last word of this turn if that was complete, idle or failure;
 *                  else      complete  "<last line of output>", or "Done."
 *   end, exit N    failure   "exit status N: <last line of output>"
 *   stop           idle      "Paused while working.", unless the app completed within its grace
 */
#ifndef AGENT_TURNS_H
#define AGENT_TURNS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/child.h"
#include "agent/manifest.h"
#include "agent/status.h"
#include "core/base/err.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

struct turns;

struct turns_conf {
    struct loop *loop;
    struct manifest *manifest; /* its prompt is freed once it is not needed any more */
    struct status *status;
    struct children *children;
    int state_dir;            /* open; the marks are kept there */
    const char *run_dir;      /* prompts are handed over in files there */
    const char *control_path; /* for STINT_AGENT_SOCKET */
    loop_fn hear_out;         /* says what the app has said and is held back; NULL: nothing is */
    void *arg;
};

/* `conf` is copied, what it points to borrowed.  Reads the marks. */
enum err must_check turns_new(
    const struct turns_conf *conf, struct turns **ret_turns, struct errctx *ctx);
/* No turn is running. */
void turns_free(struct turns *t);

/* What this start asks for: runs the prompt (as soon as the disk takes its mark), or says why it
 * does not. */
void turns_begin(struct turns *t);

/* A message.  NONE: taken, its turn runs, or did before.  APP_BUSY during a turn; APP_REJECTED with
 * a sentence in `detail` when it cannot be run; the same answer for the same send_id.  OVERLOADED
 * when the disk does not take it: nothing has happened, the same one may be taken later. */
struct turn_answer {
    enum refusal code;
    char detail[160];
};
struct turn_answer turns_message(
    struct turns *t, const struct uuid *send_id, const char *content, size_t n);

/* This message has been run, in this life or an earlier one. */
bool turns_have_taken(const struct turns *t, const struct uuid *send_id);

/* No turn is running: a message would be taken. */
bool turns_are_stable(const struct turns *t);

/* The app says something of itself; errors as of status_app_says(). */
enum err must_check turns_app_says(struct turns *t, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx);

/* Go on with output that waited for room. */
void turns_pump(struct turns *t);

/* Take nothing more.  Whoever calls this ends the processes (children_end()); stopped(arg) follows
 * when the running turn, if any, has ended and been reported, never from inside this call. */
void turns_stop(struct turns *t, loop_fn stopped, void *arg);

#endif
