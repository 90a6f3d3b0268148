/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A life.  After each turn of the loop what has gathered goes out (supervisor_on_turn_of_loop).
 *
 * Starting:  the scripts that block  ->  ready, or what they came to  ->  apps and their health,
 * cron, the prompt.
 *
 * Stopping:  health, cron and metadata end, no message is taken  ->  stop scripts  ->  the last of
 * the conversation  ->  TERM to all, grace, KILL  ->  what that came to is said  ->  "off"  ->  the
 * last reports are handed over, for two seconds at most  ->  the loop ends, and with pid 1 the
 * sandbox.  From the first to KILL is the manifest's grace time: the stop scripts get three
 * quarters of it at most, the apps what is left.
 */
#include "agent/supervisor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/supervisor_private.h"
#include "core/base/clock.h"
#include "core/base/log.h"

/* After the last process is gone: to say what it came to; then to hand the reports over. */
#define SAY_END_MS 1000
#define FLUSH_MS   2000

/* ---- life cycle ---- */

void supervisor_move(struct supervisor *s, enum lifecycle to)
{
    const char *reason = lifecycle_reason(s->lifecycle, to);
    assert(reason != NULL);
    log_info(
        "lifecycle %s from=%s to=%s", reason, lifecycle_to_str(s->lifecycle), lifecycle_to_str(to));
    s->lifecycle = to;
    status_lifecycle(s->status, lifecycle_to_str(to));
}

static bool is_stopping(const struct supervisor *s)
{
    return s->lifecycle >= LIFECYCLE_SHUTTING_DOWN;
}

/* ---- starting ---- */

static void watch_health(struct supervisor *s)
{
    for (size_t i = 0; i < s->manifest->n_apps; i++) {
        const struct manifest_app *app = &s->manifest->apps[i];
        if (app->health.url == NULL)
            continue;
        scoped_free char *url = app_env_expand(s->manifest, app->health.url);
        s->health[i] = health_new(s->loop, words_status(s->words, app), url, &app->health);
    }
}

static void on_start_scripts_done(void *arg, enum scripts_outcome outcome)
{
    static const enum lifecycle states[] = {
        [SCRIPTS_OK] = LIFECYCLE_READY,
        [SCRIPTS_ERROR] = LIFECYCLE_START_ERROR,
        [SCRIPTS_TIMEOUT] = LIFECYCLE_START_TIMEOUT,
    };
    struct supervisor *s = arg;
    supervisor_move(s, states[outcome]);
    apps_start(s->apps);
    watch_health(s);
    scripts_begin_cron(s->scripts);
    task_app_begin(s->task_app);
}

static void start(struct supervisor *s)
{
    const struct metadata_conf conf = {.loop = s->loop,
        .children = s->children,
        .log = s->log,
        .status = s->status,
        .manifest = s->manifest,
        .env = s->env.v.v};
    s->metadata = metadata_new(&conf);
    scripts_start(s->scripts, on_start_scripts_done, s);
}

/* ---- stopping ---- */

static void go_off(struct supervisor *s)
{
    words_flush(s->words);
    words_end(s->words);
    supervisor_move(s, s->last);
    control_free(steal(s->control));
    timer_start(s->deadline, FLUSH_MS, 0);
}

void supervisor_on_deadline(void *arg)
{
    struct supervisor *s = arg;
    if (lifecycle_is_over(s->lifecycle)) {
        log_warn("the last reports were not taken in time, they stay on disk left=%llu",
            (unsigned long long)(reports_last(s->reports) - reports_committed(s->reports)));
        loop_stop(s->loop);
    } else {
        go_off(s);
    }
}

static void on_stopped(struct supervisor *s)
{
    if (s->task_app_is_over && s->children_are_gone && !lifecycle_is_over(s->lifecycle))
        go_off(s);
}

static void on_task_app_over(void *arg)
{
    struct supervisor *s = arg;
    s->task_app_is_over = true;
    on_stopped(s);
}

static void on_children_gone(void *arg)
{
    struct supervisor *s = arg;
    s->children_are_gone = true;
    timer_start(s->deadline, SAY_END_MS, 0);
    on_stopped(s);
}

static int64_t grace_left_ms(const struct supervisor *s)
{
    int64_t ms = s->stop_mono_ms + s->manifest->grace_ms - clock_mono_ms();
    return ms > 0 ? ms : 0;
}

static void end_processes(void *arg)
{
    struct supervisor *s = arg;
    words_flush(s->words);
    task_app_stop(s->task_app, on_task_app_over, s);
    children_end(s->children, grace_left_ms(s), on_children_gone, s);
}

static void on_stop_scripts_done(void *arg, enum scripts_outcome outcome)
{
    static const enum lifecycle states[] = {
        [SCRIPTS_OK] = LIFECYCLE_OFF,
        [SCRIPTS_ERROR] = LIFECYCLE_SHUTDOWN_ERROR,
        [SCRIPTS_TIMEOUT] = LIFECYCLE_SHUTDOWN_TIMEOUT,
    };
    struct supervisor *s = arg;
    s->last = states[outcome];
    task_app_settle(s->task_app, end_processes, s);
}

static bool begin_stop(struct supervisor *s)
{
    if (is_stopping(s))
        return false;
    s->stop_mono_ms = clock_mono_ms();
    s->last = LIFECYCLE_OFF;
    supervisor_move(s, LIFECYCLE_SHUTTING_DOWN);
    for (size_t i = 0; i < s->manifest->n_apps; i++)
        health_free(steal(s->health[i]));
    metadata_free(steal(s->metadata));
    apps_stop(s->apps);
    task_app_close(s->task_app);
    return true;
}

void supervisor_on_terminate(void *arg)
{
    struct supervisor *s = arg;
    if (begin_stop(s))
        scripts_stop(s->scripts, s->manifest->grace_ms / 4 * 3, on_stop_scripts_done, s);
}

/* What the stop scripts would tidy up is its successor's now. */
void supervisor_on_superseded(void *arg)
{
    struct supervisor *s = arg;
    log_warn("the token is worth nothing any more: a later build has taken this agent's place, or "
             "the task is gone; stopping");
    if (begin_stop(s))
        end_processes(s);
}

/* ---- what comes in ---- */

void supervisor_on_forwarded(uv_signal_t *handle, int number)
{
    struct supervisor *s = handle->data;
    children_signal(s->children, number);
}

enum err supervisor_on_report(void *arg, const struct control_report *report, struct errctx *ctx)
{
    struct supervisor *s = arg;
    return words_report(s->words, report, ctx);
}

enum err supervisor_on_word(
    void *arg, enum app_state state, const char *message, const char *uri, struct errctx *ctx)
{
    struct supervisor *s = arg;
    return task_app_says(s->task_app, state, message, uri, ctx);
}

void supervisor_on_message(
    void *arg, const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    struct supervisor *s = arg;
    task_app_message(s->task_app, send_id, content, n, when_stable);
}

void supervisor_on_withdraw(void *arg, const struct uuid *send_id)
{
    struct supervisor *s = arg;
    task_app_withdraw(s->task_app, send_id);
}

void supervisor_hear_out(void *arg)
{
    struct supervisor *s = arg;
    words_flush(s->words);
}

void supervisor_on_answer(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct supervisor *s = arg;
    session_answer(s->session, send_id, code, detail);
}

static bool is_task_app(const struct supervisor *s, const struct manifest_app *app)
{
    return strcmp(app->slug, s->manifest->app_slug) == 0;
}

void supervisor_on_app_started(void *arg, const struct manifest_app *app)
{
    struct supervisor *s = arg;
    if (is_task_app(s, app))
        task_app_started(s->task_app);
}

/* The end of an app that was told to end is no news. */
void supervisor_on_app_ended(
    void *arg, const struct manifest_app *app, int wait_status, bool is_started_again)
{
    (void)is_started_again; /* the bridge waits a moment before it believes it */
    struct supervisor *s = arg;
    if (is_task_app(s, app) && !is_stopping(s))
        task_app_ended(s->task_app, wait_status);
}

void supervisor_on_turn_of_loop(void *arg)
{
    struct supervisor *s = arg;
    task_app_pump(s->task_app);
    session_pump(s->session);
    if (lifecycle_is_over(s->lifecycle) && session_is_settled(s->session))
        loop_stop(s->loop);
}

/* ---- the whole ---- */

static void log_ready(const struct supervisor *s)
{
    const struct manifest *m = s->manifest;
    log_info("ready agent=%s task=%s build=%s build_number=%lld pid=%d workers=%s",
        uuid_format(&m->agent_id).s, uuid_format(&m->task_id).s, uuid_format(&m->build_id).s,
        (long long)m->build_number, (int)getpid(), s->peers != NULL ? "elsewhere" : m->workers_dir);
}

enum err supervisor_run(const struct supervisor_options *options, struct errctx *ctx)
{
    /* Static: when the disk hangs, what is left stays reachable to the end of the process. */
    static struct supervisor s = {.state_dir = -1};
    enum err e = supervisor_open(&s, options, ctx);
    if (e == ERR_OK) {
        log_ready(&s);
        start(&s);
        loop_run(s.loop);
        log_info("stopped");
    }
    supervisor_close(&s);
    return e;
}
