/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - the conversation with workers: held polls, leases, sessions.
 *
 * A lease is what the worker's row says (workers.lease_until): a time of the database's clock,
 * which each heartbeat pushes on.  Here is a guess of it, by which we know when to ask; that it is
 * over only Postgres can say (rule 11).  So neither a new leader nor a clock that is set, nor a
 * leader that slept, makes a lease longer or shorter.
 *
 * A poll says all the worker has in hand.  What we leased to it and it does not name is sent again
 * (the answer was lost); what it names and does not own any more it must abandon.  So no message
 * between us needs an acknowledgement of its own.
 */
#include "core/base/cleanup.h"
#include "core/base/log.h"
#include "scheduler/core/model.h"

#define CANCEL_AGAIN_MS 2000

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    work_done(&w->outbox);
    free(w->provisioners);
    free(w);
}

bool worker_can(const struct worker *w, const struct pool *p)
{
    if (w->draining || (p->host != NULL && p->host != w->host))
        return false;
    size_t n = strlen(p->provisioner);
    for (const char *at = w->provisioners; (at = strstr(at, p->provisioner)) != NULL; at += n)
        if ((at == w->provisioners || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

static struct worker *worker_new(struct core *c, const struct uuid *id)
{
    struct worker *w = mem_alloc(sizeof(*w));
    w->id = *id;
    list_init(&w->jobs);
    map_put(&c->workers, id, w);
    return w;
}

static void write_row(struct core *c, struct worker *w, const char *state)
{
    w->row_at_ms = c->now_ms;
    w->lease_until_ms = w->seen_at_ms + c->conf.lease_ms;
    *vec_push(&c->out->workers) = (struct row_worker){.id = w->id,
        .name = w->name,
        .host = w->host,
        .version = w->version != NULL ? w->version : "",
        .state = state,
        .agent_url = w->agent_url != NULL ? w->agent_url : "",
        .provisioners = effects_strdup(c->out, w->provisioners),
        .slots = w->slots,
        .lease_left_ms = w->lease_until_ms - c->now_ms};
}

/* ---- polls ---- */

static void answer_held(struct core *c, struct worker *w)
{
    if (w->ticket == NULL)
        return;
    w->outbox.lease_ms = w->lease_until_ms - w->seen_at_ms;
    *vec_push(&c->out->dispatches) = (struct dispatch){w->ticket, w->outbox};
    w->outbox = (struct work){0};
    w->mail_bytes = 0;
    w->ticket = NULL;
}

/* A newer poll has come: nobody waits for the older one.  Messages stay for the new one; what is
 * said of jobs is worked out anew from what the worker names. */
static void drop_held(struct core *c, struct worker *w)
{
    if (w->ticket != NULL)
        *vec_push(&c->out->dispatches) = (struct dispatch){.ticket = w->ticket};
    w->ticket = NULL;
    vec_clear(&w->outbox.jobs);
    vec_clear(&w->outbox.cancels);
    vec_clear(&w->outbox.abandons);
    w->outbox.resync = false;
}

static void introduce(struct core *c, struct worker *w, const struct worker_poll *p)
{
    w->name = core_intern(c, p->name);
    w->host = core_intern(c, p->host);
    w->version = core_intern(c, p->version);
    w->agent_url = core_intern(c, p->agent_url != NULL ? p->agent_url : "");
    if (w->provisioners == NULL || strcmp(w->provisioners, p->provisioners) != 0) {
        free(w->provisioners);
        w->provisioners = mem_strdup(p->provisioners);
    }
    w->slots = p->slots;
    w->known = true;
    struct uuid_str id = uuid_format(&w->id);
    log_info("worker is here worker=%s name=%s host=%s slots=%d", id.s, w->name, w->host, w->slots);
    write_row(c, w, "up");
}

/* `anew`: one that fell silent may know this leader, which has forgotten its sessions. */
static void take_sessions(struct core *c, struct worker *w, const struct worker_poll *p, bool anew)
{
    for (size_t i = 0; i < p->n_closed; i++) {
        struct agent *a = map_get(&c->agents, &p->closed[i]);
        if (a != NULL)
            agent_unclaim(c, a, w);
    }
    for (size_t i = 0; i < p->n_sessions; i++) {
        struct agent *a = map_get(&c->agents, &p->sessions[i]);
        if (a == NULL)
            *vec_push(&w->outbox.revoked) = p->sessions[i];
        else
            agent_claim(c, a, w);
    }
    if ((anew || !p->knows_us) && !p->sessions_complete)
        w->outbox.resync = true;
}

static void compare_jobs(struct core *c, struct worker *w, const struct worker_poll *p)
{
    for (size_t i = 0; i < p->n_running; i++) {
        struct job *j = map_get(&c->jobs, &p->running[i].id);
        if (j == NULL || j->worker != w || j->token != p->running[i].token) {
            *vec_push(&w->outbox.abandons) = p->running[i];
            continue;
        }
        j->named = true;
        if (j->state == JOB_CANCELING && c->now_ms - j->cancel_sent_ms >= CANCEL_AGAIN_MS) {
            j->cancel_sent_ms = c->now_ms;
            *vec_push(&w->outbox.cancels) = (struct job_ref){j->id, j->token};
        }
    }
    list_for(it, &w->jobs)
    {
        struct job *j = container_of(it, struct job, link);
        if (!j->named)
            *vec_push(&w->outbox.jobs) = job_spec_of(j);
        j->named = false;
    }
}

void core_worker_poll(struct core *c, const struct worker_poll *p, void *ticket)
{
    struct worker *w = map_get(&c->workers, &p->worker_id);
    if (w == NULL)
        w = worker_new(c, &p->worker_id);
    w->seen_at_ms = c->now_ms;
    w->is_asked = false;
    bool anew = !w->known;
    drop_held(c, w);
    if (!w->known)
        introduce(c, w, p);
    if (p->draining != w->draining || c->now_ms - w->row_at_ms >= c->conf.heartbeat_ms / 2) {
        w->draining = p->draining;
        write_row(c, w, w->draining ? "draining" : "up");
    }
    take_sessions(c, w, p, anew);
    compare_jobs(c, w, p);
    w->free_slots = p->free_slots;
    w->ticket = ticket;
    w->hold_until_ms = c->now_ms + c->conf.heartbeat_ms;
}

void worker_flush(struct core *c)
{
    struct worker *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;)
        if (w->ticket != NULL && !work_is_empty(&w->outbox))
            answer_held(c, w);
}

/* ---- silence ---- */

static void worker_gone(struct core *c, struct worker *w)
{
    struct uuid_str id = uuid_format(&w->id);
    size_t n = 0;
    struct list *it;
    while ((it = w->jobs.next) != &w->jobs) {
        job_expire(c, container_of(it, struct job, link));
        n++;
    }
    const char *name = w->name != NULL ? w->name : "?";
    if (w->draining && n == 0)
        log_info("worker has left worker=%s name=%s", id.s, name);
    else
        log_warn(
            "worker fell silent, its jobs go to others worker=%s name=%s jobs=%zu", id.s, name, n);
    struct agent *a;
    for (size_t i = 0; (a = map_next(&c->agents, &i)) != NULL;)
        agent_unclaim(c, a, w);
    w->seen_at_ms = c->now_ms - c->conf.lease_ms;
    if (w->name != NULL)
        write_row(c, w, "gone");
    map_remove(&c->workers, &w->id);
    worker_free(w);
}

void worker_listen(struct core *c)
{
    c->judge_at_ms = c->now_ms + c->conf.heartbeat_ms;
}

static bool seems_silent(const struct core *c, const struct worker *w)
{
    return w->ticket == NULL && !w->is_asked && w->lease_until_ms <= c->now_ms &&
           c->judge_at_ms <= c->now_ms;
}

void worker_tick(struct core *c)
{
    if (c->now_ms - c->ticked_at_ms > c->conf.heartbeat_ms)
        worker_listen(c); /* it was we who slept: what was said meanwhile has yet to be read */
    c->ticked_at_ms = c->now_ms;
    struct worker *w;
    for (size_t i = 0; (w = map_next(&c->workers, &i)) != NULL;) {
        if (w->ticket != NULL && w->hold_until_ms <= c->now_ms)
            answer_held(c, w);
        if (seems_silent(c, w)) {
            w->is_asked = true;
            *vec_push(&c->out->silent) = w->id;
        }
    }
}

void core_worker_lease(struct core *c, const struct uuid *worker_id, int64_t left_ms)
{
    struct worker *w = map_get(&c->workers, worker_id);
    if (w == NULL || !w->is_asked) /* it has spoken since */
        return;
    w->is_asked = false;
    if (left_ms <= 0)
        worker_gone(c, w);
    else
        w->lease_until_ms = c->now_ms + left_ms;
}
