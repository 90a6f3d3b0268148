/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_private.h - the supervisor's parts on one loop: made by supervisor_boot.c, led through
 * their life by supervisor.c.
 */
#ifndef AGENT_SUPERVISOR_PRIVATE_H
#define AGENT_SUPERVISOR_PRIVATE_H

#include <signal.h>

#include "agent/agent_log.h"
#include "agent/app_env.h"
#include "agent/apps.h"
#include "agent/child.h"
#include "agent/control.h"
#include "agent/health.h"
#include "agent/lifecycle.h"
#include "agent/manifest.h"
#include "agent/metadata.h"
#include "agent/own_log.h"
#include "agent/peers.h"
#include "agent/reports.h"
#include "agent/scripts.h"
#include "agent/session.h"
#include "agent/status.h"
#include "agent/supervisor.h"
#include "agent/task_app.h"
#include "agent/words.h"

/* Signals that are meant for the apps. */
#define SUPERVISOR_FORWARDED     \
    {                            \
        SIGHUP, SIGUSR1, SIGUSR2 \
    }
#define SUPERVISOR_SIGNALS 3

struct supervisor {
    struct manifest *manifest;
    char *run_dir, *control_path;
    char *prompt_file; /* NULL: the apps are not told the prompt */
    int state_dir;
    struct loop *loop;
    uv_signal_t signals[SUPERVISOR_SIGNALS];
    struct children *children;
    struct reports *reports;
    struct status *status; /* of the task's app */
    struct agent_log *log;
    struct own_log *own_log;
    struct app_env env; /* of scripts and metadata */
    struct task_app *task_app;
    struct words *words;
    struct scripts *scripts;
    struct apps *apps;
    struct metadata *metadata;
    struct health **health; /* one per app, NULL where there is no check */
    struct control *control;
    struct session *session;
    struct peers *peers; /* NULL: the sockets of this host */

    enum lifecycle lifecycle;
    enum lifecycle last; /* what it will come to */
    bool task_app_is_over, children_are_gone;
    int64_t stop_mono_ms;   /* when it was told to stop */
    struct timer *deadline; /* of the step of stopping that is going on */
};

/* Everything is made and nothing runs yet; "started" is written.  What it has made on an error is
 * released by supervisor_close(). */
enum err must_check supervisor_open(
    struct supervisor *s, const struct supervisor_options *options, struct errctx *ctx);
void supervisor_close(struct supervisor *s);

/* Called by the parts; `arg` is the supervisor. */
void supervisor_on_terminate(void *arg);
void supervisor_on_superseded(void *arg);
void supervisor_on_forwarded(uv_signal_t *handle, int number);
enum err supervisor_on_report(void *arg, const struct control_report *report, struct errctx *ctx);
enum err supervisor_on_word(
    void *arg, enum app_state state, const char *message, const char *uri, struct errctx *ctx);
void supervisor_on_message(
    void *arg, const struct uuid *send_id, const char *content, size_t n, bool when_stable);
void supervisor_on_withdraw(void *arg, const struct uuid *send_id);
void supervisor_hear_out(void *arg);
void supervisor_on_answer(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail);
void supervisor_on_app_started(void *arg, const struct manifest_app *app);
void supervisor_on_app_ended(
    void *arg, const struct manifest_app *app, int wait_status, bool is_started_again);
void supervisor_on_turn_of_loop(void *arg);
void supervisor_on_deadline(void *arg);

/* The one place that writes ->lifecycle. */
void supervisor_move(struct supervisor *s, enum lifecycle to);

#endif
