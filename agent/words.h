/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.h - what the apps say of themselves, from the control socket to who speaks for them.
 *
 *   control.h --> known slug? sound? --> throttle.h --> the task's app: on_task_app()
 *                                                  \--> another app: its own status
 *
 * Each app has a status of its own, so that repetitions and last words are told apart.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_WORDS_H
#define AGENT_WORDS_H

#include "agent/control.h"
#include "agent/manifest.h"
#include "agent/reports.h"
#include "agent/status.h"

struct words;

struct words_conf {
    struct loop *loop;
    const struct manifest *manifest;
    struct reports *reports;
    struct status *status; /* of the task's app */
    enum err (*on_task_app)(
        void *arg, enum app_state state, const char *message, const char *uri, struct errctx *ctx);
    void *arg;
};

/* `conf` is copied, what it points to borrowed. */
struct words *words_new(const struct words_conf *conf);
void words_free(struct words *w);

/* ERR_INVALID with a sentence that says what is allowed; else as status_app_says().  In a flood
 * ERR_OK: it is said when there is room, unless a newer one takes its place. */
enum err must_check words_report(
    struct words *w, const struct control_report *report, struct errctx *ctx);

/* Who speaks for the app: borrowed. */
struct status *words_status(struct words *w, const struct manifest_app *app);

/* What was kept is said now: an app has ended, or the workspace stops. */
void words_flush(struct words *w);
/* It has stopped: nothing works in it any more. */
void words_end(struct words *w);

#endif
