/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the agent's connection to the workers: one at a time, and always one again.
 *
 *              a worker is found          welcome
 *   SEEKING --------------------> HELLO ------------> OPEN
 *      ^                            |                  |
 *      +---- no answer, lost, refused (with jitter) <--+      TOKEN_UNKNOWN anywhere: OVER
 *
 * While open: one poll is always out (it brings messages and the watermark), and reports follow
 * each other in batches, one batch in flight, go-back-N: what the worker has taken counts as out,
 * not as arrived, and when the watermark stands still for 3 s although reports are out, they are
 * sent again from watermark + 1 (then 6 s, 12 s, … up to 30 s, until it moves).  Nothing that is
 * not on disk is sent (rule 8).
 *
 * All calls and callbacks on the loop's thread.
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <stdbool.h>

#include "agent/peers.h"
#include "agent/reports.h"
#include "core/base/uuid.h"
#include "core/loop/loop.h"
#include "core/wire/wire.h"

struct session;

/* What the worker brings: a message for the app, and the wish to take one back.  Each is answered
 * by session_answer(), from inside or whenever it is known; the same one may come more than once.
 */
typedef void (*session_message_fn)(
    void *arg, const struct uuid *send_id, const char *content, size_t n, bool when_stable);
typedef void (*session_withdraw_fn)(void *arg, const struct uuid *send_id);

struct session_conf {
    struct loop *loop;
    struct reports *reports;
    struct uuid agent_id;
    const char *token;
    const char *workers_dir;
    struct peers *peers; /* NULL: the sockets of workers_dir */
    session_message_fn on_message;
    session_withdraw_fn on_withdraw;
    /* A later build has taken this agent's place: stop everything.  Called once. */
    loop_fn on_superseded;
    void *arg;
    /* Silence after which another worker is tried, and after which reports are sent again; 0 means
     * 3,000.  Tests are impatient. */
    int64_t silence_ms;
};

/* `conf` is copied, what it points to borrowed.  Begins to look for a worker at once. */
struct session *session_new(const struct session_conf *conf);
/* Not from within one of its callbacks. */
void session_free(struct session *s);

/* Send what there is to send.  To be called at the end of each turn of the loop. */
void session_pump(struct session *s);

/* What became of a message (NONE: the app has it), or of the wish to take it back; a detail of up
 * to 159 bytes.  Kept until a worker has taken it. */
void session_answer(
    struct session *s, const struct uuid *send_id, enum refusal code, const char *detail);

/* A worker knows us at this moment. */
bool session_is_open(const struct session *s);
/* Every report is in Postgres, every answer has been handed over; or nobody will ever take them. */
bool session_is_settled(const struct session *s);

#endif
