/* SPDX-License-Identifier: Apache-2.0 */
/* poll.c - the conversation of a worker with the scheduler. */
#include "worker/poll.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "worker/metric.h"

/* The scheduler answers within a second; a poll that takes longer is lost. */
#define ANSWER_WAIT_MS 4000
#define AGAIN_MS       250

/* What the newest poll has said. */
struct said {
    size_t free_slots;
    bool draining;
};

struct poll {
    struct bus_client *scheduler;
    struct poll_identity id;
    struct hands *hands;
    struct slots *slots;
    struct sessions *sessions;
    struct timer *again;
    void (*on_first)(void *arg);
    void *arg;

    uint64_t epoch;
    struct said said;
    bool resync;   /* tell all sessions with the next one */
    bool waiting;  /* after a failure, until the timer */
    bool is_known; /* the scheduler has answered once */
    bool told_drain;
    bool away; /* and said so */
};

/* One poll that is out. */
struct asked {
    struct poll *poll;
    uint64_t number;
    int64_t sent_mono_ms;
    bool complete;
    bool draining;
};

static void on_again(void *arg)
{
    struct poll *p = arg;
    p->waiting = false;
    poll_refresh(p);
}

struct poll *poll_new(struct loop *l, struct bus_client *scheduler, const struct poll_identity *id,
    struct hands *hands, struct sessions *sessions, void (*on_first)(void *arg), void *arg)
{
    struct poll *p = mem_alloc(sizeof(*p));
    *p = (struct poll){.scheduler = scheduler,
        .id = *id,
        .hands = hands,
        .slots = hands->slots,
        .sessions = sessions,
        .on_first = on_first,
        .arg = arg};
    p->again = timer_new(l, on_again, p);
    atomic_store(&hands->lease.until_mono_ms, INT64_MAX);
    return p;
}

void poll_free(struct poll *p)
{
    if (p == NULL)
        return;
    timer_free(p->again);
    free(p);
}

bool poll_is_away(const struct poll *p)
{
    return p->away;
}

bool poll_has_told_drain(const struct poll *p)
{
    return p->told_drain;
}

/* ---- answers ---- */

static void take_refs(struct hands *h, size_t n, Stint__V1__JobRef *const *refs,
    void (*fn)(struct hands *h, const struct uuid *job_id, uint64_t token))
{
    for (size_t i = 0; i < n; i++) {
        struct uuid id;
        if (wire_get_uuid(&refs[i]->job_id, &id))
            fn(h, &id, refs[i]->token);
    }
}

static void take_work(struct poll *p, const Stint__V1__WorkerWork *w)
{
    p->epoch = w->epoch;
    p->resync = p->resync || w->resync;
    take_refs(p->hands, w->n_abandon, w->abandon, hands_abandon);
    for (size_t i = 0; i < w->n_job; i++)
        hands_take(p->hands, w->job[i]);
    take_refs(p->hands, w->n_cancel, w->cancel, hands_cancel);
    for (size_t i = 0; i < w->n_message; i++)
        sessions_message(p->sessions, w->message[i]);
    for (size_t i = 0; i < w->n_revoked_agent_id; i++) {
        struct uuid id;
        if (wire_get_uuid(&w->revoked_agent_id[i], &id))
            sessions_revoke(p->sessions, &id);
    }
}

/* Jobs that we do not hold any more have been told so already. */
static void renew(
    struct poll *p, const struct asked *a, const Stint__V1__WorkerWork *w, uint64_t epoch)
{
    _Atomic int64_t *until = &p->hands->lease.until_mono_ms;
    int64_t had = atomic_load(until), now = clock_mono_ms();
    if (w->lease_ms == 0) {
        if (epoch != w->epoch) /* a new leader, perhaps one that does not tell */
            atomic_store(until, INT64_MAX);
        return;
    }
    int64_t end = a->sent_mono_ms + w->lease_ms;
    if (had <= now && end > now && p->slots->n[JOB_RUNNING] > 0)
        log_warn("jobs in hand stood still while their lease was in doubt; they go on ms=%lld",
            (long long)(now - had));
    if (had == INT64_MAX || end > had)
        atomic_store(until, end);
}

static void on_failure(struct poll *p, enum err code, const Stint__V1__Envelope *reply)
{
    METRIC_ADD(poll_failures, 1);
    const char *why = err_text(code);
    if (code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_STATUS)
        why = refusal_row(reply->status->code)->message;
    if (!p->away)
        log_warn(
            "the scheduler does not answer; jobs in hand go on, polling again until it does why=%s",
            LOG_Q(why));
    p->away = true;
    p->waiting = true;
    timer_start(p->again, AGAIN_MS, 0);
}

static void on_success(struct poll *p, const struct asked *a, const Stint__V1__WorkerWork *w)
{
    METRIC_ADD(polls, 1);
    sessions_told(p->sessions, a->number);
    p->told_drain = p->told_drain || a->draining;
    if (p->away)
        log_info("the scheduler answers again epoch=%llu", (unsigned long long)w->epoch);
    p->away = false;
    uint64_t epoch = p->epoch;
    take_work(p, w);
    renew(p, a, w, epoch);
    if (!p->is_known) {
        p->is_known = true;
        p->on_first(p->arg);
    }
}

static void on_answer(void *arg, enum err code, const Stint__V1__Envelope *reply)
{
    scoped_free struct asked *a = arg;
    struct poll *p = a->poll;
    if (code == ERR_CANCELED) /* the end */
        return;
    bool good = code == ERR_OK && reply->body_case == STINT__V1__ENVELOPE__BODY_WORKER_WORK;
    if (good) {
        on_success(p, a, reply->worker_work);
    } else {
        p->resync = p->resync || a->complete;
        on_failure(p, code, reply);
    }
    /* After the work is taken: until here its jobs must be known as they were. */
    slots_poll_back(p->slots, a->number);
}

/* ---- questions ---- */

struct named {
    Stint__V1__JobRef *refs;
    Stint__V1__JobRef **pointers;
    size_t n;
};

static void name_jobs(const struct slots *s, struct named *out)
{
    size_t n = slots_named(s);
    out->refs = mem_calloc(n + 1, sizeof(*out->refs));
    out->pointers = mem_calloc(n + 1, sizeof(*out->pointers));
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        if (!job_is_named((enum job_state)state))
            continue;
        list_for(it, &s->list[state])
        {
            const struct job *j = container_of(it, struct job, node);
            Stint__V1__JobRef *ref = &out->refs[out->n];
            stint__v1__job_ref__init(ref);
            ref->job_id = wire_uuid(&j->spec.job_id);
            ref->token = j->spec.token;
            out->pointers[out->n++] = ref;
        }
    }
}

static ProtobufCBinaryData *ids_of(const struct uuid *ids, size_t n)
{
    ProtobufCBinaryData *data = mem_calloc(n + 1, sizeof(*data));
    for (size_t i = 0; i < n; i++)
        data[i] = wire_uuid(&ids[i]);
    return data;
}

static size_t free_slots(const struct poll *p)
{
    return p->hands->draining ? 0 : slots_free(p->slots);
}

static void ask(struct poll *p)
{
    struct asked *a = mem_alloc(sizeof(*a));
    *a = (struct asked){.poll = p,
        .number = slots_poll_sent(p->slots),
        .sent_mono_ms = clock_mono_ms(),
        .complete = p->resync,
        .draining = p->hands->draining};
    char *provisioner[PROVISIONERS_MAX];
    for (size_t i = 0; i < p->hands->n_provisioners; i++)
        provisioner[i] = (char *)(uintptr_t)p->hands->provisioner[i].name;
    struct named named = {0};
    name_jobs(p->slots, &named);
    size_t n_closed, n_opened, n_all = 0;
    scoped_free struct uuid *closed = sessions_news(p->sessions, false, a->number, &n_closed);
    scoped_free struct uuid *opened = sessions_news(p->sessions, true, a->number, &n_opened);
    scoped_free struct uuid *all = p->resync ? sessions_list(p->sessions, &n_all) : NULL;
    scoped_free ProtobufCBinaryData *closed_ids = ids_of(closed, n_closed);
    scoped_free ProtobufCBinaryData *here_ids =
        p->resync ? ids_of(all, n_all) : ids_of(opened, n_opened);

    Stint__V1__WorkerPoll poll = STINT__V1__WORKER_POLL__INIT;
    poll.worker_id = wire_uuid(&p->id.worker_id);
    poll.name = (char *)(uintptr_t)p->id.name;
    poll.host = (char *)(uintptr_t)p->id.host;
    poll.agent_url = (char *)(uintptr_t)p->id.agent_url;
    poll.n_provisioner = p->hands->n_provisioners;
    poll.provisioner = provisioner;
    poll.free_slots = (uint32_t)free_slots(p);
    poll.slots = (uint32_t)p->slots->room;
    poll.n_running = named.n;
    poll.running = named.pointers;
    poll.draining = p->hands->draining;
    poll.epoch = p->epoch;
    poll.n_session_agent_id = p->resync ? n_all : n_opened;
    poll.session_agent_id = here_ids;
    poll.sessions_complete = p->resync;
    poll.version = (char *)(uintptr_t)STINT_VERSION;
    poll.n_closed_agent_id = n_closed;
    poll.closed_agent_id = closed_ids;
    Stint__V1__Envelope request = wire_envelope(STINT__V1__ENVELOPE__BODY_WORKER_POLL);
    request.worker_poll = &poll;
    p->said = (struct said){.free_slots = poll.free_slots, .draining = poll.draining};
    p->resync = false;
    bus_send(p->scheduler, &request, ANSWER_WAIT_MS, on_answer, a);
    free(named.refs);
    free(named.pointers);
}

/* Would the poll that is out keep something from us, or from the scheduler? */
static bool is_outdated(const struct poll *p)
{
    size_t now = free_slots(p);
    return (now > 0 && p->said.free_slots == 0) ||
           now >= p->said.free_slots * 2 + p->slots->room / 4 + 1 ||
           sessions_have_ended(p->sessions) || p->resync || p->said.draining != p->hands->draining;
}

void poll_refresh(struct poll *p)
{
    bool none_out = p->slots->polls_out[0] == 0 && p->slots->polls_out[1] == 0;
    if (p->waiting || !slots_can_poll(p->slots))
        return;
    if (none_out || is_outdated(p))
        ask(p);
}
