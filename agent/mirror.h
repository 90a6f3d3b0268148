/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror.h - the app's conversation, said as chat messages of the task while it goes on.
 *
 * The app numbers its messages from 0 in each life; the task's go on for ever.  So each of the
 * app's has a number of the task's, given when it is first seen and kept on disk:
 *
 *   app:    0 1 2 3             the app starts over without its memory:   0 1 2
 *   task:   0 1 2 3                                                       4 5 6
 *           0 1 2 3             it comes back with an old memory:         0 1 2     then: 3
 *           0 1 2 3                                                       0 1 2           4
 *
 * Which of it is the same conversation is told by comparing: messages are the same when their roles
 * and contents are, those of the user also by their time.  The last message of the app may have
 * grown meanwhile.  AgentAPI loads its memory some time after its start: until then it shows a
 * greeting, which is held back while it may yet give way to what was known before; see
 * mirror_flush().
 *
 * A message that changes is said again at most every MIRROR_SAY_MS, with what it is by then; all
 * before it have been said.  One that is longer than a chat message may be loses its beginning when
 * it is the app's, its end when it is the user's, and says so.  An empty one is said once it is
 * not.  While there is no room for reports it waits: only the newest content is kept.
 *
 * On disk: "mirror.json" in the state directory,
 *   {"version": 1, "unsaid": 2, "entries": "<16 hex digits of hash, 16 of the task's number> …"}
 * written before a number is used; from entry `unsaid` on not all may have been said.
 */
#ifndef AGENT_MIRROR_H
#define AGENT_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/conversation.h"
#include "agent/status.h"
#include "core/base/err.h"
#include "core/loop/loop.h"

#define MIRROR_SAY_MS 250

struct mirror;

/* All borrowed.  A damaged file is reported and passed over: the conversation is said anew then. */
enum err must_check mirror_open(
    struct loop *l, struct status *status, int dir, struct mirror **ret_mirror, struct errctx *ctx);
void mirror_free(struct mirror *m);

/* The conversation as it is now.  Returns how many messages of it were known before: from there on
 * they are new to the task.  `is_new_app`: its process may have begun since the last look. */
size_t mirror_sync(struct mirror *m, const struct conversation *c, bool is_new_app);
/* One message has changed or is new.  False: that does not go with what is known; look at all. */
bool mirror_update(struct mirror *m, const struct conversation_message *message);

/* A message that the app was given and does not show, nor will it: said behind all that is known.
 */
void mirror_add_lost(struct mirror *m, const char *content, size_t n);

/* Messages of the conversation; the task's number of one of them. */
size_t mirror_count(const struct mirror *m);
uint64_t mirror_id(const struct mirror *m, size_t i);
/* Has the user said anything in it? */
bool mirror_has_user(const struct mirror *m);

/* The screen is at rest, or it is the end: say now what waits, as far as there is room. */
void mirror_flush(struct mirror *m);

/* Content as it is said: cleaned, cut to `bytes_max` (at least 100). */
struct strbuf;
void mirror_add_content(
    struct strbuf *out, const char *content, size_t n, bool is_user, size_t bytes_max);

#endif
