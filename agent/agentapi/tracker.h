/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracker.h - a conversation, told from snapshots of a screen.
 *
 * Pure: time and screens come in, typing goes out through `io`; no clock, no terminal.
 *
 *   snapshots   ── the screen changes ──> RUNNING ── 81 alike, a box to type into,
 *                                            ^        nothing waits to be typed ──> STABLE
 *                                            └────────── message, change ─────────────┘
 *
 *   a message   typed ─> its echo has come and stands still, or 2 s are over ─> Enter
 *               ─> the screen changes: taken (recorded)    | Enter again every 3 s
 *               ─> 15 s are over: not taken
 *
 * Messages have ids from 0, in order.  Message 0 is the agent's: what it shows at its start.  The
 * last message of the agent changes while it speaks; the others stay as they are, but that the
 * oldest of the agent's become a marker when all together are larger than MESSAGES_BYTES_MAX, and
 * that only the newest MESSAGES_MAX are kept.
 */
#ifndef AGENT_AGENTAPI_TRACKER_H
#define AGENT_AGENTAPI_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/agentapi/agent_type.h"
#include "core/base/err.h"
#include "core/base/strbuf.h"

#define SNAPSHOT_MS        25
#define SNAPSHOTS_STABLE   81 /* 2 s */
#define MESSAGES_MAX       10000
#define MESSAGES_BYTES_MAX (16 * 1024 * 1024)
#define MESSAGE_DROPPED    "[dropped: the conversation is longer than what is kept]"

struct tracker;

enum tracker_role { ROLE_AGENT, ROLE_USER };
enum tracker_status { STATUS_RUNNING, STATUS_STABLE };

struct tracker_message {
    int64_t id;
    enum tracker_role role;
    int64_t time_us; /* wall clock */
    char *text;
    size_t n;
};

/* Called from inside tracker_snapshot(), tracker_send() and tracker_restore(). */
struct tracker_io {
    void (*type)(void *arg, const char *text, size_t n); /* as a person would paste it */
    void (*enter)(void *arg);
    bool (*is_drained)(void *arg); /* has the terminal taken all that was typed? */
    /* Once, when the agent is ready for the first time: the moment for tracker_restore(). */
    void (*ready)(void *arg);
    /* The initial prompt is about to be typed; what must be on disk before it is, is written now.
     */
    void (*prompt)(void *arg);
    void (*message)(void *arg, const struct tracker_message *m); /* new, or changed */
    void (*status)(void *arg, enum tracker_status status);
    void (*trouble)(void *arg, const char *sentence); /* for people; not tied to a request */
    void *arg;
};

struct tracker_conf {
    enum agent_type type;
    const char *prompt; /* NULL or "": none; copied */
    struct tracker_io io;
};

struct tracker *tracker_new(const struct tracker_conf *conf, int64_t now_ms, int64_t wall_us);
void tracker_free(struct tracker *t);

/* Every SNAPSHOT_MS, until tracker_is_settled(); then again from the next output or message on. */
void tracker_snapshot(
    struct tracker *t, int64_t now_ms, int64_t wall_us, const struct strbuf *screen);

/* done(): ERR_OK once the agent has begun with it, ERR_TIMEOUT when it did not within 15 s. */
typedef void (*tracker_done_fn)(void *arg, enum err e);
/* ERR_INVALID (with the sentence in ctx) or ERR_CONFLICT at once, without done().
 * done NULL: nobody waits. */
enum err must_check tracker_send(struct tracker *t, int64_t now_ms, int64_t wall_us,
    const char *text, size_t n, tracker_done_fn done, void *arg, struct errctx *ctx);
/* The agent is gone: what is being typed was not taken. */
void tracker_end(struct tracker *t);
/* The one who waits has gone; the message goes its way. */
void tracker_forget(struct tracker *t, void *arg);

enum tracker_status tracker_status(const struct tracker *t);
bool tracker_is_ready(const struct tracker *t);
/* As long as the screen stays as it is, no snapshot will change anything. */
bool tracker_is_settled(const struct tracker *t);
size_t tracker_count(const struct tracker *t);
const struct tracker_message *tracker_at(const struct tracker *t, size_t i);

/* ---- what is kept over restarts ---- */

/* The prompt of this life, or of the last one when this has none; never NULL. */
const char *tracker_prompt(const struct tracker *t);
bool tracker_prompt_sent(const struct tracker *t);
/* Has anything changed since the last call?  Begins anew. */
bool tracker_take_dirty(struct tracker *t);

/* From inside io.ready(): the messages of an earlier life (texts are taken over, the array is
 * not), its prompt and whether that was sent.  The screen as it is now counts as known. */
void tracker_restore(struct tracker *t, struct tracker_message *messages, size_t n,
    const char *prompt, bool was_sent);

#endif
