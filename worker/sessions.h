/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.h - the agents that talk to this worker.
 *
 *   AgentHello --AgentOpen to the scheduler--> session --silent for 5 s, or revoked--> closed
 *
 * In a session an agent has a poll out, which is held for up to a second and answered with messages
 * and the watermark; it hands over numbered reports, which go to Redis (stint:reports) and are
 * answered when Redis has them; and it answers messages.  Sessions are the worker's alone and are
 * lost with it: agents notice, and say hello to another worker.
 *
 * All on the loop's thread.
 */
#ifndef WORKER_SESSIONS_H
#define WORKER_SESSIONS_H

#include <stddef.h>

#include "core/bus/bus.h"
#include "core/kv/kv.h"
#include "core/loop/loop.h"

struct sessions;

/* Listens on ipc://<data_dir>/agents/<worker_id>.sock and removes the sockets of dead workers
 * there. Borrows all. */
enum err must_check sessions_new(struct loop *l, struct bus_client *scheduler, struct kv *redis,
    const char *data_dir, const struct uuid *worker_id, struct sessions **ret_sessions,
    struct errctx *ctx);
void sessions_free(struct sessions *s);
/* Serve agents of other machines too, on a bus URL of the network. */
enum err must_check sessions_listen(struct sessions *s, const char *url, struct errctx *ctx);
/* That URL with its real port; "": none. */
const char *sessions_url(const struct sessions *s);

/* Take no more agents: those that look for a worker are sent on; the others stay. */
void sessions_drain(struct sessions *s);

/* A message from the scheduler for an agent; refused at once (AgentSendResult) when the agent is
 * not here. */
void sessions_message(struct sessions *s, const Stint__V1__AgentMessage *m);
/* A later build has taken the agent's place: it stops trying. */
void sessions_revoke(struct sessions *s, const struct uuid *agent_id);
/* Postgres has this agent's reports up to `number`; other ids are ignored. */
void sessions_committed(struct sessions *s, const struct uuid *agent_id, uint64_t number);

/* Agents whose sessions have begun, or ended, and of which the scheduler was not told, for the poll
 * of this number (they grow from 1); free() it.  Begun ones too, although AgentOpen has told of
 * them: that may have been a leader before this one. */
struct uuid *sessions_news(struct sessions *s, bool is_open, uint64_t poll, size_t *ret_n);
/* That poll was answered. */
void sessions_told(struct sessions *s, uint64_t poll);
/* A session has ended, and no poll has carried that yet. */
bool sessions_have_ended(const struct sessions *s);
/* All agents in session; free() it. */
struct uuid *sessions_list(const struct sessions *s, size_t *ret_n);

#endif
