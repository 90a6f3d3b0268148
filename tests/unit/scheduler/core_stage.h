/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_stage.h - a small stage for the scheduler's core: one core, its last effects, a counting
 * source of ids, virtual time.  For the unit tests of the core; each includes it once.
 */
#ifndef TESTS_UNIT_SCHEDULER_CORE_STAGE_H
#define TESTS_UNIT_SCHEDULER_CORE_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "core/base/cleanup.h"
#include "scheduler/core/core.h"

#define STAGE_TICK_MS 500

static uint64_t next_id;

static inline void counted(void *data, size_t n)
{
    memset(data, 0, n);
    next_id++;
    memcpy((char *)data + n - sizeof(next_id), &next_id, sizeof(next_id));
}

struct stage {
    struct core *c;
    struct core_conf conf;
    struct effects e;
    int64_t now_ms;
    int64_t lease_left_ms;       /* what Postgres says of leases that are asked about */
    VEC(struct job_ref) in_hand; /* of worker 1, as it has heard */
    agent_message_vec mail;      /* messages that went to workers; a test empties it */
};

static inline struct core_conf default_conf(void)
{
    return (struct core_conf){.cap = 1000,
        .queue_max = 1000000,
        .lease_ms = 5000,
        .heartbeat_ms = 1000,
        .attempts_max = 3,
        .retry_ms = 1000,
        .make_room = true,
        .make_room_grace_ms = 1000,
        .random = counted};
}

static inline void stage_open(struct stage *s, struct core_conf conf)
{
    *s = (struct stage){.conf = conf, .now_ms = 1000000};
    s->c = core_new(&conf);
    core_set_now(s->c, s->now_ms);
    core_tick(s->c);
    core_take_effects(s->c, &s->e);
}

static inline void stage_close(struct stage *s)
{
    core_free(s->c);
    effects_done(&s->e);
    vec_done(&s->in_hand);
    vec_done(&s->mail);
}

/* Postgres, as far as leases go: they are over when the core thinks so, unless `lease_left_ms`. */
static inline bool answer_leases(struct stage *s)
{
    uuid_vec asked = s->e.silent;
    s->e.silent = (uuid_vec){0};
    for (size_t i = 0; i < asked.n; i++)
        core_worker_lease(s->c, &asked.v[i], s->lease_left_ms);
    bool any = asked.n > 0;
    vec_done(&asked);
    return any;
}

static inline void take(struct stage *s)
{
    do
        core_take_effects(s->c, &s->e);
    while (answer_leases(s));
    for (size_t i = 0; i < s->e.dispatches.n; i++) {
        const struct work *w = &s->e.dispatches.v[i].work;
        for (size_t k = 0; k < w->jobs.n; k++)
            *vec_push(&s->in_hand) = (struct job_ref){w->jobs.v[k].job_id, w->jobs.v[k].token};
        for (size_t k = 0; k < w->messages.n; k++)
            *vec_push(&s->mail) = w->messages.v[k];
    }
}

static inline void pass(struct stage *s, int64_t ms)
{
    for (int64_t end_ms = s->now_ms + ms; s->now_ms < end_ms;) {
        s->now_ms += end_ms - s->now_ms < STAGE_TICK_MS ? end_ms - s->now_ms : STAGE_TICK_MS;
        core_set_now(s->c, s->now_ms);
        core_tick(s->c);
    }
    take(s);
}

static inline struct uuid id_of(unsigned n)
{
    struct uuid u = {.b = {0xee}};
    u.b[14] = (uint8_t)(n >> 8);
    u.b[15] = (uint8_t)n;
    return u;
}

static inline void *ticket(unsigned n)
{
    return (void *)(uintptr_t)n;
}

static inline void create_as(struct stage *s, unsigned task, unsigned owner, int32_t priority)
{
    char name[16];
    snprintf(name, sizeof(name), "task-%u", task);
    struct task_create r = {.task_id = id_of(task),
        .organization_id = id_of(901),
        .owner_id = id_of(owner),
        .initiator_id = id_of(owner),
        .template_id = id_of(902),
        .version_id = id_of(903),
        .file_id = id_of(904),
        .provisioner = "local",
        .app_slug = "shell",
        .owner_name = "ann",
        .template_name = "shell",
        .name = name,
        .display_name = "",
        .prompt = "echo hello",
        .priority = priority};
    core_task_create(s->c, &r, ticket(task));
}

static inline void create(struct stage *s, unsigned task)
{
    create_as(s, task, 800, 0);
}

static inline void poll_as(
    struct stage *s, unsigned worker, int32_t free_slots, const struct job_ref *running, size_t n)
{
    struct worker_poll p = {.worker_id = id_of(worker),
        .name = "w",
        .host = "h",
        .version = "1",
        .provisioners = "local,null",
        .slots = 64,
        .free_slots = free_slots,
        .knows_us = true,
        .sessions_complete = true,
        .running = running,
        .n_running = n};
    core_worker_poll(s->c, &p, ticket(10000 + worker));
}

/* An honest worker 1 names what it has in hand; others have nothing. */
static inline void poll(struct stage *s, unsigned worker, int32_t free_slots)
{
    poll_as(s, worker, free_slots, s->in_hand.v, worker == 1 ? s->in_hand.n : 0);
}

static inline size_t jobs_given(const struct stage *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->e.dispatches.n; i++)
        n += s->e.dispatches.v[i].work.jobs.n;
    return n;
}

static inline struct job_spec given(const struct stage *s, size_t nth)
{
    for (size_t i = 0; i < s->e.dispatches.n; i++) {
        const struct work *w = &s->e.dispatches.v[i].work;
        if (nth < w->jobs.n)
            return w->jobs.v[nth];
        nth -= w->jobs.n;
    }
    fail_msg("no job was given");
    return (struct job_spec){0};
}

static inline void result_of(struct stage *s, unsigned worker, const struct job_spec *j,
    enum job_outcome outcome, bool clean)
{
    struct job_result r = {
        .job = {j->job_id, j->token},
        .outcome = outcome,
        .error = outcome == OUTCOME_SUCCEEDED ? "" : "it broke",
        .host = "h",
        .clean = clean,
        .app_slug = ""
    };
    struct uuid w = id_of(worker);
    core_job_result(s->c, &w, &r);
    for (size_t i = s->in_hand.n; i-- > 0;)
        if (uuid_eq(&s->in_hand.v[i].id, &j->job_id))
            vec_remove_swap(&s->in_hand, i);
    take(s);
}

static inline enum refusal last_refusal(const struct stage *s)
{
    assert_true(s->e.replies.n > 0);
    return s->e.replies.v[s->e.replies.n - 1].code;
}

static inline enum refusal command(
    struct stage *s, enum task_verb verb, unsigned task, unsigned build)
{
    struct uuid t = id_of(task), who = id_of(800), b = id_of(build);
    core_task_command(s->c, verb, &t, &who, &b, "echo other", ticket(77));
    take(s);
    return last_refusal(s);
}

/* Create, start and finish the start of one task; returns its start job. */
static inline struct job_spec running_task(struct stage *s, unsigned task)
{
    create(s, task);
    poll(s, 1, 1);
    take(s);
    struct job_spec j = given(s, 0);
    result_of(s, 1, &j, OUTCOME_SUCCEEDED, false);
    return j;
}

#endif
