/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.c - messages that wait for an app, each delivered once, those of a task in order.
 *
 *                     the agent has a session         NONE
 *   queued (a row) ------------------------> handed ------> delivered
 *      |   ^                                  | | |  APP_REJECTED
 *      |   |   pause, or at once when         | | `--------------> refused
 *      |   |   a session comes anew           | | WITHDRAWN
 *      |   `--- any other answer, none -------' `----------------.
 *      `-- withdrawn, or the task is deleted ------------------> withdrawn
 *
 * Only the first message of a task is ever with its agent, which keeps it until the app can take
 * it.  So as long as nothing of the task's compute is left, or for any but the first, taking one
 * back is a word; else the agent is asked, which knows what the app has had, in its own life and
 * in those before it (rule 7).
 *
 * Memory holds the ids alone; what a message says is read from Postgres as it is handed over.  An
 * id that comes again after its message is over finds no row there and is dropped.
 */
#include "core/base/cleanup.h"
#include "scheduler/core/model.h"

#define MESSAGES_MAX   100 /* that wait per task */
#define PAUSE_MS_MIN   2000
#define PAUSE_MS_MAX   30000
#define AGAIN_MS       30000 /* without an answer: the agent may be waiting for its app */
#define WITHDRAW_MS    1000
#define ASKER_MS_MAX   10000
#define MAIL_BYTES_MAX (2 * 1024 * 1024) /* to one worker at once, but for a single larger one */

static struct message *first_of(const struct mailbox *b)
{
    return container_of(b->messages.next, struct message, link);
}

void mailbox_free(struct mailbox *b)
{
    if (b == NULL)
        return;
    struct list *it;
    while ((it = list_pop(&b->messages)) != NULL)
        free(container_of(it, struct message, link));
    list_unlink(&b->link);
    free(b);
}

static struct mailbox *mailbox_of(struct core *c, struct task *t)
{
    if (t->mail != NULL)
        return t->mail;
    struct mailbox *b = mem_alloc(sizeof(*b));
    b->task = t;
    list_init(&b->messages);
    list_append(&c->mailboxes, &b->link);
    return t->mail = b;
}

static void add(struct core *c, struct task *t, const struct message *m)
{
    struct mailbox *b = mailbox_of(c, t);
    struct message *copy = mem_alloc(sizeof(*copy));
    *copy = *m;
    copy->box = b;
    list_append(&b->messages, &copy->link);
    b->n++;
    map_put(&c->messages, &copy->id, copy);
}

/* ---- to the agent ---- */

/* The first one is with nobody, and may go at once. */
static void begin_anew(struct mailbox *b)
{
    b->maybe_there = false;
    b->try_at_ms = 0;
    b->pause_ms = 0;
}

static struct worker *way_to(const struct task *t)
{
    const struct agent *a = t->agent;
    bool lives =
        t->job.kind == JOB_START && (t->job.state == JOB_RUNNING || t->job.state == JOB_SUCCEEDED);
    return lives && a != NULL && a->phase != PHASE_ENDING ? a->session : NULL;
}

void message_pump(struct core *c, struct task *t)
{
    struct mailbox *b = t->mail;
    struct worker *w = way_to(t);
    if (b == NULL || w == NULL || b->try_at_ms > c->now_ms)
        return;
    const struct message *m = first_of(b);
    size_t bytes = m->withdrawing ? 0 : m->bytes;
    if (w->mail_bytes > 0 && w->mail_bytes + bytes > MAIL_BYTES_MAX)
        return; /* with a later one of its polls */
    w->mail_bytes += bytes;
    *vec_push(&w->outbox.messages) = (struct agent_message){.agent_id = t->agent->id,
        .send_id = m->id,
        .task_id = t->id,
        .when_stable = !m->withdrawing,
        .withdraw = m->withdrawing};
    b->maybe_there = true;
    b->try_at_ms = c->now_ms + (m->withdrawing ? WITHDRAW_MS : AGAIN_MS);
}

void message_session_begins(struct core *c, struct task *t)
{
    if (t->mail == NULL)
        return;
    t->mail->try_at_ms = 0;
    t->mail->pause_ms = 0;
    message_pump(c, t);
}

/* ---- the end of one ---- */

/* Whoever wants it back hears what has become of it. */
static void tell_asker(struct core *c, struct message *m, enum refusal code, const char *detail)
{
    if (m->ticket == NULL)
        return;
    core_reply(c, m->ticket, code);
    c->out->replies.v[c->out->replies.n - 1].detail = detail;
    m->ticket = NULL;
}

/* Out of memory, and what comes after it may go. */
static void drop(struct core *c, struct message *m)
{
    struct mailbox *b = m->box;
    struct task *t = b->task;
    if (m == first_of(b))
        begin_anew(b);
    list_unlink(&m->link);
    map_remove(&c->messages, &m->id);
    free(m);
    if (--b->n > 0)
        return;
    t->mail = NULL;
    mailbox_free(b);
}

static void over(struct core *c, struct message *m, const char *state, const char *detail)
{
    struct task *t = m->box->task;
    *vec_push(&c->out->messages_over) = (struct row_message_over){
        .id = m->id, .task_id = t->id, .state = state, .detail = effects_strdup(c->out, detail)};
    task_mark_changed(c, t);
    drop(c, m);
}

static void withdrawn(struct core *c, struct message *m)
{
    core_audit(c, &m->actor, "withdraw_message", "task", &m->box->task->id);
    tell_asker(c, m, REFUSAL_NONE, NULL);
    over(c, m, "withdrawn", "");
}

static void delivered(struct core *c, struct message *m)
{
    c->counts.delivered++;
    idle_activity(c, m->box->task);
    tell_asker(c, m, REFUSAL_MESSAGE_DELIVERED, NULL);
    over(c, m, "delivered", "");
}

static void refused(struct core *c, struct message *m, const char *detail)
{
    tell_asker(c, m, REFUSAL_MESSAGE_DELIVERED, "The app has refused it.");
    over(c, m, "refused", detail);
}

/* The app has not had it, or nobody knows: later again. */
static void put_off(struct core *c, struct message *m, enum refusal code)
{
    struct mailbox *b = m->box;
    if (m != first_of(b))
        return;
    bool never_had = code == REFUSAL_OVERLOADED || code == REFUSAL_APP_BUSY;
    if (never_had)
        b->maybe_there = false;
    if (never_had && m->withdrawing) {
        withdrawn(c, m);
        return;
    }
    b->pause_ms = b->pause_ms == 0 ? PAUSE_MS_MIN : b->pause_ms * 2;
    if (b->pause_ms > PAUSE_MS_MAX)
        b->pause_ms = PAUSE_MS_MAX;
    b->try_at_ms = c->now_ms + (m->withdrawing ? WITHDRAW_MS : b->pause_ms);
}

bool message_result(struct core *c, const struct uuid *id, enum refusal code, const char *detail)
{
    struct message *m = map_get(&c->messages, id);
    if (m == NULL)
        return false;
    struct task *t = m->box->task;
    if (code == REFUSAL_NONE)
        delivered(c, m);
    else if (code == REFUSAL_WITHDRAWN)
        withdrawn(c, m);
    else if (code == REFUSAL_APP_REJECTED)
        refused(c, m, detail);
    else
        put_off(c, m, code);
    message_pump(c, t);
    return true;
}

void message_agent_gone(struct core *c, struct task *t)
{
    if (t->mail == NULL)
        return;
    begin_anew(t->mail);
    struct message *m = first_of(t->mail);
    if (m->withdrawing)
        withdrawn(c, m);
}

void message_withdraw_all(struct core *c, struct task *t)
{
    while (t->mail != NULL) {
        struct message *m = first_of(t->mail);
        tell_asker(c, m, REFUSAL_NONE, NULL);
        over(c, m, "withdrawn", "The task was deleted.");
    }
}

/* ---- requests ---- */

static enum refusal may_queue(const struct task *t)
{
    if (t == NULL || t->deleted)
        return REFUSAL_TASK_UNKNOWN;
    if (t->app_slug == NULL)
        return REFUSAL_NO_APP;
    return t->mail != NULL && t->mail->n >= MESSAGES_MAX ? REFUSAL_MESSAGES_FULL : REFUSAL_NONE;
}

void core_message_queue(struct core *c, const struct uuid *task_id, const struct uuid *initiator_id,
    const struct uuid *message_id, const char *content, void *ticket)
{
    struct task *t = map_get(&c->tasks, task_id);
    const struct message *there = map_get(&c->messages, message_id);
    if (there != NULL) {
        core_reply(c, ticket, there->box->task == t ? REFUSAL_NONE : REFUSAL_MESSAGE_UNKNOWN);
        return;
    }
    enum refusal refusal = may_queue(t);
    core_reply(c, ticket, refusal);
    if (refusal != REFUSAL_NONE)
        return;
    struct message m = {.id = *message_id, .seq = ++t->message_seq, .bytes = strlen(content)};
    add(c, t, &m);
    if (t->agent != NULL && t->agent->resting) /* it is about to work: no time to make room */
        agent_set_resting(c, t->agent, true);
    *vec_push(&c->out->messages_new) = (struct row_message_new){.id = m.id,
        .task_id = t->id,
        .initiator_id = *initiator_id,
        .seq = m.seq,
        .content = effects_strdup(c->out, content)};
    core_audit(c, initiator_id, "queue_message", "task", &t->id);
    task_mark_changed(c, t);
    message_pump(c, t);
}

/* It may have reached the app, or be about to. */
static bool may_be_with_agent(const struct message *m)
{
    const struct mailbox *b = m->box;
    return m == first_of(b) && b->maybe_there && b->task->job.holds_compute;
}

static void reply_from_store(
    struct core *c, void *ticket, const struct uuid *task_id, const struct uuid *message_id)
{
    *vec_push(&c->out->replies) = (struct reply){
        .ticket = ticket, .kind = REPLY_MESSAGE, .task_id = *task_id, .message_id = *message_id};
}

void core_message_withdraw(struct core *c, const struct uuid *task_id,
    const struct uuid *initiator_id, const struct uuid *message_id, void *ticket)
{
    struct message *m = map_get(&c->messages, message_id);
    if (m == NULL || !uuid_eq(&m->box->task->id, task_id)) {
        reply_from_store(c, ticket, task_id, message_id);
        return;
    }
    /* Asked again while under way: the newer asker gets the answer. */
    tell_asker(c, m, REFUSAL_OVERLOADED, NULL);
    bool is_new = !m->withdrawing;
    struct task *t = m->box->task;
    m->withdrawing = true;
    m->actor = *initiator_id;
    m->ticket = ticket;
    m->until_ms = c->now_ms + ASKER_MS_MAX;
    if (!may_be_with_agent(m))
        withdrawn(c, m);
    else if (is_new)
        t->mail->try_at_ms = 0;
    message_pump(c, t);
}

void core_message_gone(struct core *c, const struct uuid *message_id)
{
    struct message *m = map_get(&c->messages, message_id);
    if (m == NULL)
        return;
    struct task *t = m->box->task;
    if (m->ticket != NULL)
        reply_from_store(c, m->ticket, &t->id, &m->id);
    drop(c, m);
    message_pump(c, t);
}

void message_tick(struct core *c)
{
    list_for(it, &c->mailboxes)
    {
        struct mailbox *b = container_of(it, struct mailbox, link);
        struct message *m = first_of(b);
        if (m->ticket != NULL && m->until_ms <= c->now_ms)
            tell_asker(c, m, REFUSAL_APP_UNREACHABLE,
                "The agent cannot be asked whether the app has had the message; it is taken back "
                "as soon as it can. Try again in a moment.");
        message_pump(c, b->task);
    }
}

/* ---- loading ---- */

/* Whether the leader before had handed it over is not known. */
void core_load_message(struct core *c, const struct load_message *l)
{
    struct task *t = map_get(&c->tasks, &l->task_id);
    if (t == NULL || t->deleted || map_get(&c->messages, &l->id) != NULL)
        return;
    struct message m = {.id = l->id, .seq = l->seq, .bytes = l->bytes};
    add(c, t, &m);
    t->mail->maybe_there = true;
}
