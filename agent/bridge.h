/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h - an app that speaks AgentAPI: watch it, hand it the prompt and messages, mirror its
 * conversation.  The counterpart of turns.h, which runs a command per message instead.
 *
 *          bridge_begin              GET /status answers           bridge_stop
 *   IDLE --------------> CONNECTING <--------------------> LIVE ----------------> STOPPED
 *                         (1 s .. 30 s between tries)  (stream of /events broken)
 *
 * LIVE: /status and /messages answer.  /events tells what changes; while it cannot be had (tried
 * every 1 s .. 30 s), /status and /messages are asked once a second instead.
 *
 * The prompt is handed over by POST /message once the app is stable.  What was handed over is on
 * disk before and after (turn_mark.h), and whether an interrupted handing-over has succeeded is
 * read from the conversation itself, so that a prompt and a message is delivered once (rule 7).
 * Where that cannot be known any more (the app's process has begun anew and remembers nothing of
 * it) it counts as delivered: at most once.
 *
 * The conversation is mirrored as it changes, as chat messages of the task: it survives a crash of
 * the app, the agent and the workspace.  When an app starts over without its memory, its messages
 * follow the old ones instead of taking their place.
 *
 * What is said of the app is decided by reconcile.h, from its own words and from what is seen.
 *
 * All calls and callbacks on the loop's thread.
 */
#ifndef AGENT_BRIDGE_H
#define AGENT_BRIDGE_H

#include "agent/manifest.h"
#include "agent/status.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

struct bridge;

/* What became of a message; detail "" when there is no more to say. */
typedef void (*bridge_answer_fn)(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail);

struct bridge_conf {
    struct loop *loop;
    struct manifest *manifest;
    struct status *status;
    int state_dir;   /* open; marks and the mirror's position are kept there */
    const char *url; /* of AgentAPI, e.g. http://localhost:3284 */
    bridge_answer_fn on_answer;
    /* It may have become able or unable to take a message: see bridge_is_stable(). */
    loop_fn on_stable;
    void *arg;
};

/* `conf` is copied, what it points to borrowed. */
enum err must_check bridge_new(
    const struct bridge_conf *conf, struct bridge **ret_bridge, struct errctx *ctx);
void bridge_free(struct bridge *b);

/* The workspace is ready: connect, deliver the prompt if it was not yet. */
void bridge_begin(struct bridge *b);
/* The process of the app has been started, for the first time or again; it has ended.  Only one
 * that is not started again within BRIDGE_ENDED_MS is said to have ended. */
#define BRIDGE_ENDED_MS 2500
void bridge_app_started(struct bridge *b);
void bridge_app_ended(struct bridge *b, int wait_status);

/* The app's own word on how it is doing; errors as of status_app_says(). */
enum err must_check bridge_app_says(struct bridge *b, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx);

/* A message that has not been handed over before.  on_answer() follows: NONE taken; APP_BUSY;
 * APP_UNREACHABLE; APP_REJECTED with what the app said. */
void bridge_message(struct bridge *b, const struct uuid *send_id, const char *content, size_t n);
/* A message would be taken now. */
bool bridge_is_stable(const struct bridge *b);
/* The app has had this message, in this life or an earlier one; it may have had it, and that will
 * be known later. */
bool bridge_has_taken(const struct bridge *b, const struct uuid *send_id);
bool bridge_may_have_taken(const struct bridge *b, const struct uuid *send_id);

/* Read the conversation a last time (2 s at most), say what is left to say.  stopped(arg) follows,
 * never from inside this call.  To be called while the app still runs. */
void bridge_stop(struct bridge *b, loop_fn stopped, void *arg);

#endif
