/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reporter.c - a queue; its head is on its way.
 *
 * A report whose caller has lost interest is dropped while it waits; one that is on its way goes
 * on, and only its answer is dropped.
 */
#include "agent/mcp/reporter.h"

#include <stdlib.h>
#include <string.h>

#include "agent/mcp/control_client.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#define RETRY_MS 200

struct item {
    struct mcp_job job;
    struct list link;
    char *line;              /* for the control socket */
    json_t *body;            /* for the gateway */
    mcp_report_done_fn done; /* NULL: nobody waits */
    void *arg;
    int64_t until_mono_ms; /* 0: not tried yet */
};

struct mcp_reporter {
    struct mcp_reporter_conf conf;
    struct list queue;
    struct timer *again;
    struct control_call *control;
    struct mcp_job *rest;
    bool is_revoked;
};

static struct item *head_of(struct mcp_reporter *r)
{
    return list_is_empty(&r->queue) ? NULL : container_of(r->queue.next, struct item, link);
}

static void item_free(struct item *it)
{
    list_unlink(&it->link);
    free(it->line);
    json_decref(it->body);
    free(it);
}

static bool is_on_its_way(const struct item *it)
{
    return it->until_mono_ms != 0;
}

/* ---- the head's fate ---- */

static void finish(struct mcp_reporter *r, enum err e, const char *text)
{
    struct item *it = head_of(r);
    mcp_report_done_fn done = it->done;
    void *arg = it->arg;
    item_free(it);
    if (e != ERR_OK)
        log_warn("report was not taken err=%s cause=%s", err_name(e), LOG_Q(text));
    timer_start(r->again, 0, 0); /* the next one; not from inside of done() */
    if (done != NULL)
        done(arg, e, text);
}

static void give_up(struct mcp_reporter *r)
{
    r->is_revoked = true;
    finish(r, ERR_UNAUTHORIZED,
        "stop reporting: the agent's token is not valid any more; its workspace has been stopped, "
        "deleted or started anew");
}

static void finish_or_retry(struct mcp_reporter *r, bool may_retry, enum err e, const char *text)
{
    if (e == ERR_UNAUTHORIZED)
        give_up(r);
    else if (e != ERR_OK && may_retry && clock_mono_ms() + RETRY_MS < head_of(r)->until_mono_ms)
        timer_start(r->again, RETRY_MS, 0);
    else
        finish(r, e, text);
}

static void on_control(void *arg, enum err e, const char *text, bool was_answered)
{
    struct mcp_reporter *r = arg;
    r->control = NULL;
    /* Said twice is no harm: the agent drops what it has heard last. */
    finish_or_retry(r, !was_answered || e == ERR_FULL, e, text);
}

static enum err err_of_status(int status)
{
    return status == 200                    ? ERR_OK
           : status == 401 || status == 403 ? ERR_UNAUTHORIZED
           : status == 429 || status == 503 ? ERR_FULL
           : status >= 500                  ? ERR_FAILED
                                            : ERR_INVALID;
}

static void on_rest(void *arg, const struct mcp_reply *reply)
{
    struct mcp_reporter *r = arg;
    r->rest = NULL;
    if (reply->code != ERR_OK) {
        finish_or_retry(r, reply->code == ERR_UNAVAILABLE, reply->code, reply->why);
        return;
    }
    const char *message = json_string_value(json_object_get(reply->body, "message"));
    const char *detail = json_string_value(json_object_get(reply->body, "detail"));
    enum err e = err_of_status(reply->status);
    const char *text = e == ERR_OK       ? ""
                       : detail != NULL  ? detail
                       : message != NULL ? message
                                         : err_text(e);
    finish_or_retry(r, e == ERR_FULL, e, text);
}

/* ---- the head's way ---- */

static void attempt(struct mcp_reporter *r, struct item *it)
{
    if (r->conf.socket_path != NULL) {
        r->control = control_call_start(
            r->conf.loop, r->conf.socket_path, it->line, REPORTER_ATTEMPT_MS, on_control, r);
        return;
    }
    const struct mcp_ask ask = {
        .method = "PATCH", .path = "/api/v2/workspaceagents/me/app-status", .body = it->body};
    r->rest = rest_ask(r->conf.rest, &ask, on_rest, r);
}

static void go_on(void *arg)
{
    struct mcp_reporter *r = arg;
    struct item *it = head_of(r);
    if (it == NULL || r->control != NULL || r->rest != NULL)
        return;
    if (it->until_mono_ms == 0)
        it->until_mono_ms = clock_mono_ms() + r->conf.patience_ms;
    if (r->is_revoked)
        give_up(r);
    else
        attempt(r, it);
}

static void cancel(struct mcp_job *job)
{
    struct item *it = container_of(job, struct item, job);
    if (is_on_its_way(it))
        it->done = NULL;
    else
        item_free(it);
}

struct mcp_job *reporter_report(struct mcp_reporter *r, const struct mcp_report *report,
    mcp_report_done_fn done, void *done_arg)
{
    struct item *it = mem_alloc(sizeof(*it));
    it->job.cancel = cancel;
    it->done = done;
    it->arg = done_arg;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:s}", "op", "report", "state", report->state,
        "message", report->summary, "uri", report->link, "slug", r->conf.slug);
    it->line = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    it->body = json_pack("{s:s, s:s, s:s, s:s}", "app_slug", r->conf.slug, "state", report->state,
        "message", report->summary, "uri", report->link);
    bool is_first = list_is_empty(&r->queue);
    list_append(&r->queue, &it->link);
    if (is_first)
        timer_start(r->again, 0, 0);
    return &it->job;
}

/* ---- life ---- */

struct mcp_reporter *reporter_new(const struct mcp_reporter_conf *conf)
{
    struct mcp_reporter *r = mem_alloc(sizeof(*r));
    r->conf = *conf;
    if (r->conf.patience_ms == 0)
        r->conf.patience_ms = REPORTER_PATIENCE_MS;
    list_init(&r->queue);
    r->again = timer_new(conf->loop, go_on, r);
    return r;
}

void reporter_free(struct mcp_reporter *r)
{
    if (r == NULL)
        return;
    if (r->control != NULL)
        control_call_cancel(r->control);
    if (r->rest != NULL)
        r->rest->cancel(r->rest);
    list_for_safe(it, &r->queue) item_free(container_of(it, struct item, link));
    timer_free(r->again);
    free(r);
}
