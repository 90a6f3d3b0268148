/* SPDX-License-Identifier: Apache-2.0 */
/* slots.c - lists by state and one mover. */
#include "worker/slots.h"

#include <assert.h>
#include <stdlib.h>

/* Results that may wait for the scheduler, per slot, before we take less work. */
#define BACKLOG_PER_SLOT 4

void slots_init(struct slots *s, size_t room)
{
    *s = (struct slots){.room = room};
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        list_init(&s->list[i]);
}

void slots_done(struct slots *s)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        for (struct list *it; (it = list_pop(&s->list[i])) != NULL;)
            job_free(container_of(it, struct job, node));
    }
    map_done(&s->by_id);
}

static void put(struct slots *s, struct job *j, enum job_state state)
{
    j->state = state;
    list_append(&s->list[state], &j->node);
    s->n[state]++;
}

static void take_out(struct slots *s, struct job *j)
{
    list_unlink(&j->node);
    s->n[j->state]--;
}

enum slots_answer slots_take(struct slots *s, struct job *take_job, struct job **ret_older)
{
    struct job *had = map_get(&s->by_id, &take_job->spec.job_id);
    if (had != NULL && had->spec.token == take_job->spec.token)
        return SLOTS_KNOWN;
    if (had != NULL && had->spec.token > take_job->spec.token)
        return SLOTS_STALE;
    bool supersedes = had != NULL && had->state != JOB_ACKED;
    if (had != NULL && !supersedes)
        slots_forget(s, had);
    map_put(&s->by_id, &take_job->spec.job_id, take_job);
    put(s, take_job, JOB_WAITING);
    if (supersedes)
        *ret_older = had;
    return supersedes ? SLOTS_SUPERSEDES : SLOTS_NEW;
}

struct job *slots_find(const struct slots *s, const struct uuid *job_id, uint64_t token)
{
    struct job *j = map_get(&s->by_id, job_id);
    return j != NULL && j->spec.token == token && job_is_named(j->state) ? j : NULL;
}

/* The map may name a newer lease already. */
static void unmap(struct slots *s, struct job *j)
{
    if (map_get(&s->by_id, &j->spec.job_id) == j)
        map_remove(&s->by_id, &j->spec.job_id);
}

void slots_move(struct slots *s, struct job *j, enum job_state to)
{
    static const unsigned allowed[JOB_STATE_COUNT] = {
        [JOB_WAITING] = 1u << JOB_RUNNING | 1u << JOB_DONE,
        [JOB_RUNNING] = 1u << JOB_LEAVING | 1u << JOB_DONE,
        [JOB_DONE] = 1u << JOB_ACKED,
    };
    assert((allowed[j->state] & 1u << to) != 0);
    (void)allowed;
    take_out(s, j);
    if (to == JOB_LEAVING)
        unmap(s, j);
    put(s, j, to);
}

void slots_forget(struct slots *s, struct job *j)
{
    take_out(s, j);
    unmap(s, j);
    job_free(j);
}

void slots_ack(struct slots *s, struct job *j)
{
    slots_move(s, j, JOB_ACKED);
    j->acked_at_poll = s->poll_newest;
    if (s->polls_out[0] == 0 && s->polls_out[1] == 0)
        slots_forget(s, j);
}

/* ---- room ---- */

size_t slots_busy(const struct slots *s)
{
    return s->n[JOB_WAITING] + s->n[JOB_RUNNING] + s->n[JOB_LEAVING];
}

size_t slots_named(const struct slots *s)
{
    return s->n[JOB_WAITING] + s->n[JOB_RUNNING] + s->n[JOB_DONE];
}

size_t slots_free(const struct slots *s)
{
    size_t taken = slots_busy(s), all = taken + s->n[JOB_DONE];
    size_t most = s->room * (1 + BACKLOG_PER_SLOT);
    size_t free_slots = taken < s->room ? s->room - taken : 0;
    size_t free_backlog = all < most ? most - all : 0;
    return free_slots < free_backlog ? free_slots : free_backlog;
}

/* ---- polls ---- */

bool slots_can_poll(const struct slots *s)
{
    return s->polls_out[0] == 0 || s->polls_out[1] == 0;
}

uint64_t slots_poll_sent(struct slots *s)
{
    assert(slots_can_poll(s));
    s->polls_out[s->polls_out[0] != 0] = ++s->poll_newest;
    return s->poll_newest;
}

void slots_poll_back(struct slots *s, uint64_t number)
{
    for (int i = 0; i < 2; i++) {
        if (s->polls_out[i] == number)
            s->polls_out[i] = 0;
    }
    /* The list is in order of acked_at_poll. */
    for (struct list *it; (it = s->list[JOB_ACKED].next) != &s->list[JOB_ACKED];) {
        struct job *j = container_of(it, struct job, node);
        bool awaited = false;
        for (int i = 0; i < 2; i++)
            awaited = awaited || (s->polls_out[i] != 0 && s->polls_out[i] <= j->acked_at_poll);
        if (awaited)
            return;
        slots_forget(s, j);
    }
}
