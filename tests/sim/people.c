/* SPDX-License-Identifier: Apache-2.0 */
/* people.c - wishes as rows: when one is sensible, how it is asked for, what its answer means. */
#include "tests/sim/people.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "tests/sim/check.h"
#include "tests/sim/gateway.h"
#include "tests/sim/part.h"
#include "tests/sim/pg.h"

#define PATIENCE_US (15 * SECOND) /* then it is asked again, by another gateway perhaps */
#define STEPS_MAX   7

enum wish {
    CREATE,
    PAUSE,
    RESUME,
    INPUT,
    CANCEL,
    DELETE,
    UPDATE,
    SEND,
    QUEUE,
    WITHDRAW,
    IMPORT,
    RETRY
};

struct message_kept {
    struct uuid id;
    bool acked;
};

struct person {
    unsigned number;
    struct uuid task_id, owner_id;
    unsigned steps_left;
    bool done, wants_it_gone, created;
    enum wish wish;
    struct uuid command_id;
    struct uuid id; /* of the wish at hand: a build, a message, a job */
    uint64_t asked; /* number of the question that counts */
    char text[32];
    VEC(struct message_kept) messages;
    VEC(struct uuid) acked; /* builds */
};

struct people {
    struct person *v;
    size_t n;
    uint64_t next_question;
};

static void think(struct person *p);
static void ask(struct person *p);

static const struct pg_task *task_of(const struct person *p)
{
    return map_get(&sim->pg->tasks, &p->task_id);
}

/* ---- questions ---- */

static union {
    Stint__V1__TaskCreate create;
    Stint__V1__TaskCommand command;
    Stint__V1__TaskUpdate update;
    Stint__V1__TaskSend send;
    Stint__V1__MessageQueue queue;
    Stint__V1__MessageWithdraw withdraw;
    Stint__V1__TemplateImport import;
    Stint__V1__JobRetry retry;
} m;
static struct uuid some_id = {
    .b = {0xee, 1}
};
static char shell[] = "shell", local[] = "local", ann[] = "ann", hello[] = "hello";

static void fill_create(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__task_create__init(&m.create);
    e->body_case = STINT__V1__ENVELOPE__BODY_TASK_CREATE;
    e->task_create = &m.create;
    m.create.task_id = wire_uuid(&p->task_id);
    m.create.owner_id = m.create.initiator_id = wire_uuid(&p->owner_id);
    m.create.organization_id = m.create.template_id = wire_uuid(&some_id);
    m.create.template_version_id = m.create.file_id = wire_uuid(&some_id);
    m.create.provisioner = local;
    m.create.app_slug = m.create.template_name = shell;
    m.create.owner_name = ann;
    m.create.name = p->text;
    m.create.display_name = m.create.prompt = hello;
    m.create.priority = p->number % 5 == 0 ? 1 : 0;
    m.create.ttl_ms = p->number % 3 == 0 ? 40000 : 0;
    m.create.activity_bump_ms = p->number % 3 == 0 ? 20000 : 0;
    m.create.time_limit_ms = p->number % 4 == 0 ? 60000 : 0;
    if (p->number % 6 == 5)
        m.create.start_after_us = EPOCH_US + 1030 * SECOND;
}

static void fill_command(struct person *p, Stint__V1__Envelope *e)
{
    static const Stint__V1__TaskVerb verbs[] = {[PAUSE] = STINT__V1__TASK_VERB__TASK_VERB_PAUSE,
        [RESUME] = STINT__V1__TASK_VERB__TASK_VERB_RESUME,
        [DELETE] = STINT__V1__TASK_VERB__TASK_VERB_DELETE,
        [INPUT] = STINT__V1__TASK_VERB__TASK_VERB_UPDATE_INPUT,
        [CANCEL] = STINT__V1__TASK_VERB__TASK_VERB_CANCEL};
    stint__v1__task_command__init(&m.command);
    e->body_case = STINT__V1__ENVELOPE__BODY_TASK_COMMAND;
    e->task_command = &m.command;
    m.command.verb = verbs[p->wish];
    m.command.task_id = wire_uuid(&p->task_id);
    m.command.initiator_id = wire_uuid(&p->owner_id);
    m.command.build_id = wire_uuid(&p->id);
    m.command.input = hello;
    if (p->wish == INPUT || p->wish == CANCEL)
        m.command.command_id = wire_uuid(&p->command_id);
}

static void fill_update(struct person *p, Stint__V1__Envelope *e)
{
    static Stint__V1__TaskOption set[] = {
        STINT__V1__TASK_OPTION__TASK_OPTION_PRIORITY, STINT__V1__TASK_OPTION__TASK_OPTION_TTL};
    stint__v1__task_update__init(&m.update);
    e->body_case = STINT__V1__ENVELOPE__BODY_TASK_UPDATE;
    e->task_update = &m.update;
    m.update.task_id = wire_uuid(&p->task_id);
    m.update.initiator_id = wire_uuid(&p->owner_id);
    m.update.command_id = wire_uuid(&p->command_id);
    m.update.n_set = 2;
    m.update.set = set;
    m.update.priority = p->id.b[0] % 3;
    m.update.ttl_ms = p->id.b[1] % 2 == 0 ? 30000 : 0;
}

static void fill_send(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__task_send__init(&m.send);
    e->body_case = STINT__V1__ENVELOPE__BODY_TASK_SEND;
    e->task_send = &m.send;
    m.send.task_id = wire_uuid(&p->task_id);
    m.send.initiator_id = wire_uuid(&p->owner_id);
    m.send.send_id = wire_uuid(&p->id);
    m.send.input = hello;
}

static void fill_queue(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__message_queue__init(&m.queue);
    e->body_case = STINT__V1__ENVELOPE__BODY_MESSAGE_QUEUE;
    e->message_queue = &m.queue;
    m.queue.task_id = wire_uuid(&p->task_id);
    m.queue.initiator_id = wire_uuid(&p->owner_id);
    m.queue.message_id = wire_uuid(&p->id);
    m.queue.content = hello;
}

static void fill_withdraw(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__message_withdraw__init(&m.withdraw);
    e->body_case = STINT__V1__ENVELOPE__BODY_MESSAGE_WITHDRAW;
    e->message_withdraw = &m.withdraw;
    m.withdraw.task_id = wire_uuid(&p->task_id);
    m.withdraw.initiator_id = wire_uuid(&p->owner_id);
    m.withdraw.message_id = wire_uuid(&p->id);
}

static void fill_import(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__template_import__init(&m.import);
    e->body_case = STINT__V1__ENVELOPE__BODY_TEMPLATE_IMPORT;
    e->template_import = &m.import;
    m.import.template_version_id = m.import.file_id = wire_uuid(&some_id);
    m.import.job_id = wire_uuid(&p->id);
    m.import.organization_id = wire_uuid(&some_id);
    m.import.initiator_id = wire_uuid(&p->owner_id);
    m.import.provisioner = local;
}

static void fill_retry(struct person *p, Stint__V1__Envelope *e)
{
    stint__v1__job_retry__init(&m.retry);
    e->body_case = STINT__V1__ENVELOPE__BODY_JOB_RETRY;
    e->job_retry = &m.retry;
    m.retry.job_id = wire_uuid(&p->id);
    m.retry.task_id = wire_uuid(&p->task_id);
    m.retry.initiator_id = wire_uuid(&p->owner_id);
    m.retry.command_id = wire_uuid(&p->command_id);
}

/* ---- answers ---- */

static uint32_t code_of(const Stint__V1__Envelope *e)
{
    if (e->body_case == STINT__V1__ENVELOPE__BODY_TASK_REPLY)
        return e->task_reply->code;
    return e->body_case == STINT__V1__ENVELOPE__BODY_STATUS ? e->status->code : REFUSAL_STORE_DOWN;
}

/* No answer, or one that says "later". */
static bool is_no_answer(uint32_t code)
{
    return code == REFUSAL_STORE_DOWN || code == REFUSAL_OVERLOADED || code == REFUSAL_NOT_LEADER;
}

static void on_created(struct person *p, uint32_t code)
{
    p->created = code == REFUSAL_NONE;
    if (p->created && task_of(p) == NULL)
        sim_violation(1, "a task was acknowledged and is not there");
    if (!p->created)
        p->done = true;
}

static void on_build(struct person *p, uint32_t code)
{
    if (code == REFUSAL_NONE && p->wish != CANCEL)
        *vec_push(&p->acked) = p->id;
}

static void on_deleted(struct person *p, uint32_t code)
{
    on_build(p, code);
    p->done = code == REFUSAL_NONE || code == REFUSAL_TASK_UNKNOWN;
    /* Sent again by the bus, a delete may find that it is done. */
    if (code == REFUSAL_TASK_UNKNOWN && !task_of(p)->deleted)
        sim_violation(2, "a task that was acknowledged is not known");
}

static void on_queued(struct person *p, uint32_t code)
{
    if (code == REFUSAL_NONE)
        *vec_push(&p->messages) = (struct message_kept){p->id, true};
    if (code == REFUSAL_NONE && map_get(&sim->pg->messages, &p->id) == NULL)
        sim_violation(1, "a message was acknowledged and is not there");
}

static void on_withdrawn(struct person *p, uint32_t code)
{
    if (code == REFUSAL_NONE)
        check_withdrawn(&p->id);
}

static void on_anything(struct person *p, uint32_t code)
{
    (void)p, (void)code;
}

static const struct {
    const char *name;
    void (*fill)(struct person *p, Stint__V1__Envelope *e);
    void (*take)(struct person *p, uint32_t code);
} wishes[] = {
    [CREATE] = {"create",   fill_create,   on_created  },
    [PAUSE] = {"pause",    fill_command,  on_build    },
    [RESUME] = {"resume",   fill_command,  on_build    },
    [INPUT] = {"input",    fill_command,  on_anything },
    [CANCEL] = {"cancel",   fill_command,  on_anything },
    [DELETE] = {"delete",   fill_command,  on_deleted  },
    [UPDATE] = {"update",   fill_update,   on_anything },
    [SEND] = {"send",     fill_send,     on_anything },
    [QUEUE] = {"queue",    fill_queue,    on_queued   },
    [WITHDRAW] = {"withdraw", fill_withdraw, on_withdrawn},
    [RETRY] = {"retry",    fill_retry,    on_anything },
    [IMPORT] = {"import",   fill_import,   on_anything },
};

static void fill(void *arg, Stint__V1__Envelope *e)
{
    struct person *p = arg;
    wishes[p->wish].fill(p, e);
}

static void on_ask_again(void *arg)
{
    ask(arg);
}

static void on_think(void *arg)
{
    think(arg);
}

static int64_t pause_us(void)
{
    return sim->calm ? sim_between(SECOND / 2, 3 * SECOND) : sim_between(SECOND / 2, 40 * SECOND);
}

static void on_reply(void *arg, uint64_t number, const Stint__V1__Envelope *reply)
{
    struct person *p = arg;
    if (p->asked != number)
        return; /* given up */
    p->asked = 0;
    uint32_t code = reply != NULL ? code_of(reply) : REFUSAL_STORE_DOWN;
    /* An agent that is gone for good cannot tell what it has heard: nobody insists. */
    bool gives_up = p->wish == WITHDRAW && sim->calm;
    if (is_no_answer(code) && !gives_up) {
        sim_trace("person %u: %s has no answer: %s", p->number, wishes[p->wish].name,
            reply != NULL ? refusal_row(code)->name : "none");
        sim_after(sim_between(200 * MS, SECOND), NULL, on_ask_again, NULL, p);
        return;
    }
    sim_trace(
        "person %u: %s is answered %s", p->number, wishes[p->wish].name, refusal_row(code)->name);
    wishes[p->wish].take(p, code);
    if (!p->done)
        sim_after(pause_us(), NULL, on_think, NULL, p);
}

struct patience {
    struct person *person;
    uint64_t asked;
};

static void on_impatient(void *arg)
{
    struct patience *patience = arg;
    struct person *p = patience->person;
    if (p->asked == patience->asked) {
        ask(p);
    }
    free(patience);
}

static void ask(struct person *p)
{
    p->asked = ++sim->people->next_question;
    gateway_ask(gateway_proc((unsigned)sim_between(0, GATEWAYS - 1)), p->asked, fill, on_reply, p);
    struct patience *patience = mem_alloc(sizeof(*patience));
    *patience = (struct patience){p, p->asked};
    sim_after(PATIENCE_US, NULL, on_impatient, free, patience);
}

/* ---- what to wish for ---- */

static enum wish one_of(const enum wish *list, size_t n)
{
    return list[sim_between(0, (int64_t)n - 1)];
}

static enum wish next_wish(const struct person *p)
{
    static const enum wish while_active[] = {PAUSE, PAUSE, QUEUE, QUEUE, SEND, UPDATE, RESUME};
    static const enum wish while_stopped[] = {RESUME, RESUME, RESUME, INPUT, QUEUE, UPDATE};
    static const enum wish while_busy[] = {CANCEL, UPDATE, QUEUE, PAUSE, IMPORT};
    const struct pg_task *t = task_of(p);
    if (p->messages.n > 0 && sim_between(0, 3) == 0)
        return WITHDRAW;
    if (!job_state_is_over(t->build->job->state))
        return one_of(while_busy, COUNT(while_busy));
    if (t->build->job->state == JOB_FAILED && sim_between(0, 1) == 0)
        return RETRY;
    if (t->build->kind == JOB_START && t->build->job->state == JOB_SUCCEEDED)
        return one_of(while_active, COUNT(while_active));
    return one_of(while_stopped, COUNT(while_stopped));
}

static void begin(struct person *p, enum wish wish)
{
    p->wish = wish;
    rng_bytes(p->id.b, sizeof(p->id.b));
    uuid_make_v4(&p->id);
    p->command_id = p->id;
    if (wish == RETRY)
        p->id = task_of(p)->build->job->id;
    if (wish == CANCEL)
        p->id = task_of(p)->build->id;
    if (wish == WITHDRAW)
        p->id = p->messages.v[sim_between(0, (int64_t)p->messages.n - 1)].id;
    sim_trace("person %u wants %s %.8s", p->number, wishes[wish].name, uuid_format(&p->id).s);
    ask(p);
}

/* Its pause was canceled, or has failed for good: that is for people to see to. */
static bool is_left_half_way(const struct person *p)
{
    const struct pg_job *j = task_of(p)->build->job;
    return j->kind == JOB_STOP && j->state != JOB_SUCCEEDED;
}

static void think(struct person *p)
{
    if (!p->created) {
        begin(p, CREATE);
    } else if (p->steps_left > 0 && !sim->calm) {
        p->steps_left--;
        begin(p, next_wish(p));
    } else if (p->wants_it_gone) {
        begin(p, DELETE);
    } else if (is_left_half_way(p)) {
        begin(p, PAUSE);
    } else {
        p->done = true;
    }
}

/* ---- life ---- */

struct people *people_new(void)
{
    struct people *all = mem_alloc(sizeof(*all));
    all->n = sim->options.tasks;
    all->v = mem_calloc(all->n, sizeof(*all->v));
    int64_t chaos_us = sim->options.chaos_s * SECOND - sim->now_us;
    for (size_t i = 0; i < all->n; i++) {
        struct person *p = &all->v[i];
        p->number = (unsigned)i;
        p->task_id = (struct uuid){
            .b = {0xee, 2, (uint8_t)(i >> 8), (uint8_t)i}
        };
        p->owner_id = (struct uuid){
            .b = {0xee, 3, (uint8_t)(i % 4)}
        };
        p->steps_left = (unsigned)sim_between(0, STEPS_MAX);
        p->wants_it_gone = sim_between(0, 9) < 7;
        snprintf(p->text, sizeof(p->text), "task-%zu", i);
        sim_after(sim_between(0, chaos_us * 2 / 3), NULL, on_think, NULL, p);
    }
    return all;
}

void people_free(struct people *all)
{
    for (size_t i = 0; i < all->n; i++) {
        vec_done(&all->v[i].messages);
        vec_done(&all->v[i].acked);
    }
    free(all->v);
    free(all);
}

bool people_are_done(void)
{
    for (size_t i = 0; i < sim->people->n; i++)
        if (!sim->people->v[i].done)
            return false;
    return true;
}

static void check_person(const struct person *p)
{
    const struct pg_task *t = task_of(p);
    if (p->created && t == NULL)
        sim_violation(2, "task %u was acknowledged and is lost", p->number);
    for (size_t i = 0; i < p->acked.n; i++)
        if (map_get(&sim->pg->builds, &p->acked.v[i]) == NULL)
            sim_violation(2, "a build of task %u was acknowledged and is lost", p->number);
    if (p->created && p->wants_it_gone && t != NULL && !t->deleted)
        sim_violation(2, "the delete of task %u was acknowledged and is lost", p->number);
}

void people_check(void)
{
    for (size_t i = 0; i < sim->people->n; i++)
        check_person(&sim->people->v[i]);
}
