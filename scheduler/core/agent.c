/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - agents as the brain sees them: whose session is where, is the app at rest, and messages
 * on their way.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define SEND_MS_MAX     10000
#define SILENT_MS_MAX   30000
#define SILENT_CHECK_MS 1000

void agent_set_resting(struct core *c, struct agent *a, bool resting)
{
    list_unlink(&a->rest_link);
    a->resting = resting;
    if (!resting)
        return;
    a->rests_since_ms = c->now_ms;
    list_append(&c->resting, &a->rest_link);
}

void agent_begin(struct core *c, struct task *t, const struct uuid *id, const struct uuid *token)
{
    agent_end(c, t);
    struct agent *a = mem_alloc(sizeof(*a));
    a->id = *id;
    a->token = *token;
    a->task = t;
    t->agent = a;
    map_put(&c->agents, &a->id, a);
}

void agent_end(struct core *c, struct task *t)
{
    struct agent *a = t->agent;
    if (a == NULL)
        return;
    if (a->session != NULL)
        *vec_push(&a->session->outbox.revoked) = a->id;
    list_unlink(&a->rest_link);
    map_remove(&c->agents, &a->id);
    t->agent = NULL;
    free(a);
}

/* Its worker is known: give that one what is on its way.  An agent takes each message once. */
static void deliver(struct core *c, const struct agent *a)
{
    struct send *s;
    for (size_t i = 0; (s = map_next(&c->sends, &i)) != NULL;)
        if (uuid_eq(&s->agent_id, &a->id))
            *vec_push(&a->session->outbox.messages) = (struct agent_message){
                .agent_id = a->id, .send_id = s->id, .content = mem_strdup(s->content)};
}

/* A status in the agent's name, numbered like those that come over REST. */
static void say_for(struct core *c, struct agent *a, const char *state, const char *message)
{
    *vec_push(&c->out->statuses) = (struct row_status){.agent_id = a->id,
        .seq = --a->status_seq,
        .slug = a->task->app_slug,
        .state = state,
        .message = message,
        .uri = ""};
    task_mark_changed(c, a->task);
    core_agent_said(c, &a->id, state, NULL);
}

void agent_set_session(struct core *c, struct agent *a, struct worker *w)
{
    if (a->session == w)
        return;
    a->session = w;
    a->alone_since_ms = 0;
    a->is_lost = false;
    if (w == NULL) {
        agent_expected(c, a);
        return;
    }
    deliver(c, a);
    message_session_begins(c, a->task);
    if (a->said_gone) /* it was working then; what has become of it since, its reports will say */
        say_for(c, a, "working", "The agent is back.");
    a->said_gone = false;
}

void agent_claim(struct core *c, struct agent *a, struct worker *w)
{
    if (a->session == NULL)
        agent_set_session(c, a, w);
    else if (a->session != w)
        a->also = w;
}

void agent_unclaim(struct core *c, struct agent *a, const struct worker *w)
{
    struct worker *other = a->also != w ? a->also : NULL;
    bool is_it = a->session == w;
    if (is_it || a->also == w)
        a->also = NULL;
    if (is_it)
        agent_set_session(c, a, other);
}

void agent_expected(struct core *c, struct agent *a)
{
    const struct job *j = &a->task->job;
    if (a->session == NULL && j->kind == JOB_START && j->state == JOB_SUCCEEDED)
        a->alone_since_ms = c->now_ms;
}

/* Only a host that still has a worker can tell that it is the agent that is gone; of an agent that
 * lives elsewhere, a worker that such agents can reach. */
static bool host_has_worker(const struct core *c, const char *host)
{
    struct worker *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;)
        if (w->known && (host != NULL ? w->host == host : w->agent_url[0] != '\0'))
            return true;
    return false;
}

static void say_gone(struct core *c, struct agent *a)
{
    a->alone_since_ms = 0;
    a->said_gone = true;
    say_for(c, a, "failure", "The agent is gone. Pause and resume the task for a new one.");
}

static void set_lost(struct core *c, struct agent *a)
{
    if (a->is_lost)
        return;
    a->is_lost = true;
    *vec_push(&c->out->agents_lost) = a->id;
    task_mark_changed(c, a->task);
}

void agent_tick_silent(struct core *c)
{
    if (c->now_ms - c->silent_checked_ms < SILENT_CHECK_MS)
        return;
    c->silent_checked_ms = c->now_ms;
    struct agent *a;
    for (size_t i = 0; (a = map_next(&c->agents, &i)) != NULL;) {
        const struct job *j = &a->task->job;
        bool silent = a->alone_since_ms > 0 && c->now_ms - a->alone_since_ms >= SILENT_MS_MAX;
        if (silent)
            set_lost(c, a);
        if (silent && !a->resting && j->kind == JOB_START && j->state == JOB_SUCCEEDED &&
            host_has_worker(c, a->task->host))
            say_gone(c, a);
    }
}

/* A hello that had waited for a worker which slept may be older than the session that is known; a
 * worker that is not known names the session with its polls. */
static void begin_session(struct core *c, struct agent *a, struct worker *w)
{
    struct worker *before = a->session;
    if (w == NULL)
        return;
    a->session = NULL; /* a new session, even if with the same worker */
    agent_set_session(c, a, w);
    if (before != w)
        a->also = before;
}

void core_agent_open(struct core *c, const struct uuid *worker_id, const struct uuid *agent_id,
    const struct uuid *token, void *ticket)
{
    struct agent *a = map_get(&c->agents, agent_id);
    struct worker *w = map_get(&c->workers, worker_id);
    struct reply r = {.ticket = ticket, .kind = REPLY_AGENT_OPENED, .code = REFUSAL_TOKEN_UNKNOWN};
    if (a != NULL && uuid_eq(&a->token, token)) {
        begin_session(c, a, w);
        r.code = REFUSAL_NONE;
        r.watermark_of = a->id;
        task_mark_changed(c, a->task);
    }
    *vec_push(&c->out->replies) = r;
}

/* ---- what it says ---- */

static enum lifecycle_phase phase_of(const char *lifecycle)
{
    static const char *const starting[] = {"created", "starting"};
    static const char *const ready[] = {"ready", "start_timeout", "start_error"};
    for (size_t i = 0; i < COUNT(starting); i++)
        if (strcmp(lifecycle, starting[i]) == 0)
            return PHASE_STARTING;
    for (size_t i = 0; i < COUNT(ready); i++)
        if (strcmp(lifecycle, ready[i]) == 0)
            return PHASE_READY;
    return PHASE_ENDING;
}

void core_agent_said(
    struct core *c, const struct uuid *agent_id, const char *state, const char *lifecycle)
{
    struct agent *a = map_get(&c->agents, agent_id);
    if (a == NULL)
        return;
    if (lifecycle != NULL)
        a->phase = phase_of(lifecycle);
    if (state != NULL) {
        bool working = strcmp(state, "working") == 0;
        if (working || a->working)
            idle_activity(c, a->task);
        a->working = working;
        if (working == a->resting)
            agent_set_resting(c, a, !working);
    }
}

void core_agent_health(
    struct core *c, const struct uuid *agent_id, const char *slug, const char *health)
{
    static const char *const names[] = {[HEALTH_DISABLED] = "disabled",
        [HEALTH_INITIALIZING] = "initializing",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_UNHEALTHY] = "unhealthy"};
    struct agent *a = map_get(&c->agents, agent_id);
    if (a == NULL || (slug != NULL && strcmp(slug, a->task->app_slug) != 0))
        return;
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(health, names[i]) == 0)
            a->health = (enum app_health)i;
}

void core_app_status(struct core *c, const struct uuid *agent_id, const char *slug,
    const char *state, const char *message, const char *uri, void *ticket)
{
    struct agent *a = map_get(&c->agents, agent_id);
    if (a == NULL || strcmp(slug, a->task->app_slug) != 0) {
        core_reply(c, ticket, a == NULL ? REFUSAL_TOKEN_UNKNOWN : REFUSAL_SLUG_UNKNOWN);
        return;
    }
    *vec_push(&c->out->statuses) = (struct row_status){.agent_id = *agent_id,
        .seq = --a->status_seq,
        .slug = a->task->app_slug,
        .state = effects_strdup(c->out, state),
        .message = effects_strdup(c->out, message),
        .uri = effects_strdup(c->out, uri)};
    task_mark_changed(c, a->task);
    core_agent_said(c, agent_id, state, NULL);
    core_reply(c, ticket, REFUSAL_NONE);
}

/* ---- messages for it ---- */

/* May the task's app get a message now?  By the task's status, the first part that is not active.
 */
static enum refusal may_send(const struct task *t)
{
    const struct job *j = &t->job;
    if (j->kind != JOB_START)
        return j->state == JOB_SUCCEEDED ? REFUSAL_TASK_PAUSED : REFUSAL_TASK_NOT_ACTIVE;
    if (j->state == JOB_PENDING)
        return REFUSAL_TASK_PENDING;
    if (j->state == JOB_RUNNING)
        return REFUSAL_TASK_INITIALIZING;
    if (j->state != JOB_SUCCEEDED)
        return REFUSAL_TASK_NOT_ACTIVE;
    if (t->agent == NULL)
        return REFUSAL_NO_APP;
    if (t->agent->phase == PHASE_STARTING)
        return REFUSAL_TASK_INITIALIZING;
    if (t->agent->phase == PHASE_ENDING)
        return REFUSAL_TASK_NOT_ACTIVE;
    if (t->agent->health == HEALTH_INITIALIZING)
        return REFUSAL_TASK_INITIALIZING;
    if (t->agent->health == HEALTH_UNHEALTHY)
        return REFUSAL_TASK_NOT_ACTIVE;
    return t->agent->session != NULL ? REFUSAL_NONE : REFUSAL_APP_UNREACHABLE;
}

void core_task_send(struct core *c, const struct uuid *task_id, const struct uuid *initiator_id,
    const struct uuid *send_id, const char *content, void *ticket)
{
    struct task *t = map_get(&c->tasks, task_id);
    struct send *s = map_get(&c->sends, send_id);
    if (s != NULL) { /* asked again while under way: the newer asker gets the answer */
        core_reply(c, s->ticket, REFUSAL_OVERLOADED);
        s->ticket = ticket;
        return;
    }
    enum refusal refusal = t == NULL || t->deleted ? REFUSAL_TASK_UNKNOWN : may_send(t);
    if (refusal != REFUSAL_NONE) {
        core_reply(c, ticket, refusal);
        return;
    }
    s = mem_alloc(sizeof(*s));
    *s =
        (struct send){*send_id, t->agent->id, ticket, c->now_ms + SEND_MS_MAX, mem_strdup(content)};
    map_put(&c->sends, send_id, s);
    *vec_push(&t->agent->session->outbox.messages) = (struct agent_message){
        .agent_id = t->agent->id, .send_id = *send_id, .content = mem_strdup(content)};
    core_audit(c, initiator_id, "send", "task", &t->id);
}

void send_free(void *send)
{
    struct send *s = send;
    free(s->content);
    free(s);
}

void core_send_result(
    struct core *c, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct send *s =
        message_result(c, send_id, code, detail) ? NULL : map_remove(&c->sends, send_id);
    if (s == NULL)
        return;
    core_reply(c, s->ticket, code);
    if (detail != NULL && detail[0] != '\0')
        c->out->replies.v[c->out->replies.n - 1].detail = effects_strdup(c->out, detail);
    send_free(s);
}

void agent_tick_sends(struct core *c)
{
    uuid_vec late = {0};
    struct send *s;
    for (size_t i = 0; (s = map_next(&c->sends, &i)) != NULL;)
        if (s->until_ms <= c->now_ms)
            *vec_push(&late) = s->id;
    for (size_t i = 0; i < late.n; i++)
        core_send_result(c, &late.v[i], REFUSAL_APP_UNREACHABLE, "No answer from the agent.");
    vec_done(&late);
}
