/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - the rules. */
#include "tests/sim/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/sim/part.h"
#include "tests/sim/people.h"
#include "tests/sim/pg.h"
#include "tests/sim/provider.h"

struct checks {
    int64_t cap;
    bool reachable[JOB_STATE_COUNT][JOB_STATE_COUNT];
    struct map withdrawn; /* messages */
    char unsettled[200];
};

static const char *text_of(const struct uuid *id)
{
    static struct uuid_str text;
    text = uuid_format(id);
    return text.s;
}

/* ---- legal moves, several of which may be one commit ---- */

static void close_over(bool (*r)[JOB_STATE_COUNT])
{
    for (int k = 0; k < JOB_STATE_COUNT; k++)
        for (int i = 0; i < JOB_STATE_COUNT; i++)
            for (int j = 0; j < JOB_STATE_COUNT; j++)
                r[i][j] = r[i][j] || (r[i][k] && r[k][j]);
}

struct checks *checks_new(void)
{
    struct checks *c = mem_alloc(sizeof(*c));
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        c->reachable[from][from] = true;
        for (int event = 0; event < JOB_EVENT_COUNT; event++) {
            enum job_state to;
            if (job_state_next((enum job_state)from, (enum job_event)event, &to))
                c->reachable[from][to] = true;
        }
    }
    close_over(c->reachable);
    c->cap = sim_between(1, 1 + (int64_t)sim->options.tasks / 2);
    return c;
}

void checks_free(struct checks *c)
{
    map_done(&c->withdrawn);
    free(c);
}

int64_t check_cap(void)
{
    return sim->checks->cap;
}

/* ---- Postgres ---- */

void check_unique(bool is_unique, const char *table)
{
    if (!is_unique)
        sim_violation(2, "a row would be twice in %s: Postgres refuses the whole batch", table);
}

void check_build(const struct pg_build *b)
{
    if (b->task == NULL)
        return;
    if (b->number != b->task->builds + 1)
        sim_violation(2, "build %d comes after build %d", b->number, b->task->builds);
}

void check_job_new(const struct pg_job *j)
{
    if (j->state != JOB_PENDING && j->state != JOB_SUCCEEDED)
        sim_violation(3, "a new job is %s", job_state_name(j->state));
}

static void check_lease(const struct pg_job *was, const struct pg_job *now)
{
    bool both_lease = was->state == JOB_RUNNING && now->state == JOB_RUNNING;
    if (now->token < was->token)
        sim_violation(3, "the token of job %s falls from %lld to %lld", text_of(&now->id),
            (long long)was->token, (long long)now->token);
    if (both_lease && was->token == now->token && !uuid_eq(&was->worker_id, &now->worker_id))
        sim_violation(3, "two workers have one token of job %s", text_of(&now->id));
}

void check_job(const struct pg_job *was, const struct pg_job *now)
{
    sim_trace("job %.8s %s of %.8s: %s -> %s token %lld%s", text_of(&now->id),
        job_kind_name(now->kind), now->task != NULL ? now->task->name : "-",
        job_state_name(was->state), job_state_name(now->state), (long long)now->token,
        now->holds_compute ? " holds" : "");
    sim_digest((uint64_t)now->state << 32 ^ (uint64_t)now->token);
    if (!sim->checks->reachable[was->state][now->state])
        sim_violation(3, "job %s goes from %s to %s", text_of(&now->id), job_state_name(was->state),
            job_state_name(now->state));
    check_lease(was, now);
}

void check_stale_epoch(uint64_t epoch)
{
    sim_violation(4, "a transaction of epoch %llu commits in epoch %llu", (unsigned long long)epoch,
        (unsigned long long)sim->pg->epoch);
}

/* The job that says whether the task holds compute. */
static bool holds(const struct pg_task *t)
{
    return !t->workspace_deleted && t->build != NULL && t->build->job != NULL &&
           t->build->job->holds_compute;
}

static bool is_counted(const struct uuid *workspace_id)
{
    const struct pg_task *t = map_get(&sim->pg->workspaces, workspace_id);
    return t != NULL && holds(t);
}

void check_after_commit(void)
{
    int64_t n = 0;
    for (size_t i = 0; i < sim->pg->task_list.n; i++)
        n += holds(sim->pg->task_list.v[i]);
    if (n > sim->checks->cap)
        sim_violation(5, "%lld tasks hold compute, the cap is %lld", (long long)n,
            (long long)sim->checks->cap);
    for (size_t i = 0; i < provider_running(); i++) {
        const struct place *p = provider_running_at(i);
        if (!is_counted(&p->workspace_id))
            sim_violation(
                5, "the sandbox of task %s runs and does not count", text_of(&p->task_id));
    }
}

/* ---- reports ---- */

void check_status(const struct pg_agent *a, int64_t seq, const char *state, const char *message)
{
    const struct record *r = provider_record(&a->id);
    if (r == NULL || seq < 1 || (size_t)seq > r->said.n) {
        sim_violation(8, "status %lld of agent %s was never said", (long long)seq, text_of(&a->id));
        return;
    }
    const struct said *said = &r->said.v[seq - 1];
    if (said->state == NULL || strcmp(said->state, state) != 0 || strcmp(said->state, message) != 0)
        sim_violation(
            8, "status %lld of agent %s is not what was said", (long long)seq, text_of(&a->id));
    for (int64_t i = a->last_seq + 1; i < seq; i++)
        if (r->said.v[i - 1].state != NULL)
            sim_violation(8, "status %lld of agent %s is missing", (long long)i, text_of(&a->id));
}

void check_watermark(const struct pg_agent *a)
{
    const struct record *r = provider_record(&a->id);
    if (r == NULL || a->watermark > (int64_t)r->said.n) {
        sim_violation(8, "the watermark of agent %s is ahead of it", text_of(&a->id));
        return;
    }
    for (int64_t i = a->last_seq + 1; i <= a->watermark; i++)
        if (r->said.v[i - 1].state != NULL)
            sim_violation(8, "the watermark of agent %s passes report %lld, which is not there",
                text_of(&a->id), (long long)i);
}

static int64_t watermark_of(const struct uuid *agent_id)
{
    const struct pg_agent *a = map_get(&sim->pg->agents, agent_id);
    return a != NULL ? a->watermark : 0;
}

void check_told_watermark(const struct record *r, uint64_t watermark)
{
    if ((int64_t)watermark > watermark_of(&r->agent_id))
        sim_violation(1,
            "an agent is told that its reports up to %llu are committed, but they are "
            "only up to %lld",
            (unsigned long long)watermark, (long long)watermark_of(&r->agent_id));
}

/* ---- what is said ---- */

static void check_task_reply(const Stint__V1__TaskReply *r)
{
    struct uuid task, build;
    if (r->code != REFUSAL_NONE || !wire_get_uuid(&r->task_id, &task) ||
        !wire_get_uuid(&r->build_id, &build) || uuid_is_nil(&task))
        return;
    if (map_get(&sim->pg->tasks, &task) == NULL || map_get(&sim->pg->builds, &build) == NULL)
        sim_violation(
            1, "a reply names task %s or its build, which are not committed", text_of(&task));
}

static void check_work(const Stint__V1__WorkerWork *w)
{
    for (size_t i = 0; i < w->n_job; i++) {
        struct uuid id;
        const struct pg_job *j = NULL;
        if (wire_get_uuid(&w->job[i]->job_id, &id))
            j = map_get(&sim->pg->jobs, &id);
        if (j == NULL || j->token < (int64_t)w->job[i]->token)
            sim_violation(1, "job %s is dispatched with token %llu, which is not committed",
                text_of(&id), (unsigned long long)w->job[i]->token);
    }
}

void check_reply(
    const struct proc *p, Stint__V1__Envelope__BodyCase asked, const Stint__V1__Envelope *e)
{
    (void)p, (void)asked;
    if (e->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY)
        check_task_reply(e->task_reply);
    else if (e->body_case == STINT__V1__ENVELOPE__BODY_WORKER_WORK)
        check_work(e->worker_work);
}

/* ---- workspaces ---- */

void check_sandbox(const struct place *place)
{
    sim_trace("sandbox of %.8s begins, %zu run", text_of(&place->task_id), provider_running());
    if ((int64_t)provider_running() > sim->checks->cap)
        sim_violation(5, "%zu sandboxes run, the cap is %lld", provider_running(),
            (long long)sim->checks->cap);
    if (!is_counted(&place->workspace_id))
        sim_violation(
            5, "the sandbox of task %s begins and does not count", text_of(&place->task_id));
}

void check_prompt(const struct place *place, bool had)
{
    sim->figures.prompts++;
    if (had)
        sim_violation(7, "build %s has its prompt twice", text_of(&place->build_id));
}

void check_withdrawn(const struct uuid *message_id)
{
    map_put(&sim->checks->withdrawn, message_id, sim->checks);
}

void check_heard(struct place *place, const struct uuid *message_id)
{
    const struct pg_message *m = map_get(&sim->pg->messages, message_id);
    sim->figures.messages++;
    for (size_t i = 0; i < place->heard.n; i++)
        if (uuid_eq(&place->heard.v[i], message_id))
            sim_violation(7, "message %s is heard twice", text_of(message_id));
    if (map_get(&sim->checks->withdrawn, message_id) != NULL)
        sim_violation(7, "message %s is heard after it was taken back", text_of(message_id));
    if (m == NULL)
        return; /* one that was not to wait */
    if (m->seq <= place->last_heard_seq)
        sim_violation(7, "message %s overtakes another", text_of(message_id));
    place->last_heard_seq = m->seq;
}

/* ---- the end ---- */

static bool not_yet(const char *what, const struct uuid *id)
{
    snprintf(sim->checks->unsettled, sizeof(sim->checks->unsettled), "%s (%s)", what, text_of(id));
    return false;
}

/* For who reads a trace: what every task is at. */
static void trace_tasks(void)
{
    for (size_t i = 0; i < sim->pg->task_list.n; i++) {
        const struct pg_task *t = sim->pg->task_list.v[i];
        const struct pg_job *j = t->build->job;
        const struct record *r = t->agent != NULL ? provider_record(&t->agent->id) : NULL;
        if (!t->workspace_deleted)
            sim_trace("%s: %s %s attempt %d%s%s on %s, app %s, agent %s", t->name,
                job_kind_name(j->kind), job_state_name(j->state), j->attempt,
                j->holds_compute ? " holds" : "", t->deleted ? " deleted" : "",
                t->host != NULL ? t->host : "no host",
                t->agent != NULL && t->agent->state != NULL ? t->agent->state : "-",
                r == NULL   ? "-"
                : r->dead   ? "dead"
                : r->closed ? "closed"
                            : "lives");
    }
}

const char *check_unsettled(void)
{
    trace_tasks();
    return sim->checks->unsettled;
}

static bool is_settled_job(const struct pg_job *j)
{
    return job_state_is_over(j->state) ||
           (j->task != NULL && j->task->start_after_us > pg_clock_us());
}

static bool is_active(const struct pg_task *t)
{
    return t->build->kind == JOB_START && t->build->job->state == JOB_SUCCEEDED;
}

static bool is_settled_agent(const struct pg_task *t)
{
    const struct record *r = t->agent != NULL ? provider_record(&t->agent->id) : NULL;
    if (!is_active(t) || r == NULL || r->dead)
        return true;
    return r->committed == r->said.n && t->agent->watermark == (int64_t)r->said.n;
}

static bool is_settled_message(const struct pg_message *m)
{
    const struct record *r = m->task->agent != NULL ? provider_record(&m->task->agent->id) : NULL;
    return strcmp(m->state, "queued") != 0 || !is_active(m->task) || r == NULL || r->dead;
}

bool check_is_settled(void)
{
    if (!people_are_done())
        return not_yet("people are not done", &(struct uuid){0});
    for (size_t i = 0; i < sim->pg->job_list.n; i++)
        if (!is_settled_job(sim->pg->job_list.v[i]))
            return not_yet("a job is not over", &sim->pg->job_list.v[i]->id);
    for (size_t i = 0; i < sim->pg->task_list.n; i++)
        if (!is_settled_agent(sim->pg->task_list.v[i]))
            return not_yet("reports are missing", &sim->pg->task_list.v[i]->agent->id);
    for (size_t i = 0; i < sim->pg->message_list.n; i++)
        if (!is_settled_message(sim->pg->message_list.v[i]))
            return not_yet("a message waits", &sim->pg->message_list.v[i]->id);
    return true;
}

static void check_task_at_the_end(const struct pg_task *t)
{
    const struct place *p = provider_place(&t->workspace_id);
    bool runs = p != NULL && p->running;
    if (t->deleted && (!t->workspace_deleted || runs))
        sim_violation(6, "task %s is deleted, its workspace is not", text_of(&t->id));
    if (!t->deleted && is_active(t)) {
        const struct record *r = provider_record(&t->agent->id);
        if (r == NULL || (!runs && !r->dead) || (runs && p->record != r))
            sim_violation(6, "task %s is active without its sandbox", text_of(&t->id));
    } else if (runs && !holds(t)) { /* a stop that was canceled leaves it, and it counts */
        sim_violation(6, "task %s is not active, but its sandbox runs", text_of(&t->id));
    }
}

void check_at_the_end(void)
{
    for (size_t i = 0; i < sim->pg->task_list.n; i++)
        check_task_at_the_end(sim->pg->task_list.v[i]);
    people_check();
}
