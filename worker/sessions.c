/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.c - requests of agents as rows, each answered now or held.
 *
 * An agent that asks with a session we do not have (ours ended, or it was another worker's) is told
 * SESSION_UNKNOWN and says hello again.
 */
#include "worker/sessions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "worker/metric.h"
#include "worker/session.h"
#include "worker/socket_dir.h"

#define CALLS_MAX         16384
#define OPEN_WAIT_MS      2500
#define SEND_WAIT_MS      10000
#define TICK_MS           100
#define SWEEP_EVERY_TICKS 100

struct sessions {
    struct loop *loop;
    struct bus_client *scheduler;
    struct kv *redis;
    struct uuid worker_id;
    struct bus_server *server;
    struct bus_server *network; /* NULL: only agents of this host are served */
    struct timer *timer;
    struct session_set set;
    struct socket_dir *dir;
    unsigned ticks;
    bool draining;
};

/* ---- answers ---- */

static void reply_welcome(struct bus_call *call, enum refusal code, const struct session *s)
{
    Stint__V1__AgentWelcome welcome = STINT__V1__AGENT_WELCOME__INIT;
    welcome.code = code;
    if (s != NULL) {
        welcome.session_id = s->id;
        welcome.watermark = s->watermark;
    }
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_WELCOME);
    reply.agent_welcome = &welcome;
    bus_reply(call, &reply);
}

static void reply_work(struct bus_call *call, enum refusal code)
{
    Stint__V1__AgentWork work = STINT__V1__AGENT_WORK__INIT;
    work.code = code;
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_WORK);
    reply.agent_work = &work;
    bus_reply(call, &reply);
}

/* Answer a poll of this session: the watermark, and the messages that are due. */
static void deliver(struct session *s, struct bus_call *call)
{
    int64_t now_ms = clock_mono_ms();
    VEC(Stint__V1__AgentMessage) messages = {0};
    VEC(Stint__V1__AgentMessage *) pointers = {0};
    list_for(it, &s->messages)
    {
        struct session_message *m = container_of(it, struct session_message, node);
        if (!session_message_is_due(m, now_ms))
            continue;
        session_message_sent(m, now_ms);
        Stint__V1__AgentMessage *out = vec_push(&messages);
        stint__v1__agent_message__init(out);
        out->agent_id = wire_uuid(&s->agent_id);
        out->send_id = wire_uuid(&m->send_id);
        out->content = m->content;
        out->when_stable = m->manner.when_stable;
        out->withdraw = m->manner.withdraw;
    }
    for (size_t i = 0; i < messages.n; i++)
        *vec_push(&pointers) = &messages.v[i];

    Stint__V1__AgentWork work = STINT__V1__AGENT_WORK__INIT;
    work.watermark = s->watermark;
    work.n_message = messages.n;
    work.message = pointers.v;
    Stint__V1__Envelope reply = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_WORK);
    reply.agent_work = &work;
    bus_reply(call, &reply);
    vec_done(&messages);
    vec_done(&pointers);
}

static void deliver_if_held(struct session *s)
{
    struct bus_call *call = session_unhold(s);
    if (call != NULL)
        deliver(s, call);
}

/* ---- to the scheduler: what became of a message ---- */

static void on_send_result_taken(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    (void)arg, (void)code, (void)reply; /* the scheduler gives up waiting by itself */
}

static void send_result(
    struct sessions *s, const struct uuid *send_id, uint32_t code, const char *detail)
{
    Stint__V1__AgentSendResult result = STINT__V1__AGENT_SEND_RESULT__INIT;
    result.send_id = wire_uuid(send_id);
    result.code = code;
    result.detail = (char *)(uintptr_t)detail;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_SEND_RESULT);
    request.agent_send_result = &result;
    bus_send(s->scheduler, &request, SEND_WAIT_MS, on_send_result_taken, NULL);
}

static void refuse_messages(struct sessions *s, struct session *session, const char *detail)
{
    list_for_safe(it, &session->messages)
    {
        struct session_message *m = container_of(it, struct session_message, node);
        send_result(s, &m->send_id, REFUSAL_APP_UNREACHABLE, detail);
        session_drop_message(m);
    }
}

static void end_session(struct sessions *s, struct session *session, bool tell, const char *why)
{
    struct uuid_str id = uuid_format(&session->agent_id);
    log_debug("session ends agent=%s why=%s", id.s, LOG_Q(why));
    refuse_messages(s, session, "The agent has left its worker.");
    session_close(&s->set, session, tell);
    METRIC_SET(sessions, s->set.by_agent.n);
}

/* ---- hello ---- */

struct hello {
    struct sessions *sessions;
    struct bus_call *call;
    struct uuid agent_id;
};

static void open_session(struct sessions *s, const struct hello *h, uint64_t watermark)
{
    uint64_t id;
    rng_bytes(&id, sizeof(id));
    void *held;
    struct session *session =
        session_open(&s->set, &h->agent_id, id | 1, watermark, clock_mono_ms(), &held);
    if (held != NULL)
        reply_work(held, REFUSAL_SESSION_UNKNOWN);
    METRIC_SET(sessions, s->set.by_agent.n);
    struct uuid_str text = uuid_format(&h->agent_id);
    log_debug("session begins agent=%s watermark=%llu", text.s, (unsigned long long)watermark);
    reply_welcome(h->call, REFUSAL_NONE, session);
}

static void on_opened(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    scoped_free struct hello *h = arg;
    if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_AGENT_OPENED) {
        if (reply->agent_opened->code == REFUSAL_NONE)
            open_session(h->sessions, h, reply->agent_opened->watermark);
        else
            reply_welcome(h->call, (enum refusal)reply->agent_opened->code, NULL);
        return;
    }
    bool refused = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS &&
                   reply->status->code != REFUSAL_NONE;
    reply_welcome(h->call, refused ? (enum refusal)reply->status->code : REFUSAL_OVERLOADED, NULL);
}

static void on_hello(struct sessions *s, struct bus_call *call, const Stint__V1__Envelope *e)
{
    struct uuid agent_id;
    if (!wire_get_uuid(&e->agent_hello->agent_id, &agent_id) || uuid_is_nil(&agent_id)) {
        reply_welcome(call, REFUSAL_MALFORMED, NULL);
        return;
    }
    if (s->draining) {
        reply_welcome(call, REFUSAL_OVERLOADED, NULL);
        return;
    }
    struct hello *h = mem_alloc(sizeof(*h));
    *h = (struct hello){s, call, agent_id};
    Stint__V1__AgentOpen open = STINT__V1__AGENT_OPEN__INIT;
    open.worker_id = wire_uuid(&s->worker_id);
    open.agent_id = wire_uuid(&h->agent_id);
    open.token = e->agent_hello->token;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_AGENT_OPEN);
    request.agent_open = &open;
    bus_send(s->scheduler, &request, OPEN_WAIT_MS, on_opened, h);
}

/* ---- poll ---- */

static struct session *session_of(
    struct sessions *s, const ProtobufCBinaryData *agent_id, uint64_t id)
{
    struct uuid agent;
    return wire_get_uuid(agent_id, &agent) ? session_find(&s->set, &agent, id, clock_mono_ms())
                                           : NULL;
}

static void on_poll(struct sessions *s, struct bus_call *call, const Stint__V1__Envelope *e)
{
    const Stint__V1__AgentPoll *poll = e->agent_poll;
    struct session *session = session_of(s, &poll->agent_id, poll->session_id);
    int64_t now_ms = clock_mono_ms();
    if (session == NULL) {
        reply_work(call, REFUSAL_SESSION_UNKNOWN);
        return;
    }
    void *older;
    session_hold(&s->set, session, call, now_ms, &older);
    if (older != NULL)
        reply_work(older, REFUSAL_NONE);
    if (session->watermark > poll->watermark || session_has_mail(session, now_ms))
        deliver_if_held(session);
}

/* ---- reports ---- */

static void on_handed_over(void *arg, enum err code, const struct redisReply *reply)
{
    (void)reply;
    struct bus_call *call = arg;
    if (code != ERR_OK)
        METRIC_ADD(report_failures, 1);
    bus_reply_status(call, code == ERR_OK ? REFUSAL_NONE : REFUSAL_OVERLOADED,
        code == ERR_OK ? "" : "The worker cannot reach Redis.");
}

static bool are_in_order(const Stint__V1__AgentReports *r)
{
    for (size_t i = 0; i < r->n_report; i++) {
        if (r->report[i]->seq == 0 || r->report[i]->seq != r->report[0]->seq + i)
            return false;
    }
    return true;
}

static void on_reports(struct sessions *s, struct bus_call *call, const Stint__V1__Envelope *e)
{
    const Stint__V1__AgentReports *r = e->agent_reports;
    if (session_of(s, &r->agent_id, r->session_id) == NULL) {
        bus_reply_status(call, REFUSAL_SESSION_UNKNOWN, "");
        return;
    }
    if (r->n_report == 0 || !are_in_order(r)) {
        bus_reply_status(
            call, REFUSAL_MALFORMED, "Reports are numbered from 1, in order, without a gap.");
        return;
    }
    size_t n = stint__v1__agent_reports__get_packed_size(r);
    scoped_free uint8_t *packed = mem_alloc(n);
    stint__v1__agent_reports__pack(r, packed);
    const char *const argv[] = {
        "XADD", "stint:reports", "MAXLEN", "~", "1000000", "*", "r", (const char *)packed};
    const size_t lens[] = {4, 13, 6, 1, 7, 1, 1, n};
    METRIC_ADD(reports, r->n_report);
    kv_command(s->redis, on_handed_over, call, (int)COUNT(argv), argv, lens);
}

/* ---- messages ---- */

static void on_answer(struct sessions *s, struct bus_call *call, const Stint__V1__Envelope *e)
{
    const Stint__V1__AgentAnswer *a = e->agent_answer;
    struct session *session = session_of(s, &a->agent_id, a->session_id);
    struct uuid send_id;
    if (session == NULL) {
        bus_reply_status(call, REFUSAL_SESSION_UNKNOWN, "");
        return;
    }
    if (a->result == NULL || !wire_get_uuid(&a->result->send_id, &send_id)) {
        bus_reply_status(call, REFUSAL_MALFORMED, "");
        return;
    }
    struct session_message *m = session_find_message(session, &send_id);
    if (m != NULL) {
        send_result(s, &send_id, a->result->code, a->result->detail);
        session_drop_message(m);
    }
    bus_reply_status(call, REFUSAL_NONE, "");
}

void sessions_message(struct sessions *s, const Stint__V1__AgentMessage *m)
{
    struct uuid agent_id, send_id;
    if (!wire_get_uuid(&m->agent_id, &agent_id) || !wire_get_uuid(&m->send_id, &send_id))
        return;
    METRIC_ADD(messages, 1);
    struct session *session = map_get(&s->set.by_agent, &agent_id);
    if (session == NULL) {
        send_result(s, &send_id, REFUSAL_APP_UNREACHABLE, "The agent is not connected.");
        return;
    }
    struct session_manner manner = {m->when_stable, m->withdraw};
    if (session_add_message(session, &send_id, m->content, manner, clock_mono_ms()))
        deliver_if_held(session);
}

/* ---- dispatch ---- */

static void on_request(void *arg, struct bus_call *call, const Stint__V1__Envelope *e)
{
    static const struct {
        Stint__V1__Envelope__BodyCase body;
        void (*handle)(struct sessions *s, struct bus_call *call, const Stint__V1__Envelope *e);
    } rows[] = {
        {STINT__V1__ENVELOPE__BODY_AGENT_HELLO,   on_hello  },
        {STINT__V1__ENVELOPE__BODY_AGENT_POLL,    on_poll   },
        {STINT__V1__ENVELOPE__BODY_AGENT_REPORTS, on_reports},
        {STINT__V1__ENVELOPE__BODY_AGENT_ANSWER,  on_answer },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (rows[i].body == e->body_case) {
            rows[i].handle(arg, call, e);
            return;
        }
    }
    bus_reply_status(call, REFUSAL_MALFORMED, "A worker does not serve this request.");
}

void sessions_revoke(struct sessions *s, const struct uuid *agent_id)
{
    struct session *session = map_get(&s->set.by_agent, agent_id);
    if (session == NULL)
        return;
    struct bus_call *call = session_unhold(session);
    if (call != NULL)
        reply_work(call, REFUSAL_TOKEN_UNKNOWN);
    end_session(s, session, false, "a later build has taken its place");
}

void sessions_committed(struct sessions *s, const struct uuid *agent_id, uint64_t number)
{
    struct session *session = map_get(&s->set.by_agent, agent_id);
    if (session == NULL || number <= session->watermark)
        return;
    session->watermark = number;
    deliver_if_held(session);
}

/* ---- time ---- */

static void drop_old_messages(struct sessions *s, struct session *session, int64_t now_ms)
{
    list_for_safe(it, &session->messages)
    {
        struct session_message *m = container_of(it, struct session_message, node);
        if (!session_message_is_old(m, now_ms))
            continue;
        send_result(
            s, &m->send_id, REFUSAL_APP_UNREACHABLE, "The agent did not take the message in time.");
        session_drop_message(m);
    }
}

static void close_silent(struct sessions *s, int64_t now_ms)
{
    VEC(struct session *) silent = {0};
    struct session *session;
    for (size_t i = 0; (session = map_next(&s->set.by_agent, &i)) != NULL;) {
        drop_old_messages(s, session, now_ms);
        if (session_is_silent(session, now_ms))
            *vec_push(&silent) = session;
    }
    for (size_t i = 0; i < silent.n; i++)
        end_session(s, silent.v[i], true, "silent for 5 s");
    vec_done(&silent);
}

static void on_tick(void *arg)
{
    struct sessions *s = arg;
    int64_t now_ms = clock_mono_ms();
    for (struct session *due; (due = session_held_due(&s->set, now_ms)) != NULL;) {
        due->seen_ms = now_ms; /* its next poll follows this answer */
        deliver_if_held(due);
    }
    s->ticks++;
    if (s->ticks % 10 == 0)
        close_silent(s, now_ms);
    if (s->ticks % SWEEP_EVERY_TICKS == 0)
        socket_dir_sweep(s->dir);
}

/* ---- what the scheduler is told ---- */

struct uuid *sessions_news(struct sessions *s, bool is_open, uint64_t poll, size_t *ret_n)
{
    struct uuid *ids = mem_calloc(s->set.news.n + 1, sizeof(*ids));
    *ret_n = 0;
    for (size_t i = 0; i < s->set.news.n; i++) {
        struct session_news *news = &s->set.news.v[i];
        if (news->is_open != is_open)
            continue;
        if (news->poll == 0)
            news->poll = poll;
        ids[(*ret_n)++] = news->agent_id;
    }
    return ids;
}

void sessions_told(struct sessions *s, uint64_t poll)
{
    session_news_told(&s->set, poll);
}

bool sessions_have_ended(const struct sessions *s)
{
    for (size_t i = 0; i < s->set.news.n; i++)
        if (!s->set.news.v[i].is_open && s->set.news.v[i].poll == 0)
            return true;
    return false;
}

struct uuid *sessions_list(const struct sessions *s, size_t *ret_n)
{
    struct uuid *ids = mem_calloc(s->set.by_agent.n + 1, sizeof(*ids));
    const struct session *session;
    *ret_n = 0;
    for (size_t i = 0; (session = map_next(&s->set.by_agent, &i)) != NULL;)
        ids[(*ret_n)++] = session->agent_id;
    return ids;
}

/* ---- life ---- */

static enum err listen_here(struct sessions *s, struct errctx *ctx)
{
    const char *path = socket_dir_socket(s->dir);
    struct strbuf url;
    strbuf_init(&url);
    strbuf_addf(&url, "ipc://%s", path);
    enum err e = bus_listen(s->loop, url.s, CALLS_MAX, on_request, s, &s->server, ctx);
    strbuf_done(&url);
    /* Agents are other users; reaching the socket is what their sandbox's mount allows. */
    if (e == ERR_OK && chmod(path, 0666) != 0)
        e = err_set(ctx, ERR_IO, "cannot open %s to the agents: %s", path, strerror(errno));
    return e;
}

enum err sessions_new(struct loop *l, struct bus_client *scheduler, struct kv *redis,
    const char *data_dir, const struct uuid *worker_id, struct sessions **ret_sessions,
    struct errctx *ctx)
{
    struct sessions *s = mem_alloc(sizeof(*s));
    *s = (struct sessions){
        .loop = l, .scheduler = scheduler, .redis = redis, .worker_id = *worker_id};
    session_set_init(&s->set);
    s->timer = timer_new(l, on_tick, s);
    enum err e = socket_dir_open(data_dir, worker_id, &s->dir, ctx);
    if (e == ERR_OK) {
        socket_dir_sweep(s->dir);
        e = listen_here(s, ctx);
    }
    if (e != ERR_OK) {
        sessions_free(s);
        return e;
    }
    timer_start(s->timer, TICK_MS, TICK_MS);
    *ret_sessions = s;
    return ERR_OK;
}

enum err sessions_listen(struct sessions *s, const char *url, struct errctx *ctx)
{
    return bus_listen(s->loop, url, CALLS_MAX, on_request, s, &s->network, ctx);
}

const char *sessions_url(const struct sessions *s)
{
    return s->network != NULL ? bus_server_url(s->network) : "";
}

void sessions_drain(struct sessions *s)
{
    s->draining = true;
}

void sessions_free(struct sessions *s)
{
    if (s == NULL)
        return;
    timer_free(s->timer);
    if (s->server != NULL)
        bus_server_free(s->server);
    if (s->network != NULL)
        bus_server_free(s->network);
    socket_dir_close(s->dir);
    session_set_done(&s->set);
    free(s);
}
