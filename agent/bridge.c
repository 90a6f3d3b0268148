/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching.  One question is out at a time: /status, and /messages behind it where that is called
 * for; the timer `look` asks the next one.  Beside it the stream of events, which makes questions
 * rare and news fast, but is never needed.
 *
 *   look --> /status --(connecting, no stream, doubts)--> /messages --> the stream, if it is due
 *    ^          |                                            |
 *    +----------+---- 5 s; 1 s without a stream -------------+
 */
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

/* Between tries: while the app may be just starting; else doubling. */
#define EAGER_MS           200
#define EAGER_FOR_MS       10000
#define RETRY_MS_MIN       1000
#define RETRY_MS_MAX       30000
#define LOOK_MS            5000
#define LOOK_BLIND_MS      1000 /* without a stream */
#define LOOK_AGAIN_MS      500
#define STATUS_MS_MAX      3000
#define MESSAGES_MS_MAX    10000
#define STREAM_MS_MAX      10000 /* for its replay */
#define STREAM_HELD_MS     5000  /* one that lives as long was a good one */
#define STOP_MS            2000
#define STATUS_BYTES_MAX   (64 * 1024)
#define MESSAGES_BYTES_MAX (32 * 1024 * 1024)
/* A screen that moves by itself is believed to work after this; AgentAPI calls it at rest again
 * after 2 s without a change. */
#define MOVING_MS 3000
/* A word of the app, or of the user, is believed as long against a screen at rest. */
#define WORD_MS 10000
/* An app that does not answer for so long does not work. */
#define GONE_MS     120000
#define COMPLAIN_MS 30000

static void on_look(void *arg);
static void on_moving(void *arg);
static void on_gone(void *arg);
static void on_ended(void *arg);
static void on_over(void *arg);
static bool on_event(void *arg, const char *name, const char *data, size_t n);
static void ask_messages(struct bridge *b, int64_t timeout_ms);

/* ---- life ---- */

static void make_timers(struct bridge *b)
{
    struct loop *l = b->conf.loop;
    b->look = timer_new(l, on_look, b);
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
    sse_init(&b->sse, on_event, b);
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

static void drop(struct http_call **call)
{
    if (*call != NULL)
        http_cancel(*call);
    *call = NULL;
}

static void drop_questions(struct bridge *b)
{
    drop(&b->status_call);
    drop(&b->messages_call);
    drop(&b->stream);
    b->stream_is_on = false;
    timer_stop(b->look);
}

void bridge_free(struct bridge *b)
{
    if (b == NULL)
        return;
    drop_questions(b);
    bridge_hand_done(b);
    sse_done(&b->sse);
    mirror_free(b->mirror);
    reconcile_free(b->reconcile);
    struct timer *timers[] = {b->look, b->moving, b->gone, b->ended, b->over};
    for (size_t i = 0; i < COUNT(timers); i++)
        timer_free(timers[i]);
    free(b);
}

char *bridge_url(const struct bridge *b, const char *path)
{
    struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", b->conf.url, path);
    return strbuf_detach(&url);
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

static void see_screen(struct bridge *b, bool is_running)
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
static void settle(struct bridge *b)
{
    if (b->state == BRIDGE_LIVE && is_at_rest(b)) {
        mirror_flush(b->mirror);
        if (b->rest_is_due && b->prompt == NULL)
            see_screen(b, false);
        b->rest_is_due = false;
        bridge_hand_prompt(b);
    }
    bridge_note_stable(b);
}

static void learn_status(struct bridge *b, bool is_running)
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
        see_screen(b, true);
    if (is_running && was_at_rest)
        timer_start(b->moving, MOVING_MS, 0);
}

static void on_moving(void *arg)
{
    struct bridge *b = arg;
    if (b->state == BRIDGE_LIVE && b->has_status && b->is_running)
        see_screen(b, true);
}

static void note_user_message(struct bridge *b, size_t i)
{
    struct reconcile_word word;
    if (!reconcile_user_message(b->reconcile, mirror_id(b->mirror, i), &word))
        return;
    b->word_mono_ms = clock_mono_ms();
    bridge_say(
        b, &word, b->hand.echoes_prompt ? "Working on the prompt." : "Working on a message.");
    b->hand.echoes_prompt = false;
}

/* ---- the connection ---- */

static void look_in(struct bridge *b, int64_t ms)
{
    timer_start(b->look, ms, 0);
}

static int64_t back_off_ms(unsigned n_failures)
{
    int64_t ms = RETRY_MS_MIN << (n_failures < 6 ? n_failures : 6);
    return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

static void retry(struct bridge *b)
{
    bool is_eager = clock_mono_ms() < b->eager_until_mono_ms;
    look_in(b, is_eager ? EAGER_MS : back_off_ms(b->n_failures));
    b->n_failures += !is_eager;
}

static void be_live(struct bridge *b)
{
    if (b->state != BRIDGE_CONNECTING)
        return;
    log_info("the app answers url=%s messages=%zu", b->conf.url, mirror_count(b->mirror));
    b->state = BRIDGE_LIVE;
    b->n_failures = 0;
    timer_stop(b->gone);
}

static void leave(struct bridge *b)
{
    drop_questions(b);
    timer_stop(b->moving);
    if (b->state == BRIDGE_LIVE) {
        log_info("the app does not answer any more url=%s", b->conf.url);
        timer_start(b->gone, GONE_MS, 0);
        b->n_failures = 0;
    }
    b->state = BRIDGE_CONNECTING;
    b->has_status = false;
    b->is_new_app = true;
    b->stream_again_mono_ms = 0;
    reconcile_lost_sight(b->reconcile);
    bridge_note_stable(b);
}

/* One question that is not answered in time may come from a machine under load. */
static void fail_look(struct bridge *b, bool is_late, const char *what, const char *why)
{
    if (b->state == BRIDGE_LIVE && is_late && b->n_failures == 0) {
        b->n_failures++;
        look_in(b, LOOK_AGAIN_MS);
        return;
    }
    if (b->state == BRIDGE_LIVE || clock_mono_ms() >= b->eager_until_mono_ms)
        bridge_complain(b, what, why);
    leave(b);
    retry(b);
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

/* ---- the stream ---- */

static void want_messages(struct bridge *b)
{
    b->must_read = true;
    if (b->status_call != NULL || b->messages_call != NULL)
        return;
    int64_t age = clock_mono_ms() - b->read_mono_ms;
    look_in(b, age < LOOK_BLIND_MS ? LOOK_BLIND_MS - age : 0);
}

static void on_update(struct bridge *b, const char *data, size_t n)
{
    struct conversation c;
    if (!conversation_parse_update(data, n, &c)) {
        bridge_complain(b, "an event of the app is not understood", "message_update");
        return;
    }
    if (!mirror_update(b->mirror, c.v))
        want_messages(b);
    else if (c.v->is_user)
        note_user_message(b, (size_t)c.v->id);
    conversation_done(&c);
}

static void on_status_change(struct bridge *b, const char *data, size_t n)
{
    bool is_running;
    if (!conversation_parse_status(data, n, &is_running)) {
        bridge_complain(b, "an event of the app is not understood", "status_change");
        return;
    }
    b->stream_is_on = true;
    learn_status(b, is_running);
    settle(b);
}

static bool on_event(void *arg, const char *name, const char *data, size_t n)
{
    struct bridge *b = arg;
    if (strcmp(name, "message_update") == 0) {
        on_update(b, data, n);
    } else if (strcmp(name, "status_change") == 0) {
        on_status_change(b, data, n);
    } else if (strcmp(name, "agent_error") == 0) {
        char text[160];
        conversation_explain(data, n, text);
        bridge_complain(b, "the app reports an error", text);
    }
    return true;
}

static void on_stream_data(void *arg, const char *data, size_t n)
{
    struct bridge *b = arg;
    uint64_t n_skipped = b->sse.n_skipped;
    sse_feed(&b->sse, data, n);
    if (b->sse.n_skipped > n_skipped)
        bridge_complain(b, "an event of the app is too long", "it is passed over");
}

static void end_stream(struct bridge *b)
{
    int64_t now = clock_mono_ms();
    bool was_good = b->stream_is_on && now - b->stream_mono_ms >= STREAM_HELD_MS;
    b->n_stream_failures = was_good ? 0 : b->n_stream_failures + 1;
    b->stream_again_mono_ms = now + back_off_ms(b->n_stream_failures - !was_good);
    b->stream_is_on = false;
}

static void on_stream_done(void *arg, const struct http_answer *answer)
{
    struct bridge *b = arg;
    b->stream = NULL;
    end_stream(b);
    if (answer->code == ERR_OK && answer->status != 200) {
        char status[32];
        snprintf(status, sizeof(status), "status %d", answer->status);
        bridge_complain(b, "the app has no stream of events", status);
    }
    if (b->status_call == NULL && b->messages_call == NULL)
        look_in(b, EAGER_MS);
}

static void open_stream(struct bridge *b)
{
    int64_t now = clock_mono_ms();
    if (b->stream != NULL && !b->stream_is_on && now - b->stream_mono_ms > STREAM_MS_MAX) {
        bridge_complain(b, "the app's stream of events is silent", "it is asked for again");
        drop(&b->stream);
        end_stream(b);
    }
    if (b->stream != NULL || now < b->stream_again_mono_ms)
        return;
    scoped_free char *url = bridge_url(b, "/events");
    const char *const headers[] = {"Accept", "text/event-stream", NULL};
    const struct http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .on_data = on_stream_data,
        .done = on_stream_done,
        .arg = b};
    sse_reset(&b->sse);
    b->stream_mono_ms = now;
    b->stream = http_start(b->conf.loop, &request);
}

/* ---- the questions ---- */

static struct http_call *ask(
    struct bridge *b, const char *path, size_t bytes_max, int64_t timeout_ms, http_done_fn done)
{
    scoped_free char *url = bridge_url(b, path);
    const char *const headers[] = {"Accept", "application/json", NULL};
    const struct http_request request = {.method = "GET",
        .url = url,
        .headers = headers,
        .timeout_ms = timeout_ms,
        .bytes_max = bytes_max,
        .done = done,
        .arg = b};
    return http_start(b->conf.loop, &request);
}

/* What is wrong with an answer; NULL: nothing, so far. */
static const char *find_fault(const struct http_answer *answer)
{
    if (answer->code != ERR_OK)
        return answer->why;
    return answer->status == 200 ? NULL : "its status is not 200";
}

static void take_status(struct bridge *b, bool is_running)
{
    bool was_doubted = b->is_doubted && b->doubt_was_asked;
    bool is_news = b->n_status == b->n_status_asked;
    if (was_doubted)
        b->is_doubted = false;
    if (is_news || was_doubted)
        learn_status(b, is_running);
    b->must_read |= was_doubted;
    if (!is_running && (was_doubted || clock_mono_ms() - b->word_mono_ms >= WORD_MS))
        b->rest_is_due = true;
}

static void on_status(void *arg, const struct http_answer *answer)
{
    struct bridge *b = arg;
    bool is_running;
    const char *fault = find_fault(answer);
    b->status_call = NULL;
    if (fault == NULL && !conversation_parse_status(answer->body, answer->n, &is_running))
        fault = "that is no status";
    if (fault != NULL) {
        fail_look(b, answer->code == ERR_TIMEOUT, "the app's /status cannot be had", fault);
        return;
    }
    take_status(b, is_running);
    if (b->state == BRIDGE_LIVE && b->stream_is_on && !b->must_read && !bridge_hand_is_busy(b)) {
        b->n_failures = 0;
        settle(b);
        look_in(b, LOOK_MS);
    } else {
        ask_messages(b, MESSAGES_MS_MAX);
    }
}

static void ask_status(struct bridge *b)
{
    b->n_status_asked = b->n_status;
    b->doubt_was_asked = b->is_doubted;
    b->status_call = ask(b, "/status", STATUS_BYTES_MAX, STATUS_MS_MAX, on_status);
}

/* Messages of the user that were there before are no news. */
static void note_conversation(struct bridge *b, const struct conversation *c)
{
    for (size_t i = c->n; i-- > 0;) {
        if (!c->v[i].is_user)
            continue;
        if (b->has_looked)
            note_user_message(b, i);
        else
            reconcile_skip_user_messages(b->reconcile, mirror_id(b->mirror, i));
        break;
    }
    b->has_looked = true;
}

static bool take_messages(struct bridge *b, const struct http_answer *answer)
{
    struct conversation c;
    if (!conversation_parse(answer->body, answer->n, &c))
        return false;
    size_t known = mirror_sync(b->mirror, &c, b->is_new_app);
    b->is_new_app = false;
    b->must_read = false;
    b->read_mono_ms = clock_mono_ms();
    note_conversation(b, &c);
    bridge_hand_look(b, &c, known);
    conversation_done(&c);
    return true;
}

static void finish(struct bridge *b)
{
    status_last_words(b->conf.status);
    mirror_flush(b->mirror);
    b->state = BRIDGE_STOPPED;
    timer_start(b->over, 0, 0);
}

static void on_messages(void *arg, const struct http_answer *answer)
{
    struct bridge *b = arg;
    const char *fault = find_fault(answer);
    b->messages_call = NULL;
    if (fault == NULL && !take_messages(b, answer))
        fault = "that is no conversation";
    if (b->state == BRIDGE_STOPPING) {
        finish(b);
    } else if (fault != NULL) {
        fail_look(b, answer->code == ERR_TIMEOUT, "the app's /messages cannot be had", fault);
    } else {
        b->n_failures = 0;
        be_live(b);
        settle(b);
        open_stream(b);
        look_in(b, b->stream_is_on ? LOOK_MS : LOOK_BLIND_MS);
    }
}

static void ask_messages(struct bridge *b, int64_t timeout_ms)
{
    b->messages_call = ask(b, "/messages", MESSAGES_BYTES_MAX, timeout_ms, on_messages);
}

static void on_look(void *arg)
{
    struct bridge *b = arg;
    if ((b->state != BRIDGE_CONNECTING && b->state != BRIDGE_LIVE) || b->status_call != NULL ||
        b->messages_call != NULL)
        return;
    /* AgentAPI may answer nothing while it takes a message. */
    if (b->hand.call != NULL)
        look_in(b, LOOK_AGAIN_MS);
    else
        ask_status(b);
}

void bridge_doubt_status(struct bridge *b, int64_t after_ms)
{
    b->is_doubted = true;
    b->doubt_was_asked = false;
    if (b->state == BRIDGE_LIVE || b->state == BRIDGE_CONNECTING) {
        drop(&b->status_call);
        if (b->messages_call == NULL)
            look_in(b, after_ms);
    }
    bridge_note_stable(b);
}

/* ---- from outside ---- */

static void be_eager(struct bridge *b)
{
    b->eager_until_mono_ms = clock_mono_ms() + EAGER_FOR_MS;
    b->n_failures = 0;
    if (b->state == BRIDGE_CONNECTING && b->status_call == NULL && b->messages_call == NULL)
        look_in(b, 0);
}

void bridge_begin(struct bridge *b)
{
    if (b->state != BRIDGE_IDLE)
        return;
    b->state = BRIDGE_CONNECTING;
    timer_start(b->gone, GONE_MS, 0);
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
    leave(b);
    b->eager_until_mono_ms = 0;
    retry(b);
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

/* ---- the end ---- */

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
    drop_questions(b);
    timer_stop(b->moving);
    timer_stop(b->gone);
    timer_stop(b->ended);
    b->state = BRIDGE_STOPPING;
    bridge_note_stable(b);
    if (may_answer)
        ask_messages(b, STOP_MS);
    else
        finish(b);
}
