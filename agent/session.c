/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session.  Three requests can be out at once, each a slot: the conversation (hello, then
 * polls), a batch of reports, an answer to a message.  Whatever goes wrong with any of them ends in
 * leave(): all are withdrawn and another worker is looked for after a moment.
 */
#include "agent/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/peer.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/text.h"
#include "core/bus/bus.h"

#define SILENCE_MS      3000
#define BATCH_MAX       256
#define BATCH_BYTES_MAX (1024 * 1024)
/* Reports that may be out and not yet known to be in Postgres: what a resend costs at most. */
#define WINDOW_MAX    4096
#define RESEND_MS_MAX 30000
#define OVERLOADED_MS 500
/* A living worker of this host takes a connection at once. */
#define CONNECT_MS 1000
/* One elsewhere has to be found first, and its TLS agreed on. */
#define CONNECT_FAR_MS 2500
#define SEEK_MS_MIN    100
#define SEEK_MS_MAX    3000
/* A poll that was held less than this and brought nothing is not asked again at once. */
#define POLL_HELD_MS_MIN 50
#define POLL_PAUSE_MS    250

enum session_state { SESSION_SEEKING, SESSION_HELLO, SESSION_OPEN, SESSION_OVER };

struct answer {
    struct list item;
    struct uuid send_id;
    enum refusal code;
    char detail[160];
};

struct session {
    struct session_conf conf;
    enum session_state state;
    struct timer *timer; /* SEEKING: look for a worker; HELLO: is anybody there?; OPEN: poll */
    unsigned n_failures; /* since the last welcome that held */
    struct bus_client *client;
    char *url;
    bool was_up;
    uint64_t id;
    struct bus_request *talk, *batch, *answer;
    int64_t poll_mono_ms;

    uint64_t next;       /* the next report to send */
    uint64_t batch_last; /* of the batch in flight */
    int64_t progress_mono_ms, patience_ms, hold_until_mono_ms;

    struct list answers; /* the first one may be in flight */
};

static void on_timer(void *arg);
static void say_hello(struct session *s);
static void poll(struct session *s);

struct session *session_new(const struct session_conf *conf)
{
    struct session *s = mem_alloc(sizeof(*s));
    s->conf = *conf;
    if (s->conf.silence_ms == 0)
        s->conf.silence_ms = SILENCE_MS;
    list_init(&s->answers);
    s->timer = timer_new(conf->loop, on_timer, s);
    timer_start(s->timer, 0, 0);
    return s;
}

bool session_is_open(const struct session *s)
{
    return s->state == SESSION_OPEN;
}

bool session_is_settled(const struct session *s)
{
    return s->state == SESSION_OVER ||
           (reports_is_settled(s->conf.reports) && list_is_empty(&s->answers));
}

static void withdraw(struct bus_request **request)
{
    if (*request != NULL)
        bus_request_cancel(*request);
    *request = NULL;
}

static void withdraw_all(struct session *s)
{
    withdraw(&s->talk);
    withdraw(&s->batch);
    withdraw(&s->answer);
    timer_stop(s->timer);
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    withdraw_all(s);
    bus_client_free(s->client);
    timer_free(s->timer);
    struct list *item;
    while ((item = list_pop(&s->answers)) != NULL)
        free(container_of(item, struct answer, item));
    free(s->url);
    free(s);
}

/* ---- leaving and seeking ---- */

/* Half to all of a time that doubles with each failure. */
static int64_t seek_delay_ms(const struct session *s)
{
    int64_t ms = SEEK_MS_MIN << (s->n_failures < 6 ? s->n_failures : 6);
    ms = ms < SEEK_MS_MAX ? ms : SEEK_MS_MAX;
    uint32_t dice;
    rng_bytes(&dice, sizeof(dice));
    return ms / 2 + dice % (ms / 2 + 1);
}

/* The client itself is freed by the timer: we may be inside one of its callbacks. */
static void leave(struct session *s, const char *why)
{
    if (s->state == SESSION_OVER)
        return;
    withdraw_all(s);
    s->state = SESSION_SEEKING;
    int64_t delay_ms = seek_delay_ms(s);
    s->n_failures++;
    enum log_level level = s->n_failures == 1 || s->n_failures % 100 == 0 ? LOG_INFO : LOG_DEBUG;
    log_at(level, "looking for a worker why=%s in_ms=%lld tries=%u", LOG_Q(why),
        (long long)delay_ms, s->n_failures);
    timer_start(s->timer, delay_ms, 0);
}

static void be_superseded(struct session *s)
{
    if (s->state == SESSION_OVER)
        return;
    withdraw_all(s);
    s->state = SESSION_OVER;
    s->conf.on_superseded(s->conf.arg);
}

static void seek(struct session *s)
{
    bus_client_free(s->client);
    s->client = NULL;
    s->was_up = false;
    struct errctx ctx = {0};
    char *url;
    enum err e = s->conf.peers != NULL ? peers_pick(s->conf.peers, s->url, &url, &ctx)
                                       : peer_pick(s->conf.workers_dir, s->url, &url, &ctx);
    if (e == ERR_OK) {
        free(s->url);
        s->url = url;
        e = bus_connect(s->conf.loop, s->url, &s->client, &ctx);
    }
    if (e == ERR_OK) {
        say_hello(s);
        timer_start(s->timer, s->conf.peers != NULL ? CONNECT_FAR_MS : CONNECT_MS, 0);
    } else {
        leave(s, ctx.text);
    }
}

static void on_timer(void *arg)
{
    struct session *s = arg;
    if (s->state == SESSION_SEEKING)
        seek(s);
    else if (s->state == SESSION_HELLO && !bus_client_is_up(s->client))
        leave(s, "nobody listens there");
    else if (s->state == SESSION_OPEN && s->talk == NULL)
        poll(s);
}

/* A code that ends this conversation; false: it goes on. */
static bool is_refused(struct session *s, uint32_t code)
{
    if (code == REFUSAL_NONE)
        return false;
    if (code == REFUSAL_TOKEN_UNKNOWN)
        be_superseded(s);
    else if (code == REFUSAL_SESSION_UNKNOWN && s->state == SESSION_OPEN && s->n_failures == 0) {
        withdraw_all(s);
        s->n_failures = 1; /* a worker that forgets again at once is left */
        say_hello(s);
    } else
        leave(s, refusal_row(code)->message);
    return true;
}

/* The body of a reply that must be of one kind; an error or another kind ends the conversation. */
static bool is_reply(struct session *s, enum err e, const Stint__V1__Envelope *reply,
    Stint__V1__Envelope__BodyCase body)
{
    if (e != ERR_OK) {
        leave(s, err_text(e));
        return false;
    }
    if (reply->body_case == body)
        return true;
    uint32_t code = reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS ? reply->status->code : 0;
    if (!is_refused(s, code))
        leave(s, "an answer of the wrong kind");
    return false;
}

/* ---- hello ---- */

static void learn_watermark(struct session *s, uint64_t watermark)
{
    if (watermark <= reports_committed(s->conf.reports))
        return;
    reports_commit(s->conf.reports, watermark);
    s->progress_mono_ms = clock_mono_ms();
    s->patience_ms = s->conf.silence_ms;
    s->n_failures = 0;
    if (s->next <= watermark)
        s->next = watermark + 1;
}

static void on_welcome(void *arg, enum err e, const Stint__V1__Envelope *reply)
{
    struct session *s = arg;
    s->talk = NULL;
    timer_stop(s->timer);
    if (!is_reply(s, e, reply, STINT__V1__ENVELOPE__BODY_AGENT_WELCOME))
        return;
    const Stint__V1__AgentWelcome *welcome = reply->agent_welcome;
    if (is_refused(s, welcome->code))
        return;
    s->state = SESSION_OPEN;
    if (s->conf.peers != NULL)
        peers_found(s->conf.peers);
    s->id = welcome->session_id;
    s->hold_until_mono_ms = 0;
    s->patience_ms = s->conf.silence_ms;
    learn_watermark(s, welcome->watermark);
    s->next = reports_committed(s->conf.reports) + 1;
    log_info("in session worker=%s watermark=%llu waiting=%llu", s->url,
        (unsigned long long)welcome->watermark,
        (unsigned long long)(reports_last(s->conf.reports) - s->next + 1));
    poll(s);
}

static void say_hello(struct session *s)
{
    s->state = SESSION_HELLO;
    Stint__V1__AgentHello hello = STINT__V1__AGENT_HELLO__INIT;
    hello.agent_id = wire_uuid(&s->conf.agent_id);
    hello.token = (char *)(uintptr_t)s->conf.token;
    hello.version = (char *)(uintptr_t)STINT_VERSION;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_HELLO);
    request.agent_hello = &hello;
    s->talk = bus_send(s->client, &request, s->conf.silence_ms, on_welcome, s);
}

/* ---- polls ---- */

static void on_message(struct session *s, const Stint__V1__AgentMessage *message)
{
    struct uuid send_id;
    if (!wire_get_uuid(&message->send_id, &send_id) || uuid_is_nil(&send_id))
        log_warn("a message without an id is passed over");
    else if (message->withdraw)
        s->conf.on_withdraw(s->conf.arg, &send_id);
    else
        s->conf.on_message(s->conf.arg, &send_id, message->content, strlen(message->content),
            message->when_stable);
}

static void on_work(void *arg, enum err e, const Stint__V1__Envelope *reply)
{
    struct session *s = arg;
    s->talk = NULL;
    if (!is_reply(s, e, reply, STINT__V1__ENVELOPE__BODY_AGENT_WORK))
        return;
    const Stint__V1__AgentWork *work = reply->agent_work;
    if (is_refused(s, work->code))
        return;
    int64_t held_ms = clock_mono_ms() - s->poll_mono_ms;
    bool is_news = work->watermark > reports_committed(s->conf.reports) || work->n_message > 0;
    if (held_ms >= POLL_HELD_MS_MIN)
        s->n_failures = 0;
    learn_watermark(s, work->watermark);
    for (size_t i = 0; i < work->n_message; i++)
        on_message(s, work->message[i]);
    if (is_news || held_ms >= POLL_HELD_MS_MIN)
        poll(s);
    else
        timer_start(s->timer, POLL_PAUSE_MS, 0);
}

static void poll(struct session *s)
{
    Stint__V1__AgentPoll body = STINT__V1__AGENT_POLL__INIT;
    body.agent_id = wire_uuid(&s->conf.agent_id);
    body.session_id = s->id;
    body.watermark = reports_committed(s->conf.reports);
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_POLL);
    request.agent_poll = &body;
    s->poll_mono_ms = clock_mono_ms();
    s->talk = bus_send(s->client, &request, s->conf.silence_ms, on_work, s);
}

/* ---- reports ---- */

static void on_batch_taken(void *arg, enum err e, const Stint__V1__Envelope *reply)
{
    struct session *s = arg;
    s->batch = NULL;
    if (!is_reply(s, e, reply, STINT__V1__ENVELOPE__BODY_STATUS))
        return;
    uint32_t code = reply->status->code;
    if (code == REFUSAL_OVERLOADED || code == REFUSAL_STORE_DOWN)
        s->hold_until_mono_ms = clock_mono_ms() + OVERLOADED_MS;
    else if (!is_refused(s, code) && s->next <= s->batch_last)
        s->next = s->batch_last + 1;
}

static void send_batch(struct session *s)
{
    struct report_batch batch;
    if (reports_read(s->conf.reports, s->next, BATCH_MAX, BATCH_BYTES_MAX, &batch) != ERR_OK) {
        log_error("cannot read reports back, trying again from=%llu", (unsigned long long)s->next);
        s->hold_until_mono_ms = clock_mono_ms() + OVERLOADED_MS;
        return;
    }
    if (s->next == reports_committed(s->conf.reports) + 1)
        s->progress_mono_ms = clock_mono_ms(); /* nothing was out until now */
    Stint__V1__AgentReports body = STINT__V1__AGENT_REPORTS__INIT;
    body.agent_id = wire_uuid(&s->conf.agent_id);
    body.session_id = s->id;
    body.report = batch.v;
    body.n_report = batch.n;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_REPORTS);
    request.agent_reports = &body;
    s->batch_last = s->next + batch.n - 1;
    s->batch = bus_send(s->client, &request, s->conf.silence_ms, on_batch_taken, s);
    report_batch_done(&batch);
}

/* The watermark stands still although reports are out: what the worker took was lost behind it. */
static void go_back(struct session *s)
{
    uint64_t committed = reports_committed(s->conf.reports);
    if (s->next == committed + 1 || clock_mono_ms() - s->progress_mono_ms < s->patience_ms)
        return;
    log_info("sending reports again from=%llu", (unsigned long long)committed + 1);
    s->next = committed + 1;
    s->patience_ms = s->patience_ms < RESEND_MS_MAX / 2 ? s->patience_ms * 2 : RESEND_MS_MAX;
}

static void pump_reports(struct session *s)
{
    if (s->batch != NULL || clock_mono_ms() < s->hold_until_mono_ms)
        return;
    go_back(s);
    uint64_t limit = reports_committed(s->conf.reports) + WINDOW_MAX;
    if (s->next <= reports_durable(s->conf.reports) && s->next <= limit)
        send_batch(s);
}

/* ---- answers ---- */

static struct answer *find_answer(struct session *s, const struct uuid *send_id)
{
    list_for(item, &s->answers)
    {
        struct answer *answer = container_of(item, struct answer, item);
        if (uuid_eq(&answer->send_id, send_id))
            return answer;
    }
    return NULL;
}

void session_answer(
    struct session *s, const struct uuid *send_id, enum refusal code, const char *detail)
{
    if (find_answer(s, send_id) != NULL)
        return;
    struct answer *answer = mem_alloc(sizeof(*answer));
    answer->send_id = *send_id;
    answer->code = code;
    /* Never half a character: it goes out as text. */
    memcpy(answer->detail, detail,
        text_utf8_prefix(detail, strlen(detail), sizeof(answer->detail) - 1));
    list_append(&s->answers, &answer->item);
}

static void on_answer_taken(void *arg, enum err e, const Stint__V1__Envelope *reply)
{
    struct session *s = arg;
    s->answer = NULL;
    if (!is_reply(s, e, reply, STINT__V1__ENVELOPE__BODY_STATUS))
        return;
    uint32_t code = reply->status->code;
    if (code == REFUSAL_OVERLOADED || code == REFUSAL_STORE_DOWN)
        s->hold_until_mono_ms = clock_mono_ms() + OVERLOADED_MS;
    else if (!is_refused(s, code))
        free(container_of(list_pop(&s->answers), struct answer, item));
}

static void pump_answers(struct session *s)
{
    if (s->answer != NULL || list_is_empty(&s->answers) || clock_mono_ms() < s->hold_until_mono_ms)
        return;
    struct answer *first = container_of(s->answers.next, struct answer, item);
    Stint__V1__AgentSendResult result = STINT__V1__AGENT_SEND_RESULT__INIT;
    result.send_id = wire_uuid(&first->send_id);
    result.code = first->code;
    result.detail = first->detail;
    Stint__V1__AgentAnswer body = STINT__V1__AGENT_ANSWER__INIT;
    body.agent_id = wire_uuid(&s->conf.agent_id);
    body.session_id = s->id;
    body.result = &result;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_ANSWER);
    request.agent_answer = &body;
    s->answer = bus_send(s->client, &request, s->conf.silence_ms, on_answer_taken, s);
}

/* ---- the pump ---- */

static bool is_lost(struct session *s)
{
    bool is_up = bus_client_is_up(s->client);
    bool is_lost = s->was_up && !is_up;
    s->was_up = is_up;
    return is_lost;
}

/* The loop's next turn pumps again; nothing else is to be done. */
static void on_synced(void *arg)
{
    (void)arg;
}

void session_pump(struct session *s)
{
    reports_sync(s->conf.reports, s->conf.loop, on_synced, s);
    if (s->state != SESSION_HELLO && s->state != SESSION_OPEN)
        return;
    if (is_lost(s)) {
        leave(s, "the connection is lost");
        return;
    }
    if (s->state != SESSION_OPEN)
        return;
    pump_reports(s);
    pump_answers(s);
}
