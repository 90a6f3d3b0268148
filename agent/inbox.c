/* SPDX-License-Identifier: Apache-2.0 */
/* A queue, the one message that is being handed over, and a short memory of last words. */
#include "agent/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/text.h"

/* Answers that are remembered, so that a message that comes again gets the same one. */
#define ANSWERED_MAX 128
#define DETAIL_MAX   160

struct message {
    struct list item;
    struct uuid send_id;
    bool when_stable, is_unwanted;
    char *content;
    size_t n;
};

struct answered {
    struct uuid send_id;
    enum refusal code;
    char detail[DETAIL_MAX];
};

struct inbox {
    struct inbox_conf conf;
    struct list waiting;
    size_t n_waiting;
    struct message *taking; /* deliver() has it */
    bool is_closed;
    struct answered answered[ANSWERED_MAX];
    size_t n_answered;
};

struct inbox *inbox_new(const struct inbox_conf *conf)
{
    struct inbox *i = mem_alloc(sizeof(*i));
    i->conf = *conf;
    list_init(&i->waiting);
    return i;
}

static void free_message(struct message *m)
{
    if (m == NULL)
        return;
    free(m->content);
    free(m);
}

void inbox_free(struct inbox *i)
{
    if (i == NULL)
        return;
    struct list *item;
    while ((item = list_pop(&i->waiting)) != NULL)
        free_message(container_of(item, struct message, item));
    free_message(i->taking);
    free(i);
}

/* ---- memory ---- */

static void remember(
    struct inbox *i, const struct uuid *send_id, enum refusal code, const char *detail)
{
    struct answered *a = &i->answered[i->n_answered++ % ANSWERED_MAX];
    *a = (struct answered){.send_id = *send_id, .code = code};
    memcpy(a->detail, detail, text_utf8_prefix(detail, strlen(detail), DETAIL_MAX - 1));
}

static const struct answered *find_answered(const struct inbox *i, const struct uuid *send_id)
{
    size_t n = i->n_answered < ANSWERED_MAX ? i->n_answered : ANSWERED_MAX;
    for (size_t k = 0; k < n; k++)
        if (uuid_eq(&i->answered[k].send_id, send_id))
            return &i->answered[k];
    return NULL;
}

static struct message *find_waiting(const struct inbox *i, const struct uuid *send_id)
{
    list_for(item, &i->waiting)
    {
        struct message *m = container_of(item, struct message, item);
        if (uuid_eq(&m->send_id, send_id))
            return m;
    }
    return NULL;
}

static bool is_taking(const struct inbox *i, const struct uuid *send_id)
{
    return i->taking != NULL && uuid_eq(&i->taking->send_id, send_id);
}

static void answer(
    struct inbox *i, const struct uuid *send_id, enum refusal code, const char *detail)
{
    i->conf.answer(i->conf.arg, send_id, code, detail);
}

static void answer_for_good(
    struct inbox *i, const struct uuid *send_id, enum refusal code, const char *detail)
{
    remember(i, send_id, code, detail);
    answer(i, send_id, code, detail);
}

/* ---- handing over ---- */

static void deliver(struct inbox *i, struct message *m)
{
    i->taking = m;
    /* The answer may come from inside and end the message. */
    struct uuid send_id = m->send_id;
    i->conf.deliver(i->conf.arg, &send_id, m->content, m->n);
}

static bool can_deliver(const struct inbox *i)
{
    return !i->is_closed && i->taking == NULL && i->conf.is_stable(i->conf.arg);
}

void inbox_pump(struct inbox *i)
{
    if (list_is_empty(&i->waiting) || !can_deliver(i))
        return;
    i->n_waiting--;
    deliver(i, container_of(list_pop(&i->waiting), struct message, item));
}

/* It keeps its place in front. */
static void wait_again(struct inbox *i, struct message *m)
{
    m->item.prev = &i->waiting;
    m->item.next = i->waiting.next;
    i->waiting.next->prev = &m->item;
    i->waiting.next = &m->item;
    i->n_waiting++;
}

static bool is_last_word(const struct message *m, enum refusal code)
{
    return !m->when_stable || (code != REFUSAL_APP_UNREACHABLE && code != REFUSAL_OVERLOADED);
}

void inbox_answered(
    struct inbox *i, const struct uuid *send_id, enum refusal code, const char *detail)
{
    if (!is_taking(i, send_id))
        return;
    struct message *m = steal(i->taking);
    if (code == REFUSAL_APP_BUSY && m->when_stable && !m->is_unwanted) {
        wait_again(i, m);
        return;
    }
    if (code == REFUSAL_APP_BUSY && m->is_unwanted)
        code = REFUSAL_WITHDRAWN;
    struct uuid id = m->send_id;
    bool is_last = is_last_word(m, code);
    free_message(m);
    /* What was taken is remembered by whoever took it, on disk. */
    if (is_last && code != REFUSAL_NONE)
        answer_for_good(i, &id, code, detail);
    else
        answer(i, &id, code, detail);
}

/* ---- what comes in ---- */

static struct message *new_message(
    const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    struct message *m = mem_alloc(sizeof(*m));
    m->send_id = *send_id;
    m->when_stable = when_stable;
    m->content = mem_alloc(n + 1);
    memcpy(m->content, content, n);
    m->n = n;
    return m;
}

static void take_now(struct inbox *i, const struct uuid *send_id, const char *content, size_t n)
{
    if (i->is_closed)
        answer_for_good(i, send_id, REFUSAL_APP_REJECTED, "The workspace is stopping.");
    else if (!list_is_empty(&i->waiting) || i->taking != NULL)
        answer_for_good(i, send_id, REFUSAL_APP_BUSY, "");
    else /* whoever has the app knows best why it cannot be taken */
        deliver(i, new_message(send_id, content, n, false));
}

static void take_when_stable(
    struct inbox *i, const struct uuid *send_id, const char *content, size_t n)
{
    if (i->is_closed)
        return; /* it is for the next start */
    if (i->n_waiting >= INBOX_MAX) {
        answer(i, send_id, REFUSAL_OVERLOADED, "");
        return;
    }
    list_append(&i->waiting, &new_message(send_id, content, n, true)->item);
    i->n_waiting++;
    inbox_pump(i);
}

void inbox_message(
    struct inbox *i, const struct uuid *send_id, const char *content, size_t n, bool when_stable)
{
    const struct answered *known = find_answered(i, send_id);
    if (is_taking(i, send_id) || find_waiting(i, send_id) != NULL)
        return; /* its answer comes */
    if (known != NULL)
        answer(i, send_id, known->code, known->detail);
    else if (i->conf.has_taken(i->conf.arg, send_id))
        answer(i, send_id, REFUSAL_NONE, "");
    else if (when_stable)
        take_when_stable(i, send_id, content, n);
    else
        take_now(i, send_id, content, n);
}

static bool is_in_doubt(const struct inbox *i, const struct uuid *send_id)
{
    return i->conf.may_have_taken != NULL && i->conf.may_have_taken(i->conf.arg, send_id);
}

static void take_back(struct inbox *i, const struct uuid *send_id)
{
    struct message *m = find_waiting(i, send_id);
    if (m != NULL) {
        list_unlink(&m->item);
        i->n_waiting--;
        free_message(m);
    }
    answer_for_good(i, send_id, REFUSAL_WITHDRAWN, "");
}

void inbox_withdraw(struct inbox *i, const struct uuid *send_id)
{
    const struct answered *known = find_answered(i, send_id);
    if (is_taking(i, send_id))
        i->taking->is_unwanted = true; /* too late, unless the app is busy */
    else if (known != NULL)
        answer(i, send_id, known->code, known->detail);
    else if (i->conf.has_taken(i->conf.arg, send_id))
        answer(i, send_id, REFUSAL_NONE, "");
    else if (!is_in_doubt(i, send_id))
        take_back(i, send_id);
}

void inbox_close(struct inbox *i)
{
    i->is_closed = true;
}
