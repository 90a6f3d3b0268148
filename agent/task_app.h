/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_app.h - the task's app behind one door: a command per message (turns.h), or an app that
 * speaks AgentAPI (bridge.h); and the messages that wait for it (inbox.h).
 *
 * All calls and callbacks on the loop's thread.
 */
#ifndef AGENT_TASK_APP_H
#define AGENT_TASK_APP_H

#include "agent/child.h"
#include "agent/manifest.h"
#include "agent/status.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

struct task_app;

/* What became of a message; may be called from inside task_app_message() and _withdraw(). */
typedef void (*task_app_answer_fn)(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail);

struct task_app_conf {
    struct loop *loop;
    struct manifest *manifest; /* its prompt is freed once it is not needed any more */
    struct status *status;
    struct children *children;
    int state_dir;            /* open; what was delivered is kept there */
    const char *run_dir;      /* prompts are handed over in files there */
    const char *control_path; /* for the environment of turns */
    task_app_answer_fn answer;
    loop_fn hear_out; /* says what the app has said and is held back: before its end is said */
    void *arg;
};

/* `conf` is copied, what it points to borrowed. */
enum err must_check task_app_new(
    const struct task_app_conf *conf, struct task_app **ret_app, struct errctx *ctx);
/* It has stopped, or was never begun. */
void task_app_free(struct task_app *t);

/* The workspace is ready: the prompt, if it was not delivered before. */
void task_app_begin(struct task_app *t);
/* Its process, if apps.h runs one. */
void task_app_started(struct task_app *t);
void task_app_ended(struct task_app *t, int wait_status);

/* Its own word; errors as of status_app_says(). */
enum err must_check task_app_says(struct task_app *t, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx);

/* As inbox.h has it: answered by answer(), now or later. */
void task_app_message(struct task_app *t, const struct uuid *send_id, const char *content, size_t n,
    bool when_stable);
void task_app_withdraw(struct task_app *t, const struct uuid *send_id);

/* To be called at the end of each turn of the loop. */
void task_app_pump(struct task_app *t);

/* Stopping, in this order.  No message is taken any more; what is to be learned from the app while
 * it runs is learned, then settled(arg); its processes are ended by the caller (children_end())
 * from now on, stopped(arg) follows when what that came to is said.  None from inside the call. */
void task_app_close(struct task_app *t);
void task_app_settle(struct task_app *t, loop_fn settled, void *arg);
void task_app_stop(struct task_app *t, loop_fn stopped, void *arg);

#endif
