/* SPDX-License-Identifier: Apache-2.0 */
/* Turns or bridge, and the inbox before them. */
#include "agent/task_app.h"

#include <stdio.h>
#include <stdlib.h>

#include "agent/bridge.h"
#include "agent/inbox.h"
#include "agent/turns.h"
#include "core/base/mem.h"

struct task_app {
    struct task_app_conf conf;
    struct inbox *inbox;
    struct turns *turns; /* one of the two */
    struct bridge *bridge;
    char url[48]; /* of the bridge's AgentAPI */
    bool has_begun;
    struct timer *later; /* an answer that must not come from inside the question */
    loop_fn next;
    void *next_arg;
};

static void on_later(void *arg)
{
    struct task_app *t = arg;
    t->next(t->next_arg);
}

static void call_later(struct task_app *t, loop_fn fn, void *arg)
{
    t->next = fn;
    t->next_arg = arg;
    timer_start(t->later, 0, 0);
}

/* ---- messages ---- */

static void on_answer(void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct task_app *t = arg;
    t->conf.answer(t->conf.arg, send_id, code, detail);
}

static void deliver(void *arg, const struct uuid *send_id, const char *content, size_t n)
{
    struct task_app *t = arg;
    if (t->bridge != NULL) {
        bridge_message(t->bridge, send_id, content, n);
        return;
    }
    if (!t->has_begun) {
        inbox_answered(t->inbox, send_id, REFUSAL_APP_BUSY, "");
        return;
    }
    struct turn_answer answer = turns_message(t->turns, send_id, content, n);
    inbox_answered(t->inbox, send_id, answer.code, answer.detail);
}

static bool is_stable(void *arg)
{
    const struct task_app *t = arg;
    if (!t->has_begun)
        return false; /* the prompt goes first */
    return t->bridge != NULL ? bridge_is_stable(t->bridge) : turns_are_stable(t->turns);
}

static bool has_taken(void *arg, const struct uuid *send_id)
{
    const struct task_app *t = arg;
    return t->bridge != NULL ? bridge_has_taken(t->bridge, send_id)
                             : turns_have_taken(t->turns, send_id);
}

static bool may_have_taken(void *arg, const struct uuid *send_id)
{
    const struct task_app *t = arg;
    return t->bridge != NULL && bridge_may_have_taken(t->bridge, send_id);
}

void task_app_message(
    struct task_app *t, const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    inbox_message(t->inbox, send_id, content, n, when_stable);
}

void task_app_withdraw(struct task_app *t, const struct uuid *send_id)
{
    inbox_withdraw(t->inbox, send_id);
}

/* ---- new and free ---- */

static void on_bridge_answer(
    void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct task_app *t = arg;
    inbox_answered(t->inbox, send_id, code, detail);
}

/* The pump at the end of this turn of the loop looks. */
static void on_stable(void *arg)
{
    (void)arg;
}

static enum err open_bridge(struct task_app *t, struct errctx *ctx)
{
    snprintf(t->url, sizeof(t->url), "http://localhost:%lld",
        (long long)t->conf.manifest->agentapi.port);
    const struct bridge_conf conf = {.loop = t->conf.loop,
        .manifest = t->conf.manifest,
        .status = t->conf.status,
        .state_dir = t->conf.state_dir,
        .url = t->url,
        .on_answer = on_bridge_answer,
        .on_stable = on_stable,
        .arg = t};
    return bridge_new(&conf, &t->bridge, ctx);
}

static enum err open_turns(struct task_app *t, struct errctx *ctx)
{
    const struct turns_conf conf = {.loop = t->conf.loop,
        .manifest = t->conf.manifest,
        .status = t->conf.status,
        .children = t->conf.children,
        .state_dir = t->conf.state_dir,
        .run_dir = t->conf.run_dir,
        .control_path = t->conf.control_path,
        .hear_out = t->conf.hear_out,
        .arg = t->conf.arg};
    return turns_new(&conf, &t->turns, ctx);
}

enum err task_app_new(
    const struct task_app_conf *conf, struct task_app **ret_app, struct errctx *ctx)
{
    struct task_app *t = mem_alloc(sizeof(*t));
    t->conf = *conf;
    enum err e = conf->manifest->agentapi.is_on ? open_bridge(t, ctx) : open_turns(t, ctx);
    if (e != ERR_OK) {
        free(t);
        return e;
    }
    const struct inbox_conf inbox = {.deliver = deliver,
        .is_stable = is_stable,
        .has_taken = has_taken,
        .may_have_taken = may_have_taken,
        .answer = on_answer,
        .arg = t};
    t->inbox = inbox_new(&inbox);
    t->later = timer_new(conf->loop, on_later, t);
    *ret_app = t;
    return ERR_OK;
}

void task_app_free(struct task_app *t)
{
    if (t == NULL)
        return;
    turns_free(t->turns);
    bridge_free(t->bridge);
    inbox_free(t->inbox);
    timer_free(t->later);
    free(t);
}

/* ---- its life ---- */

void task_app_begin(struct task_app *t)
{
    t->has_begun = true;
    if (t->bridge != NULL)
        bridge_begin(t->bridge);
    else
        turns_begin(t->turns);
}

void task_app_started(struct task_app *t)
{
    if (t->bridge != NULL)
        bridge_app_started(t->bridge);
}

void task_app_ended(struct task_app *t, int wait_status)
{
    t->conf.hear_out(t->conf.arg);
    if (t->bridge != NULL)
        bridge_app_ended(t->bridge, wait_status);
}

enum err task_app_says(struct task_app *t, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx)
{
    if (t->bridge != NULL)
        return bridge_app_says(t->bridge, state, message, uri, ctx);
    return turns_app_says(t->turns, state, message, uri, ctx);
}

void task_app_pump(struct task_app *t)
{
    if (t->turns != NULL)
        turns_pump(t->turns);
    inbox_pump(t->inbox);
}

/* ---- stopping ---- */

void task_app_close(struct task_app *t)
{
    inbox_close(t->inbox);
}

void task_app_settle(struct task_app *t, loop_fn settled, void *arg)
{
    if (t->bridge != NULL)
        bridge_stop(t->bridge, settled, arg);
    else
        call_later(t, settled, arg);
}

void task_app_stop(struct task_app *t, loop_fn stopped, void *arg)
{
    if (t->turns != NULL)
        turns_stop(t->turns, stopped, arg);
    else
        call_later(t, stopped, arg);
}
