/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's parts on one loop.  After each turn of the loop what has gathered goes out (pump).
 *
 * Stopping:  TERM to all, grace, KILL  ->  the turn is reported  ->  "off"  ->  the last reports
 * are handed over, for two seconds at most  ->  the loop ends, and with pid 1 the sandbox.
 */
#include "agent/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/control.h"
#include "agent/file.h"
#include "agent/manifest.h"
#include "agent/reports.h"
#include "agent/session.h"
#include "agent/status.h"
#include "agent/turns.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"

/* After the last process is gone: to say what the turn came to; then to hand the reports over. */
#define TURN_END_MS 1000
#define FLUSH_MS    2000

enum lifecycle {
    LIFECYCLE_CREATED,
    LIFECYCLE_STARTING,
    LIFECYCLE_READY,
    LIFECYCLE_SHUTTING_DOWN,
    LIFECYCLE_OFF,
};

static const char *const lifecycle_names[] = {
    [LIFECYCLE_CREATED] = "created",
    [LIFECYCLE_STARTING] = "starting",
    [LIFECYCLE_READY] = "ready",
    [LIFECYCLE_SHUTTING_DOWN] = "shutting_down",
    [LIFECYCLE_OFF] = "off",
};

static const struct transition {
    enum lifecycle from, to;
    const char *reason;
} transitions[] = {
#define TRANSITION(from, to, reason) {LIFECYCLE_##from, LIFECYCLE_##to, reason},
#include "agent/lifecycle.def"
};

/* Signals that are meant for the app. */
static const int forwarded[] = {SIGHUP, SIGUSR1, SIGUSR2};

struct supervisor {
    struct manifest *manifest;
    char *run_dir, *control_path;
    int state_dir;
    struct loop *loop;
    uv_signal_t signals[COUNT(forwarded)];
    struct children *children;
    struct reports *reports;
    struct status *status;
    struct turns *turns;
    struct control *control;
    struct session *session;
    enum lifecycle lifecycle;
    bool turns_are_over, children_are_gone;
    struct timer *deadline; /* of the step of stopping that is going on */
};

/* ---- life cycle ---- */

/* The one place that writes ->lifecycle. */
static void move(struct supervisor *s, enum lifecycle to)
{
    const struct transition *t = transitions;
    while (t < transitions + COUNT(transitions) && (t->from != s->lifecycle || t->to != to))
        t++;
    assert(t < transitions + COUNT(transitions));
    log_info("lifecycle %s from=%s to=%s", t->reason, lifecycle_names[s->lifecycle],
        lifecycle_names[to]);
    s->lifecycle = to;
    status_lifecycle(s->status, lifecycle_names[to]);
}

/* ---- stopping ---- */

/* Whatever has been said: nothing works in a workspace that has stopped. */
static void say_paused(struct supervisor *s)
{
    enum app_state last;
    if (status_last(s->status, &last) && last == APP_WORKING)
        status_app(s->status, APP_IDLE, "Paused while working.");
}

static void go_off(struct supervisor *s)
{
    say_paused(s);
    move(s, LIFECYCLE_OFF);
    control_free(steal(s->control));
    timer_start(s->deadline, FLUSH_MS, 0);
}

static void on_deadline(void *arg)
{
    struct supervisor *s = arg;
    if (s->lifecycle == LIFECYCLE_OFF) {
        log_warn("the last reports were not taken in time, they stay on disk left=%llu",
            (unsigned long long)(reports_last(s->reports) - reports_committed(s->reports)));
        loop_stop(s->loop);
    } else {
        go_off(s);
    }
}

static void on_stopped(struct supervisor *s)
{
    if (s->turns_are_over && s->children_are_gone && s->lifecycle == LIFECYCLE_SHUTTING_DOWN)
        go_off(s);
}

static void on_turns_over(void *arg)
{
    struct supervisor *s = arg;
    s->turns_are_over = true;
    on_stopped(s);
}

static void on_children_gone(void *arg)
{
    struct supervisor *s = arg;
    s->children_are_gone = true;
    timer_start(s->deadline, TURN_END_MS, 0);
    on_stopped(s);
}

static void stop(struct supervisor *s)
{
    if (s->lifecycle >= LIFECYCLE_SHUTTING_DOWN)
        return;
    move(s, LIFECYCLE_SHUTTING_DOWN);
    turns_stop(s->turns, on_turns_over, s);
    children_end(s->children, s->manifest->grace_ms, on_children_gone, s);
}

static void on_terminate(void *arg)
{
    stop(arg);
}

static void on_superseded(void *arg)
{
    log_warn("a later build has taken this agent's place, stopping");
    stop(arg);
}

/* ---- what comes in ---- */

static void on_forwarded(uv_signal_t *handle, int number)
{
    struct supervisor *s = handle->data;
    children_signal(s->children, number);
}

static enum err on_report(
    void *arg, const char *state, const char *message, const char *uri, struct errctx *ctx)
{
    struct supervisor *s = arg;
    enum app_state known;
    enum err e = status_check_state(state, &known, ctx);
    if (e == ERR_OK)
        e = status_app_says(s->status, known, message, uri, ctx);
    if (e == ERR_OK)
        turns_note(s->turns, known);
    return e;
}

static void on_message(
    void *arg, const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    struct supervisor *s = arg;
    (void)when_stable;
    struct turn_answer answer = turns_message(s->turns, send_id, content, n);
    session_answer(s->session, send_id, answer.code, answer.detail);
}

/* Every message is answered as it comes: none waits. */
static void on_withdraw(void *arg, const struct uuid *send_id)
{
    struct supervisor *s = arg;
    session_answer(s->session, send_id,
        turns_have_taken(s->turns, send_id) ? REFUSAL_NONE : REFUSAL_WITHDRAWN, "");
}

static void on_turn_of_loop(void *arg)
{
    struct supervisor *s = arg;
    turns_pump(s->turns);
    session_pump(s->session);
    if (s->lifecycle == LIFECYCLE_OFF && session_is_settled(s->session))
        loop_stop(s->loop);
}

/* ---- boot ---- */

static enum err open_state_dir(struct supervisor *s, const char *manifest, struct errctx *ctx)
{
    scoped_free char *path = mem_strdup(manifest);
    enum err e = file_open_dir(dirname(path), &s->state_dir, ctx);
    if (e == ERR_OK && unlinkat(s->state_dir, "started", 0) != 0 && errno != ENOENT)
        return err_set(ctx, ERR_IO, "cannot remove the old \"started\": %s", strerror(errno));
    return e;
}

static enum err make_run_dir(struct supervisor *s, const char *path, struct errctx *ctx)
{
    if ((mkdir(path, 0700) != 0 && errno != EEXIST) || chmod(path, 0700) != 0)
        return err_set(ctx, file_err(errno), "%s: %s", path, strerror(errno));
    /* The command is told of it and runs elsewhere. */
    s->run_dir = realpath(path, NULL);
    if (s->run_dir == NULL)
        return err_set(ctx, ERR_IO, "%s: %s", path, strerror(errno));
    struct strbuf control;
    strbuf_init(&control);
    strbuf_addf(&control, "%s/agent.sock", s->run_dir);
    s->control_path = strbuf_detach(&control);
    return ERR_OK;
}

static void watch_signals(struct supervisor *s)
{
    loop_on_terminate(s->loop, on_terminate, s);
    for (size_t i = 0; i < COUNT(forwarded); i++) {
        s->signals[i].data = s;
        uv_signal_init(loop_uv(s->loop), &s->signals[i]);
        uv_signal_start(&s->signals[i], on_forwarded, forwarded[i]);
    }
}

static void open_loop(struct supervisor *s)
{
    s->loop = loop_new();
    s->deadline = timer_new(s->loop, on_deadline, s);
    s->children = children_new(s->loop);
    watch_signals(s);
}

static enum err open_turns(struct supervisor *s, struct errctx *ctx)
{
    enum err e = reports_open(s->state_dir, &s->manifest->agent_id, &s->reports, ctx);
    if (e != ERR_OK)
        return e;
    s->status = status_new(s->reports, s->manifest->app_slug);
    move(s, LIFECYCLE_STARTING);
    struct turns_conf conf = {.loop = s->loop,
        .manifest = s->manifest,
        .status = s->status,
        .children = s->children,
        .state_dir = s->state_dir,
        .run_dir = s->run_dir,
        .control_path = s->control_path};
    return turns_new(&conf, &s->turns, ctx);
}

static void open_session(struct supervisor *s)
{
    struct session_conf conf = {.loop = s->loop,
        .reports = s->reports,
        .agent_id = s->manifest->agent_id,
        .token = s->manifest->agent_token,
        .workers_dir = s->manifest->workers_dir,
        .on_message = on_message,
        .on_withdraw = on_withdraw,
        .on_superseded = on_superseded,
        .arg = s};
    s->session = session_new(&conf);
    loop_on_turn(s->loop, on_turn_of_loop, s);
}

static enum err boot(
    struct supervisor *s, const struct supervisor_options *options, struct errctx *ctx)
{
    enum err e = manifest_load(options->manifest, &s->manifest, ctx);
    if (e == ERR_OK)
        e = open_state_dir(s, options->manifest, ctx);
    if (e == ERR_OK)
        e = make_run_dir(s, options->run_dir, ctx);
    if (e != ERR_OK)
        return e;
    open_loop(s);
    e = open_turns(s, ctx);
    if (e == ERR_OK)
        e = control_listen(s->loop, s->control_path, on_report, s, &s->control, ctx);
    if (e != ERR_OK)
        return e;
    struct uuid_str build_id = uuid_format(&s->manifest->build_id);
    e = file_replace(s->state_dir, "started", build_id.s, strlen(build_id.s), ctx);
    if (e == ERR_OK)
        open_session(s);
    return e;
}

static void log_ready(const struct supervisor *s)
{
    const struct manifest *m = s->manifest;
    log_info("ready agent=%s task=%s build=%s build_number=%lld pid=%d workers=%s",
        uuid_format(&m->agent_id).s, uuid_format(&m->task_id).s, uuid_format(&m->build_id).s,
        (long long)m->build_number, (int)getpid(), m->workers_dir);
}

/* ---- the end ---- */

static void close_loop(struct supervisor *s)
{
    for (size_t i = 0; i < COUNT(s->signals); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    timer_free(s->deadline);
    children_free(s->children);
    loop_free(s->loop);
}

static void done(struct supervisor *s)
{
    if (s->reports != NULL && reports_is_syncing(s->reports))
        return; /* the disk hangs: the process ends as it is */
    session_free(s->session);
    control_free(s->control);
    turns_free(s->turns);
    status_free(s->status);
    reports_free(s->reports);
    if (s->loop != NULL)
        close_loop(s);
    if (s->state_dir >= 0)
        close(s->state_dir);
    free(s->control_path);
    free(s->run_dir);
    manifest_free(s->manifest);
}

enum err supervisor_run(const struct supervisor_options *options, struct errctx *ctx)
{
    struct supervisor s = {.state_dir = -1};
    enum err e = boot(&s, options, ctx);
    if (e == ERR_OK) {
        log_ready(&s);
        move(&s, LIFECYCLE_READY);
        turns_begin(s.turns);
        loop_run(s.loop);
        log_info("stopped");
    }
    done(&s);
    return e;
}
