/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - bookkeeping. */
#include "worker/session.h"

#include <stdlib.h>

#include "core/base/mem.h"

void session_set_init(struct session_set *set)
{
    *set = (struct session_set){0};
    list_init(&set->held);
}

static void session_free(struct session *s)
{
    list_unlink(&s->held_node);
    list_for_safe(it, &s->messages)
        session_drop_message(container_of(it, struct session_message, node));
    free(s);
}

void session_set_done(struct session_set *set)
{
    struct session *s;
    for (size_t i = 0; (s = map_next(&set->by_agent, &i)) != NULL;)
        session_free(s);
    map_done(&set->by_agent);
    vec_done(&set->news);
}

/* ---- open and close ---- */

static void forget_news(struct session_set *set, const struct uuid *agent_id)
{
    for (size_t i = set->news.n; i-- > 0;)
        if (uuid_eq(&set->news.v[i].agent_id, agent_id))
            vec_remove_swap(&set->news, i);
}

static void put_news(struct session_set *set, const struct uuid *agent_id, bool is_open)
{
    forget_news(set, agent_id);
    *vec_push(&set->news) = (struct session_news){.agent_id = *agent_id, .is_open = is_open};
}

/* It is in every poll since the first that carried it. */
void session_news_told(struct session_set *set, uint64_t poll)
{
    for (size_t i = set->news.n; i-- > 0;)
        if (set->news.v[i].poll != 0 && set->news.v[i].poll <= poll)
            vec_remove_swap(&set->news, i);
}

struct session *session_open(struct session_set *set, const struct uuid *agent_id, uint64_t id,
    uint64_t watermark, int64_t now_ms, void **ret_held)
{
    struct session *s = map_get(&set->by_agent, agent_id);
    *ret_held = s != NULL ? session_unhold(s) : NULL;
    if (s == NULL) {
        s = mem_alloc(sizeof(*s));
        s->agent_id = *agent_id;
        list_init(&s->held_node);
        list_init(&s->messages);
        map_put(&set->by_agent, agent_id, s);
    }
    s->id = id;
    s->watermark = watermark > s->watermark ? watermark : s->watermark;
    s->seen_ms = now_ms;
    list_for(it, &s->messages) container_of(it, struct session_message, node)->sent_ms = INT64_MIN;
    put_news(set, agent_id, true);
    return s;
}

struct session *session_find(
    struct session_set *set, const struct uuid *agent_id, uint64_t id, int64_t now_ms)
{
    struct session *s = map_get(&set->by_agent, agent_id);
    if (s == NULL || s->id != id || id == 0)
        return NULL;
    s->seen_ms = now_ms;
    return s;
}

void session_close(struct session_set *set, struct session *s, bool tell)
{
    if (tell)
        put_news(set, &s->agent_id, false);
    else
        forget_news(set, &s->agent_id);
    map_remove(&set->by_agent, &s->agent_id);
    session_free(s);
}

bool session_is_silent(const struct session *s, int64_t now_ms)
{
    return s->held == NULL && now_ms - s->seen_ms >= SESSION_SILENCE_MS;
}

/* ---- held polls ---- */

void session_hold(
    struct session_set *set, struct session *s, void *call, int64_t now_ms, void **ret_older)
{
    *ret_older = session_unhold(s);
    s->held = call;
    s->held_until_ms = now_ms + SESSION_HOLD_MS;
    list_append(&set->held, &s->held_node);
}

void *session_unhold(struct session *s)
{
    void *held = s->held;
    s->held = NULL;
    list_unlink(&s->held_node);
    return held;
}

struct session *session_held_due(struct session_set *set, int64_t now_ms)
{
    if (list_is_empty(&set->held))
        return NULL;
    struct session *s = container_of(set->held.next, struct session, held_node);
    return s->held_until_ms <= now_ms ? s : NULL;
}

/* ---- messages ---- */

struct session_message *session_find_message(struct session *s, const struct uuid *send_id)
{
    list_for(it, &s->messages)
    {
        struct session_message *m = container_of(it, struct session_message, node);
        if (uuid_eq(&m->send_id, send_id))
            return m;
    }
    return NULL;
}

bool session_add_message(struct session *s, const struct uuid *send_id, const char *content,
    struct session_manner manner, int64_t now_ms)
{
    struct session_message *there = session_find_message(s, send_id);
    if (there != NULL && (there->manner.withdraw || !manner.withdraw))
        return false;
    if (there != NULL)
        session_drop_message(there);
    struct session_message *m = mem_alloc(sizeof(*m));
    m->send_id = *send_id;
    m->manner = manner;
    m->content = mem_strdup(content);
    m->since_ms = now_ms;
    m->sent_ms = INT64_MIN;
    m->again_ms = SESSION_MESSAGE_AGAIN_MS;
    list_append(&s->messages, &m->node);
    return true;
}

/* The agent may keep one for hours: it need not come again every other second. */
void session_message_sent(struct session_message *m, int64_t now_ms)
{
    if (m->manner.when_stable && m->sent_ms != INT64_MIN)
        m->again_ms *= 2;
    if (m->again_ms > SESSION_MESSAGE_AGAIN_MS_MAX)
        m->again_ms = SESSION_MESSAGE_AGAIN_MS_MAX;
    m->sent_ms = now_ms;
}

void session_drop_message(struct session_message *m)
{
    list_unlink(&m->node);
    free(m->content);
    free(m);
}

bool session_message_is_due(const struct session_message *m, int64_t now_ms)
{
    return m->sent_ms == INT64_MIN || now_ms - m->sent_ms >= m->again_ms;
}

bool session_message_is_old(const struct session_message *m, int64_t now_ms)
{
    return !m->manner.when_stable && now_ms - m->since_ms >= SESSION_MESSAGE_MS;
}

bool session_has_mail(const struct session *s, int64_t now_ms)
{
    list_for(it, &s->messages)
    {
        if (session_message_is_due(container_of(it, struct session_message, node), now_ms))
            return true;
    }
    return false;
}
