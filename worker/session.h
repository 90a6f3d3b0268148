/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one agent's session, and the set of them: who is there, who is silent, what waits for
 * whom.  No I/O and no clock of its own: times are handed in, and answers to held polls are left to
 * the caller.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/base/map.h"
#include "core/base/vec.h"

#define SESSION_HOLD_MS    1000
#define SESSION_SILENCE_MS 5000
/* A message that was handed over and not answered is handed over again; the agent knows its id. */
#define SESSION_MESSAGE_AGAIN_MS     2000
#define SESSION_MESSAGE_AGAIN_MS_MAX 60000
/* After that long it counts as not delivered, unless it is one that waits for its app. */
#define SESSION_MESSAGE_MS 10000

/* How a message is meant (AgentMessage). */
struct session_manner {
    bool when_stable; /* the agent keeps it until the app can take it, however long that is */
    bool withdraw;    /* takes back one that was to wait; has no content */
};

struct session_message {
    struct list node;
    struct uuid send_id;
    struct session_manner manner;
    char *content;
    int64_t since_ms;
    int64_t sent_ms;  /* INT64_MIN: not yet */
    int64_t again_ms; /* it is handed over again after that long */
};

struct session {
    struct uuid agent_id;
    uint64_t id; /* 0 is none */
    uint64_t watermark;
    int64_t seen_ms;
    void *held; /* the poll that waits, NULL: none */
    int64_t held_until_ms;
    struct list held_node; /* in session_set.held, by held_until_ms */
    struct list messages;
};

/* What the scheduler was not told: a session has begun, or ended.  The newest of each agent. */
struct session_news {
    struct uuid agent_id;
    bool is_open;
    uint64_t poll; /* the first one that carries it; 0: none yet */
};

struct session_set {
    struct map by_agent;
    struct list held;
    VEC(struct session_news) news;
};

void session_set_init(struct session_set *set);
/* Held polls are forgotten. */
void session_set_done(struct session_set *set);

/* A session for this agent; an earlier one ends, and its held poll is handed out in *ret_held.
 * What was handed over in that one is handed over again. */
struct session *session_open(struct session_set *set, const struct uuid *agent_id, uint64_t id,
    uint64_t watermark, int64_t now_ms, void **ret_held);
/* NULL unless the agent has this very session; notes that it has been heard of. */
struct session *session_find(
    struct session_set *set, const struct uuid *agent_id, uint64_t id, int64_t now_ms);
/* End it.  `tell`: the scheduler is to hear of it.  Messages must have been taken out. */
void session_close(struct session_set *set, struct session *s, bool tell);
/* The answer to this poll has come: what it carried is told. */
void session_news_told(struct session_set *set, uint64_t poll);
bool session_is_silent(const struct session *s, int64_t now_ms);

/* The poll waits.  An older one is handed out in *ret_older. */
void session_hold(
    struct session_set *set, struct session *s, void *call, int64_t now_ms, void **ret_older);
/* The poll that waits, no longer waiting; NULL when none does. */
void *session_unhold(struct session *s);
/* The session whose poll has waited long enough, NULL when none has. */
struct session *session_held_due(struct session_set *set, int64_t now_ms);

/* False when it is there already.  One that takes back takes the place of the one it means. */
bool session_add_message(struct session *s, const struct uuid *send_id, const char *content,
    struct session_manner manner, int64_t now_ms);
/* It goes out now. */
void session_message_sent(struct session_message *m, int64_t now_ms);
struct session_message *session_find_message(struct session *s, const struct uuid *send_id);
void session_drop_message(struct session_message *m);
/* Is there one to hand over now? */
bool session_has_mail(const struct session *s, int64_t now_ms);
bool session_message_is_due(const struct session_message *m, int64_t now_ms);
bool session_message_is_old(const struct session_message *m, int64_t now_ms);

#endif
