/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - an agent with its app: a session with some worker of its host, numbered reports that it
 * keeps until they are committed, a prompt that it hands to the app once, messages.
 *
 *   seeking ──hello──> open: one poll out, one batch of reports, one answer ──trouble──> seeking
 *
 * The inbox is the code that ships; session and reports are told again in short, since the real
 * ones live on files and sockets (agent/session.c, agent/reports.c).  The record is its disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/inbox.h"
#include "core/base/mem.h"
#include "core/bus/bus.h"
#include "tests/sim/check.h"
#include "tests/sim/part.h"
#include "tests/sim/provider.h"

#define SILENCE_MS      3000
#define SEEK_MS_MIN     100
#define SEEK_MS_MAX     3000
#define BATCH_MAX       16
#define PATIENCE_MS     2000
#define PATIENCE_MS_MAX 30000

struct answer {
    struct uuid send_id;
    enum refusal code;
};

struct agent {
    struct proc *proc;
    struct record *record;
    struct place *place;
    struct loop *loop;
    struct inbox *inbox;
    /* the session */
    struct bus_client *client;
    uint64_t session_id;
    bool is_open, is_over;
    unsigned failures;
    struct timer *timer, *app;
    struct bus_request *talk, *batch, *answering;
    uint64_t sent; /* the last report that was handed over */
    int64_t progress_ms, patience_ms;
    VEC(struct answer) answers;
    /* the app */
    bool working;
    bool is_ready;
};

static void seek(struct agent *a);
static void poll(struct agent *a);
static void flush(struct agent *a);

static int64_t now_ms(void)
{
    return sim->now_us / MS;
}

/* ---- reports ---- */

static void say(struct agent *a, const char *state, const char *lifecycle)
{
    *vec_push(&a->record->said) = (struct said){state, lifecycle};
    if (a->record->said.n == a->record->committed + 1)
        a->progress_ms = now_ms();
}

static void committed(struct agent *a, uint64_t watermark)
{
    if (watermark <= a->record->committed)
        return;
    check_told_watermark(a->record, watermark);
    a->record->committed = watermark;
    if (a->sent < watermark)
        a->sent = watermark;
    a->progress_ms = now_ms();
    a->patience_ms = PATIENCE_MS;
}

/* ---- trouble ---- */

static void drop(struct bus_request **r)
{
    if (*r != NULL)
        bus_request_cancel(*r);
    *r = NULL;
}

static void leave(struct agent *a)
{
    drop(&a->talk);
    drop(&a->batch);
    drop(&a->answering);
    bus_client_free(a->client);
    a->client = NULL;
    a->is_open = false;
    if (a->is_over)
        return;
    int64_t pause = SEEK_MS_MIN << (a->failures < 5 ? a->failures : 5);
    a->failures++;
    timer_start(a->timer, sim_between(SEEK_MS_MIN, pause < SEEK_MS_MAX ? pause : SEEK_MS_MAX), 0);
}

static void end_session(struct agent *a)
{
    a->is_over = true;
    a->record->revoked = true;
    leave(a);
}

/* ---- answers to messages ---- */

static void on_answered(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct agent *a = arg;
    a->answering = NULL;
    bool taken = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS &&
                 reply->status->code == REFUSAL_NONE;
    if (!taken) {
        leave(a);
        return;
    }
    a->answers.n--;
    memmove(a->answers.v, a->answers.v + 1, a->answers.n * sizeof(*a->answers.v));
    flush(a);
}

static void send_answer(struct agent *a)
{
    if (a->answering != NULL || a->answers.n == 0 || !a->is_open)
        return;
    Stint__V1__AgentSendResult result = STINT__V1__AGENT_SEND_RESULT__INIT;
    result.send_id = wire_uuid(&a->answers.v[0].send_id);
    result.code = a->answers.v[0].code;
    Stint__V1__AgentAnswer m = STINT__V1__AGENT_ANSWER__INIT;
    m.agent_id = wire_uuid(&a->record->agent_id);
    m.session_id = a->session_id;
    m.result = &result;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_ANSWER);
    e.agent_answer = &m;
    a->answering = bus_send(a->client, &e, SILENCE_MS, on_answered, a);
}

/* ---- handing over reports ---- */

static void on_batch(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct agent *a = arg;
    a->batch = NULL;
    uint32_t said = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS
                        ? reply->status->code
                        : REFUSAL_STORE_DOWN;
    if (said == REFUSAL_OVERLOADED) { /* Redis is away: from the watermark, later */
        a->sent = a->record->committed;
        a->progress_ms = now_ms();
        return;
    }
    if (said != REFUSAL_NONE) {
        leave(a);
        return;
    }
    if (sim_is_variant(VARIANT_FORGETFUL_AGENT))
        a->record->committed = a->sent;
    flush(a);
}

static void fill_report(Stint__V1__Report *r, Stint__V1__AppState *state,
    Stint__V1__Lifecycle *lifecycle, const struct said *said)
{
    stint__v1__report__init(r);
    r->at_us = sim->now_us;
    if (said->lifecycle != NULL) {
        stint__v1__lifecycle__init(lifecycle);
        lifecycle->state = (char *)(uintptr_t)said->lifecycle;
        r->what_case = STINT__V1__REPORT__WHAT_LIFECYCLE;
        r->lifecycle = lifecycle;
        return;
    }
    stint__v1__app_state__init(state);
    state->app_slug = (char *)(uintptr_t) "shell";
    state->state = (char *)(uintptr_t)said->state;
    state->message = (char *)(uintptr_t)said->state;
    r->what_case = STINT__V1__REPORT__WHAT_APP_STATE;
    r->app_state = state;
}

static void send_reports(struct agent *a)
{
    Stint__V1__Report reports[BATCH_MAX], *list[BATCH_MAX];
    Stint__V1__AppState states[BATCH_MAX];
    Stint__V1__Lifecycle lifecycles[BATCH_MAX];
    size_t n = 0;
    for (; n < BATCH_MAX && a->sent + n < a->record->said.n; n++) {
        fill_report(&reports[n], &states[n], &lifecycles[n], &a->record->said.v[a->sent + n]);
        reports[n].seq = a->sent + n + 1;
        list[n] = &reports[n];
    }
    Stint__V1__AgentReports m = STINT__V1__AGENT_REPORTS__INIT;
    m.agent_id = wire_uuid(&a->record->agent_id);
    m.session_id = a->session_id;
    m.n_report = n;
    m.report = list;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_REPORTS);
    e.agent_reports = &m;
    a->sent += n;
    a->batch = bus_send(a->client, &e, SILENCE_MS, on_batch, a);
}

static void look_after_reports(struct agent *a)
{
    bool stands_still = a->sent > a->record->committed && a->batch == NULL &&
                        now_ms() - a->progress_ms >= a->patience_ms;
    if (stands_still) {
        a->sent = a->record->committed;
        a->progress_ms = now_ms();
        a->patience_ms =
            a->patience_ms * 2 < PATIENCE_MS_MAX ? a->patience_ms * 2 : PATIENCE_MS_MAX;
    }
    if (a->batch == NULL && a->sent < a->record->said.n)
        send_reports(a);
}

static void flush(struct agent *a)
{
    if (!a->is_open)
        return;
    look_after_reports(a);
    send_answer(a);
}

/* ---- the conversation ---- */

static void take_message(struct agent *a, const Stint__V1__AgentMessage *m)
{
    struct uuid id;
    if (!wire_get_uuid(&m->send_id, &id))
        return;
    sim_trace("%s %.8s", m->withdraw ? "shall not take" : "gets", uuid_format(&id).s);
    if (m->withdraw)
        inbox_withdraw(a->inbox, &id);
    else
        inbox_message(a->inbox, &id, m->content, strlen(m->content), m->when_stable);
}

static void on_work(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct agent *a = arg;
    a->talk = NULL;
    bool good = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_AGENT_WORK;
    if (good && reply->agent_work->code == REFUSAL_TOKEN_UNKNOWN) {
        end_session(a);
        return;
    }
    if (!good || reply->agent_work->code != REFUSAL_NONE) {
        leave(a);
        return;
    }
    a->failures = 0;
    committed(a, reply->agent_work->watermark);
    for (size_t i = 0; i < reply->agent_work->n_message; i++)
        take_message(a, reply->agent_work->message[i]);
    flush(a);
    poll(a);
}

static void poll(struct agent *a)
{
    if (!a->is_open || a->talk != NULL)
        return;
    Stint__V1__AgentPoll m = STINT__V1__AGENT_POLL__INIT;
    m.agent_id = wire_uuid(&a->record->agent_id);
    m.session_id = a->session_id;
    m.watermark = a->record->committed;
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_POLL);
    e.agent_poll = &m;
    a->talk = bus_send(a->client, &e, SILENCE_MS, on_work, a);
}

static void on_welcome(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    struct agent *a = arg;
    a->talk = NULL;
    bool good = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_AGENT_WELCOME;
    if (good && reply->agent_welcome->code == REFUSAL_TOKEN_UNKNOWN) {
        end_session(a);
        return;
    }
    if (!good || reply->agent_welcome->code != REFUSAL_NONE) {
        leave(a);
        return;
    }
    a->is_open = true;
    a->session_id = reply->agent_welcome->session_id;
    committed(a, reply->agent_welcome->watermark);
    a->sent = a->record->committed;
    a->patience_ms = PATIENCE_MS;
    flush(a);
    poll(a);
}

static void seek(struct agent *a)
{
    char url[48];
    struct errctx ctx;
    unsigned i = (unsigned)sim_between(0, WORKERS - 1);
    while (worker_proc(i)->host != a->proc->host)
        i = (i + 1) % WORKERS;
    snprintf(url, sizeof(url), "ipc:///agents/%s", worker_proc(i)->name);
    if (bus_connect(a->loop, url, &a->client, &ctx) != ERR_OK)
        abort();
    Stint__V1__AgentHello m = STINT__V1__AGENT_HELLO__INIT;
    m.agent_id = wire_uuid(&a->record->agent_id);
    m.token = a->record->token;
    m.version = (char *)(uintptr_t) "sim";
    Stint__V1__Envelope e = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_HELLO);
    e.agent_hello = &m;
    a->talk = bus_send(a->client, &e, SILENCE_MS, on_welcome, a);
}

static void on_timer(void *arg)
{
    struct agent *a = arg;
    if (a->client == NULL && !a->is_over)
        seek(a);
}

/* ---- the app ---- */

static void work(struct agent *a, int64_t ms)
{
    a->working = true;
    say(a, "working", NULL);
    timer_start(a->app, ms, 0);
}

static void hand_over_prompt(struct agent *a)
{
    bool had = false;
    for (size_t i = 0; i < a->place->prompted.n; i++)
        had = had || uuid_eq(&a->place->prompted.v[i], &a->place->build_id);
    if (had && !sim_is_variant(VARIANT_PROMPT_AGAIN)) {
        say(a, "idle", NULL); /* it is a new process: whatever it was at is over */
        return;
    }
    check_prompt(a->place, had);
    *vec_push(&a->place->prompted) = a->place->build_id;
    work(a, sim_between(2000, 30000));
}

static void on_app(void *arg)
{
    struct agent *a = arg;
    if (!a->is_ready) {
        a->is_ready = true;
        say(a, NULL, "ready");
        hand_over_prompt(a);
    } else if (a->working) {
        static const char *const ends[] = {"complete", "idle", "idle", "failure"};
        a->working = false;
        say(a, ends[sim_between(0, 3)], NULL);
    }
    if (!a->working)
        inbox_pump(a->inbox);
    flush(a);
}

static bool is_stable(void *arg)
{
    const struct agent *a = arg;
    return a->is_ready && !a->working;
}

static bool has_taken(void *arg, const struct uuid *send_id)
{
    const struct agent *a = arg;
    for (size_t i = 0; i < a->place->heard.n; i++)
        if (uuid_eq(&a->place->heard.v[i], send_id))
            return true;
    return false;
}

static void on_answer(void *arg, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct agent *a = arg;
    (void)detail;
    sim_trace("says of %.8s: %s", uuid_format(send_id).s, refusal_row(code)->name);
    *vec_push(&a->answers) = (struct answer){*send_id, code};
}

static void deliver(void *arg, const struct uuid *send_id, const char *content, size_t n)
{
    struct agent *a = arg;
    (void)content, (void)n;
    if (!is_stable(a)) {
        inbox_answered(a->inbox, send_id, REFUSAL_APP_BUSY, "");
        return;
    }
    if (sim_happens(FAULT_ACTION, 20)) {
        inbox_answered(a->inbox, send_id, REFUSAL_APP_REJECTED, "simulated");
        return;
    }
    check_heard(a->place, send_id);
    *vec_push(&a->place->heard) = *send_id;
    work(a, sim_between(1000, 8000));
    inbox_answered(a->inbox, send_id, REFUSAL_NONE, "");
}

/* ---- life ---- */

static void birth(struct proc *p)
{
    struct agent *a = mem_alloc(sizeof(*a));
    struct record *r = p->self;
    *a = (struct agent){.proc = p, .record = r, .place = r->place, .patience_ms = PATIENCE_MS};
    const struct inbox_conf conf = {.deliver = deliver,
        .is_stable = is_stable,
        .has_taken = has_taken,
        .answer = on_answer,
        .arg = a};
    p->self = a;
    a->loop = loop_new();
    a->inbox = inbox_new(&conf);
    a->timer = timer_new(a->loop, on_timer, a);
    a->app = timer_new(a->loop, on_app, a);
    a->sent = r->committed;
    if (r->said.n == 0)
        say(a, NULL, "starting");
    timer_start(a->timer, 1, 0);
    timer_start(a->app, sim_between(300, 3000), 0);
}

static void death(struct proc *p)
{
    struct agent *a = p->self;
    a->is_over = true;
    leave(a);
    inbox_free(a->inbox);
    timer_free(a->timer);
    timer_free(a->app);
    vec_done(&a->answers);
    p->self = a->record;
    loops_cut(p);
    free(a);
}

void agent_init(struct proc *p, struct record *record)
{
    p->self = record;
    p->birth = birth;
    p->death = death;
}
