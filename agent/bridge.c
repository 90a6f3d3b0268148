/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of the app, and what it is told from outside; bridge_look.c sees, bridge_hand.c
 * hands over. */
#include "agent/bridge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/bridge_private.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/strbuf.h"
#include "core/base/text.h"

#define EAGER_FOR_MS 10000
#define STOP_MS      2000
/* A screen that moves by itself is believed to work after this; AgentAPI calls it at rest again
 * after 2 s without a change. */
#define MOVING_MS   3000
#define COMPLAIN_MS 30000

static void on_moving(void *arg);
static void on_gone(void *arg);
static void on_ended(void *arg);
static void on_over(void *arg);

/* ---- life ---- */

static void make_timers(struct bridge *b)
{
    struct loop *l = b->conf.loop;
    b->look = timer_new(l, bridge_on_look, b);
    b->moving = timer_new(l, on_moving, b);
    b->gone = timer_new(l, on_gone, b);
    b->ended = timer_new(l, on_ended, b);
    b->over = timer_new(l, on_over, b);
}

enum err bridge_new(const struct bridge_conf *conf, struct bridge **ret_bridge, struct errctx *ctx)
{
    struct bridge *b = mem_alloc(sizeof(*b));
    b->conf = *conf;
    b->reconcile = reconcile_new();
    b->is_new_app = true;
    sse_init(&b->sse, bridge_on_event, b);
    make_timers(b);
    enum err e = mirror_open(conf->loop, conf->status, conf->state_dir, &b->mirror, ctx);
    if (e == ERR_OK)
        e = bridge_hand_init(b, ctx);
    if (e == ERR_OK)
        *ret_bridge = b;
    else
        bridge_free(b);
    return e;
}

void bridge_free(struct bridge *b)
{
    if (b == NULL)
        return;
    bridge_drop_questions(b);
    bridge_hand_done(b);
    sse_done(&b->sse);
    mirror_free(b->mirror);
    reconcile_free(b->reconcile);
    struct timer *timers[] = {b->look, b->moving, b->gone, b->ended, b->over};
    for (size_t i = 0; i < COUNT(timers); i++)
        timer_free(timers[i]);
    free(b);
}

void bridge_complain(struct bridge *b, const char *what, const char *detail)
{
    int64_t now = clock_mono_ms();
    b->n_complaints++;
    if (b->complained_mono_ms != 0 && now - b->complained_mono_ms < COMPLAIN_MS)
        return;
    log_warn("%s url=%s why=%s times=%u", what, b->conf.url, LOG_Q(detail), b->n_complaints);
    b->complained_mono_ms = now;
    b->n_complaints = 0;
}

/* ---- states ---- */

void bridge_say(struct bridge *b, const struct reconcile_word *word, const char *fallback)
{
    const char *message = word->message[0] != '\0' ? word->message : fallback;
    status_app_linked(b->conf.status, word->state, message, word->uri);
}

void bridge_see_screen(struct bridge *b, bool is_running)
{
    struct reconcile_word word;
    if (reconcile_screen(b->reconcile, is_running, &word))
        bridge_say(b, &word, is_running ? "Working." : "Waiting for a message.");
}

bool bridge_is_stable(const struct bridge *b)
{
    return b->state == BRIDGE_LIVE && b->has_status && !b->is_running && !b->is_doubted &&
           !b->must_read && b->prompt == NULL && !bridge_hand_is_busy(b);
}

void bridge_note_stable(struct bridge *b)
{
    bool is_stable = bridge_is_stable(b);
    if (is_stable == b->was_stable)
        return;
    b->was_stable = is_stable;
    if (b->conf.on_stable != NULL)
        b->conf.on_stable(b->conf.arg);
}

static bool is_at_rest(const struct bridge *b)
{
    return b->has_status && !b->is_running && !b->is_doubted;
}

/* All that is known has been read.  With a prompt still to be delivered, a screen at rest is no end
 * of any work. */
void bridge_settle(struct bridge *b)
{
    if (b->state == BRIDGE_LIVE && is_at_rest(b)) {
        mirror_flush(b->mirror);
        if (b->rest_is_due && b->prompt == NULL)
            bridge_see_screen(b, false);
        b->rest_is_due = false;
        bridge_hand_prompt(b);
    }
    bridge_note_stable(b);
}

void bridge_learn_status(struct bridge *b, bool is_running)
{
    bool was_at_rest = b->has_status && !b->is_running;
    bool is_change = !b->has_status || b->is_running != is_running;
    b->n_status++;
    b->has_status = true;
    b->is_running = is_running;
    if (!is_change)
        return;
    timer_stop(b->moving);
    b->rest_is_due = !is_running;
    if (is_running)
        bridge_see_screen(b, true);
    if (is_running && was_at_rest)
        timer_start(b->moving, MOVING_MS, 0);
}

static void on_moving(void *arg)
{
    struct bridge *b = arg;
    if (b->state == BRIDGE_LIVE && b->has_status && b->is_running)
        bridge_see_screen(b, true);
}

void bridge_note_user_message(struct bridge *b, size_t i)
{
    struct reconcile_word word;
    if (!reconcile_user_message(b->reconcile, mirror_id(b->mirror, i), &word))
        return;
    b->word_mono_ms = clock_mono_ms();
    bridge_say(
        b, &word, b->hand.echoes_prompt ? "Working on the prompt." : "Working on a message.");
    b->hand.echoes_prompt = false;
}

/* ---- from outside ---- */

static void be_eager(struct bridge *b)
{
    b->eager_until_mono_ms = clock_mono_ms() + EAGER_FOR_MS;
    b->n_failures = 0;
    if (b->state == BRIDGE_CONNECTING && b->status_call == NULL && b->messages_call == NULL)
        bridge_look_in(b, 0);
}

void bridge_begin(struct bridge *b)
{
    if (b->state != BRIDGE_IDLE)
        return;
    b->state = BRIDGE_CONNECTING;
    timer_start(b->gone, BRIDGE_GONE_MS, 0);
    if (!b->mark.was_damaged)
        status_app(b->conf.status, APP_WORKING, "Starting the app.");
    be_eager(b);
}

void bridge_app_started(struct bridge *b)
{
    b->n_starts++;
    b->is_new_app = true;
    timer_stop(b->ended);
    be_eager(b);
}

void bridge_app_ended(struct bridge *b, int wait_status)
{
    b->wait_status = wait_status;
    if (b->state != BRIDGE_CONNECTING && b->state != BRIDGE_LIVE)
        return;
    bridge_leave(b);
    b->eager_until_mono_ms = 0;
    bridge_retry(b);
    timer_start(b->ended, BRIDGE_ENDED_MS, 0);
}

/* One that ends well behind its own last word has said all. */
static void on_ended(void *arg)
{
    struct bridge *b = arg;
    enum app_state last;
    struct reconcile_word word;
    char text[RECONCILE_MESSAGE_MAX];
    bool is_good = WIFEXITED(b->wait_status) && WEXITSTATUS(b->wait_status) == 0;
    if (b->state != BRIDGE_CONNECTING ||
        (is_good && status_last(b->conf.status, &last) && last == APP_COMPLETE))
        return;
    if (WIFSIGNALED(b->wait_status))
        snprintf(text, sizeof(text), "The app ended (signal %d).", WTERMSIG(b->wait_status));
    else
        snprintf(
            text, sizeof(text), "The app ended (exit status %d).", WEXITSTATUS(b->wait_status));
    if (reconcile_ended(b->reconcile, APP_FAILURE, text, &word))
        bridge_say(b, &word, "");
}

enum err bridge_app_says(struct bridge *b, enum app_state state, const char *message,
    const char *uri, struct errctx *ctx)
{
    bool inherits = message[0] == '\0' && b->has_summary;
    enum err e = status_check(inherits ? "-" : message, uri, ctx);
    if (e != ERR_OK)
        return e;
    scoped(strbuf_done) struct strbuf clean;
    strbuf_init(&clean);
    text_add_sanitized(&clean, message);
    if (clean.len == 0 && !inherits)
        return err_set(ctx, ERR_INVALID, "the message has no text in it");
    if (!status_has_room(b->conf.status))
        return err_set(ctx, ERR_FULL,
            "too many reports wait to be taken by a worker; nothing is lost, try again later");
    struct reconcile_word word;
    b->has_summary = true;
    b->word_mono_ms = clock_mono_ms();
    if (reconcile_app_says(b->reconcile, state, clean.s, uri, &word))
        bridge_say(b, &word, "");
    return ERR_OK;
}

static void on_gone(void *arg)
{
    struct bridge *b = arg;
    enum app_state last;
    struct reconcile_word word;
    if (status_last(b->conf.status, &last) && last == APP_WORKING &&
        reconcile_ended(b->reconcile, APP_FAILURE, "The app does not answer.", &word))
        bridge_say(b, &word, "");
}

/* ---- the end ---- */

void bridge_finish(struct bridge *b)
{
    status_last_words(b->conf.status);
    mirror_flush(b->mirror);
    b->state = BRIDGE_STOPPED;
    timer_start(b->over, 0, 0);
}

static void on_over(void *arg)
{
    struct bridge *b = arg;
    b->stopped(b->stopped_arg);
}

void bridge_stop(struct bridge *b, loop_fn stopped, void *arg)
{
    bool may_answer = b->state == BRIDGE_LIVE || b->state == BRIDGE_CONNECTING;
    b->stopped = stopped;
    b->stopped_arg = arg;
    bridge_drop_questions(b);
    timer_stop(b->moving);
    timer_stop(b->gone);
    timer_stop(b->ended);
    b->state = BRIDGE_STOPPING;
    bridge_note_stable(b);
    if (may_answer)
        bridge_ask_messages(b, STOP_MS);
    else
        bridge_finish(b);
}
