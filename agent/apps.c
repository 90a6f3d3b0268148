/* SPDX-License-Identifier: Apache-2.0 */
/* Apps: start, watch the end, start again. */
#include "agent/apps.h"

#include <stdlib.h>

#include "agent/app_env.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define DELAY_MS       1000
#define DELAY_STEPS    6 /* 60 times the first, about */
#define DELAY_FACTOR   60
#define STEADY_FACTOR  60
#define EXIT_NOT_FOUND (127 << 8) /* what a shell says of a program that is not there */

struct app {
    struct apps *apps;
    const struct manifest_app *m;
    struct app_env env;
    struct child *child; /* NULL: it does not run */
    struct log_pipe *pipe;
    struct timer *again;
    unsigned n_failures; /* since it has last run for long */
    int64_t started_mono_ms;
};

struct apps {
    struct apps_conf conf;
    struct app *v;
    size_t n;
    bool is_stopping;
};

static void on_again(void *arg);
static void on_exit_of_app(void *arg, int wait_status);

static void app_init(struct apps *a, struct app *app, const struct manifest_app *m)
{
    const struct apps_conf *conf = &a->conf;
    app->apps = a;
    app->m = m;
    app->again = timer_new(conf->loop, on_again, app);
    app_env_init(&app->env, conf->manifest, &m->env, conf->control_path);
    if (conf->prompt_file != NULL)
        app_env_add_prompt(&app->env, conf->manifest->prompt, conf->prompt_file);
}

struct apps *apps_new(const struct apps_conf *conf)
{
    struct apps *a = mem_alloc(sizeof(*a));
    a->conf = *conf;
    if (a->conf.delay_ms == 0)
        a->conf.delay_ms = DELAY_MS;
    a->n = conf->manifest->n_apps;
    a->v = mem_calloc(a->n, sizeof(*a->v));
    for (size_t i = 0; i < a->n; i++)
        app_init(a, &a->v[i], &conf->manifest->apps[i]);
    return a;
}

void apps_free(struct apps *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n; i++) {
        struct app *app = &a->v[i];
        if (app->child != NULL) {
            child_forget(app->child);
            log_pipe_settle(app->pipe);
        }
        timer_free(app->again);
        app_env_done(&app->env);
    }
    free(a->v);
    free(a);
}

/* ---- its end ---- */

static bool wants_restart(const struct app *app, int wait_status)
{
    if (app->apps->is_stopping || app->m->restart == RESTART_NEVER)
        return false;
    return app->m->restart == RESTART_ALWAYS || !child_has_succeeded(wait_status);
}

static int64_t delay_ms(const struct app *app)
{
    int64_t first = app->apps->conf.delay_ms;
    return app->n_failures >= DELAY_STEPS ? first * DELAY_FACTOR : first << app->n_failures;
}

static void start_later(struct app *app, const char *how)
{
    int64_t ms = delay_ms(app);
    app->n_failures++;
    agent_log_say(app->apps->conf.log, app->m->slug, "warn",
        "The app has ended (%s); it is started again in %g s.", how, (double)ms / 1000);
    timer_start(app->again, ms, 0);
}

static void has_ended(struct app *app, int wait_status, const char *how)
{
    struct apps_conf *conf = &app->apps->conf;
    bool is_started_again = wants_restart(app, wait_status);
    if (is_started_again)
        start_later(app, how);
    else if (!app->apps->is_stopping)
        agent_log_say(conf->log, app->m->slug, child_has_succeeded(wait_status) ? "info" : "error",
            "The app has ended (%s).", how);
    conf->on_ended(conf->arg, app->m, wait_status, is_started_again);
}

static void on_exit_of_app(void *arg, int wait_status)
{
    struct app *app = arg;
    app->child = NULL;
    log_pipe_settle(app->pipe);
    app->pipe = NULL;
    if (clock_mono_ms() - app->started_mono_ms >= app->apps->conf.delay_ms * STEADY_FACTOR)
        app->n_failures = 0;
    char how[CHILD_END_TEXT_MAX];
    child_end_text(wait_status, how);
    log_info("an app has ended app=%s wait_status=%d", app->m->slug, wait_status);
    has_ended(app, wait_status, how);
}

/* ---- its beginning ---- */

static void start(struct app *app)
{
    struct apps_conf *conf = &app->apps->conf;
    const struct child_spec spec = {.argv = app->m->command,
        .env = app->env.v.v,
        .dir = app->m->dir != NULL ? app->m->dir : conf->manifest->dir,
        .on_exit = on_exit_of_app,
        .arg = app};
    struct errctx ctx = {0};
    int fd;
    app->started_mono_ms = clock_mono_ms();
    if (children_start(conf->children, &spec, &app->child, &fd, &ctx) != ERR_OK) {
        has_ended(app, EXIT_NOT_FOUND, ctx.text);
        return;
    }
    app->pipe = agent_log_read(conf->log, app->m->slug, fd, NULL);
    log_info("an app has started app=%s pid=%d", app->m->slug, (int)child_pid(app->child));
    conf->on_started(conf->arg, app->m);
}

static void on_again(void *arg)
{
    start(arg);
}

void apps_start(struct apps *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].m->command != NULL)
            start(&a->v[i]);
}

void apps_stop(struct apps *a)
{
    a->is_stopping = true;
    for (size_t i = 0; i < a->n; i++)
        timer_stop(a->v[i].again);
}
