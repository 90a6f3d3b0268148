/* SPDX-License-Identifier: Apache-2.0 */
/* The apps' own words: checked, thinned out, passed on. */
#include "agent/words.h"

#include <stdlib.h>
#include <string.h>

#include "agent/throttle.h"
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"

struct words {
    struct words_conf conf;
    struct throttle *throttle;
    struct status **statuses; /* one per app of the manifest, in its order */
};

static bool is_task_app(const struct words *w, size_t app)
{
    const struct manifest *m = w->conf.manifest;
    return strcmp(m->apps[app].slug, m->app_slug) == 0;
}

static enum err pass_on(struct words *w, size_t app, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx)
{
    if (is_task_app(w, app))
        return w->conf.on_task_app(w->conf.arg, state, message, uri, ctx);
    return status_app_says(w->statuses[app], state, message, uri, ctx);
}

static enum err on_say(
    void *arg, size_t app, enum app_state state, const char *message, const char *uri)
{
    struct errctx ctx = {0};
    enum err e = pass_on(arg, app, state, message, uri, &ctx);
    if (e == ERR_INVALID) {
        log_warn("a kept report is not taken error=%s", LOG_Q(ctx.text));
        return ERR_OK; /* it will never be */
    }
    return e;
}

struct words *words_new(const struct words_conf *conf)
{
    struct words *w = mem_alloc(sizeof(*w));
    const struct manifest *m = conf->manifest;
    w->conf = *conf;
    w->throttle = throttle_new(conf->loop, m->n_apps, on_say, w);
    w->statuses = mem_calloc(m->n_apps, sizeof(struct status *));
    for (size_t i = 0; i < m->n_apps; i++)
        w->statuses[i] =
            is_task_app(w, i) ? conf->status : status_new(conf->reports, m->apps[i].slug);
    return w;
}

void words_free(struct words *w)
{
    if (w == NULL)
        return;
    throttle_free(w->throttle);
    for (size_t i = 0; i < w->conf.manifest->n_apps; i++)
        if (!is_task_app(w, i))
            status_free(w->statuses[i]);
    free(w->statuses);
    free(w);
}

/* ---- a report ---- */

static enum err unknown_slug(const struct manifest *m, const char *slug, struct errctx *ctx)
{
    scoped(strbuf_done) struct strbuf list;
    strbuf_init(&list);
    for (size_t i = 0; i < m->n_apps; i++)
        strbuf_addf(&list, "%s%s", i > 0 ? ", " : "", m->apps[i].slug);
    return err_set(ctx, ERR_INVALID, "no app \"%.64s\" here; there are: %s", slug, list.s);
}

static enum err find_slug(
    const struct manifest *m, const char *slug, size_t *ret_app, struct errctx *ctx)
{
    const struct manifest_app *app = manifest_find_app(m, slug != NULL ? slug : m->app_slug);
    if (app == NULL)
        return unknown_slug(m, slug, ctx);
    *ret_app = (size_t)(app - m->apps);
    return ERR_OK;
}

enum err words_report(struct words *w, const struct control_report *report, struct errctx *ctx)
{
    size_t app = 0;
    enum app_state state = APP_WORKING;
    enum err e = find_slug(w->conf.manifest, report->slug, &app, ctx);
    if (e == ERR_OK)
        e = status_check_state(report->state, &state, ctx);
    if (e == ERR_OK)
        e = status_check(report->message, report->uri, ctx);
    if (e != ERR_OK)
        return e;
    if (throttle_take(w->throttle, app))
        return pass_on(w, app, state, report->message, report->uri, ctx);
    throttle_keep(w->throttle, app, state, report->message, report->uri);
    return ERR_OK;
}

struct status *words_status(struct words *w, const struct manifest_app *app)
{
    return w->statuses[app - w->conf.manifest->apps];
}

/* ---- the end ---- */

void words_flush(struct words *w)
{
    throttle_flush(w->throttle);
}

void words_end(struct words *w)
{
    enum app_state last;
    for (size_t i = 0; i < w->conf.manifest->n_apps; i++)
        if (status_last(w->statuses[i], &last) && last == APP_WORKING)
            status_app(w->statuses[i], APP_IDLE, "Paused while working.");
}
