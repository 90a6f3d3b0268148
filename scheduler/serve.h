/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - the scheduler's side of the bus: requests become events of the core, replies and
 * dispatches become messages.
 *
 * While this scheduler does not lead, every request is answered NOT_LEADER.  Requests that wait
 * when a leadership ends are answered so too: their senders ask again, here or elsewhere.
 */
#ifndef SCHEDULER_SERVE_H
#define SCHEDULER_SERVE_H

#include "core/bus/bus.h"
#include "core/db/db.h"
#include "scheduler/core/core.h"
#include "scheduler/state.h"
#include "scheduler/work_message.h"

struct serve;

/* Listens on each of the comma-separated URLs. */
enum err must_check serve_new(
    struct loop *l, const char *urls, struct serve **ret_serve, struct errctx *ctx);
void serve_free(struct serve *s);
/* The first URL, with its real port. */
const char *serve_url(const struct serve *s);

/* From now on requests go to this core; NULL: no more, and whoever waits is told. `db` reads files.
 */
void serve_lead(struct serve *s, struct core *core, uint64_t epoch, struct db *db);
/* What Terraform's state is kept with; borrowed. */
void serve_set_state_keys(struct serve *s, const struct state_keys *keys);
/* Whom to point at while not leading; "": nobody known. */
void serve_set_leader(struct serve *s, const char *url);
const char *serve_leader(const struct serve *s);

/* What only the leader itself can say. */
struct serve_leader {
    bool (*may_speak)(void *arg); /* of what it knows without asking Postgres */
    bus_request_fn on_step_down;
    void *arg;
};
void serve_ask_leader(struct serve *s, const struct serve_leader *leader);

/* Nothing new: until the next serve_lead() requests are answered NOT_LEADER; those that are taken
 * in get their answers. */
void serve_close(struct serve *s);

/* After the commit.  `watermark` counts for REPLY_AGENT_OPENED. */
void serve_reply(struct serve *s, const struct reply *r, uint64_t watermark);
void serve_dispatches(
    struct serve *s, const struct effects *e, uint64_t epoch, const struct work_texts *texts);
void serve_refuse(struct serve *s, void *ticket, enum refusal code, const char *detail);

#endif
