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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/bridge_private.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"

/* Between tries: while the app may be just starting; else doubling. */
#define EAGER_MS           200
#define RETRY_MS_MIN       1000
#define RETRY_MS_MAX       30000
#define LOOK_MS            5000
#define LOOK_BLIND_MS      1000 /* without a stream */
#define LOOK_AGAIN_MS      500
#define STATUS_MS_MAX      3000
#define MESSAGES_MS_MAX    10000
#define STREAM_MS_MAX      10000 /* for its replay */
#define STREAM_HELD_MS     5000  /* one that lives as long was a good one */
#define STATUS_BYTES_MAX   (64 * 1024)
#define MESSAGES_BYTES_MAX (32 * 1024 * 1024)
/* A word of the app, or of the user, is believed as long against a screen at rest. */
#define WORD_MS 10000

/* ---- the connection ---- */

static void drop(struct http_call **call)
{
    if (*call != NULL)
        http_cancel(*call);
    *call = NULL;
}

void bridge_drop_questions(struct bridge *b)
{
    drop(&b->status_call);
    drop(&b->messages_call);
    drop(&b->stream);
    b->stream_is_on = false;
    timer_stop(b->look);
}

char *bridge_url(const struct bridge *b, const char *path)
{
    struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "%s%s", b->conf.url, path);
    return strbuf_detach(&url);
}

void bridge_look_in(struct bridge *b, int64_t ms)
{
    timer_start(b->look, ms, 0);
}

static int64_t back_off_ms(unsigned n_failures)
{
    int64_t ms = RETRY_MS_MIN << (n_failures < 6 ? n_failures : 6);
    return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

void bridge_retry(struct bridge *b)
{
    bool is_eager = clock_mono_ms() < b->eager_until_mono_ms;
    bridge_look_in(b, is_eager ? EAGER_MS : back_off_ms(b->n_failures));
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

void bridge_leave(struct bridge *b)
{
    bridge_drop_questions(b);
    timer_stop(b->moving);
    if (b->state == BRIDGE_LIVE) {
        log_info("the app does not answer any more url=%s", b->conf.url);
        timer_start(b->gone, BRIDGE_GONE_MS, 0);
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
        bridge_look_in(b, LOOK_AGAIN_MS);
        return;
    }
    if (b->state == BRIDGE_LIVE || clock_mono_ms() >= b->eager_until_mono_ms)
        bridge_complain(b, what, why);
    bridge_leave(b);
    bridge_retry(b);
}

/* ---- the stream ---- */

static void want_messages(struct bridge *b)
{
    b->must_read = true;
    if (b->status_call != NULL || b->messages_call != NULL)
        return;
    int64_t age = clock_mono_ms() - b->read_mono_ms;
    bridge_look_in(b, age < LOOK_BLIND_MS ? LOOK_BLIND_MS - age : 0);
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
        bridge_note_user_message(b, (size_t)c.v->id);
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
    bridge_learn_status(b, is_running);
    bridge_settle(b);
}

bool bridge_on_event(void *arg, const char *name, const char *data, size_t n)
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
        bridge_look_in(b, EAGER_MS);
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
        bridge_learn_status(b, is_running);
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
        bridge_settle(b);
        bridge_look_in(b, LOOK_MS);
    } else {
        bridge_ask_messages(b, MESSAGES_MS_MAX);
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
            bridge_note_user_message(b, i);
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

static void on_messages(void *arg, const struct http_answer *answer)
{
    struct bridge *b = arg;
    const char *fault = find_fault(answer);
    b->messages_call = NULL;
    if (fault == NULL && !take_messages(b, answer))
        fault = "that is no conversation";
    if (b->state == BRIDGE_STOPPING) {
        bridge_finish(b);
    } else if (fault != NULL) {
        fail_look(b, answer->code == ERR_TIMEOUT, "the app's /messages cannot be had", fault);
    } else {
        b->n_failures = 0;
        be_live(b);
        bridge_settle(b);
        open_stream(b);
        bridge_look_in(b, b->stream_is_on ? LOOK_MS : LOOK_BLIND_MS);
    }
}

void bridge_ask_messages(struct bridge *b, int64_t timeout_ms)
{
    b->messages_call = ask(b, "/messages", MESSAGES_BYTES_MAX, timeout_ms, on_messages);
}

void bridge_on_look(void *arg)
{
    struct bridge *b = arg;
    if ((b->state != BRIDGE_CONNECTING && b->state != BRIDGE_LIVE) || b->status_call != NULL ||
        b->messages_call != NULL)
        return;
    /* AgentAPI may answer nothing while it takes a message. */
    if (b->hand.call != NULL)
        bridge_look_in(b, LOOK_AGAIN_MS);
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
            bridge_look_in(b, after_ms);
    }
    bridge_note_stable(b);
}
