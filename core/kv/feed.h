/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed.h - the change feed: which tasks read differently since when, in one order for all.
 *
 *   stint:changes   a Redis stream; an entry is written after each commit that changed something
 *     id            "<ms>-<seq>", given by Redis: the place of the entry, the same for every reader
 *     t             ids, 16 bytes each; none: anything may have changed
 *     w             "<writer>:<epoch>:<n>", n counts what this writer had to say in this epoch
 *
 * An entry says "this is different now", not what: who reads the task afterwards has missed
 * nothing, however many entries were one.
 *
 * Redis is a way, not a store (rule 9), so entries may get lost: written while it was away, or
 * forgotten by it.  Nobody is left in the dark about that.  A writer begins with an entry that says
 * "anything", and says it again when an entry of its own did not arrive; a reader that finds a
 * number missing, or its own last place gone from the stream, says so.
 */
#ifndef CORE_KV_FEED_H
#define CORE_KV_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/uuid.h"
#include "core/kv/kv.h"

#define FEED_STREAM "stint:changes"

/* ---- places ---- */

struct feed_id {
    uint64_t ms, seq;
};

#define FEED_ID_SIZE 42 /* of its text, with the NUL */

/* "<ms>-<seq>" and nothing behind it. */
bool feed_id_parse(const char *text, size_t n, struct feed_id *ret_id);
void feed_id_format(struct feed_id id, char ret_text[static FEED_ID_SIZE]);
/* As strcmp() has it. */
int feed_id_compare(struct feed_id a, struct feed_id b);

/* ---- writing ---- */

struct feed_writer;

/* `name` is one letter per writer of a leader.  `on_state` may be NULL. */
struct feed_writer *feed_writer_new(
    struct loop *l, const char *url, char name, void (*on_state)(void *arg, bool up), void *arg);
void feed_writer_free(struct feed_writer *w);
const char *feed_writer_why(const struct feed_writer *w);
/* A new leadership: what the last one did not get to say is said by "anything". */
void feed_writer_begin(struct feed_writer *w, uint64_t epoch);
void feed_writer_tell(struct feed_writer *w, const struct uuid *ids, size_t n);

/* ---- reading ---- */

struct feed;

/* All on the loop's thread. */
struct feed_sink {
    /* `ids` of the entry `id`. */
    void (*on_change)(void *arg, struct feed_id id, const struct uuid *ids, size_t n);
    /* Changes may have been missed: all before `id` count as said. */
    void (*on_gap)(void *arg, struct feed_id id);
    /* Every change is heard from now on, or none is.  An on_gap() comes first unless nothing was
     * missed since the last time. */
    void (*on_state)(void *arg, bool heard);
    void *arg;
};

struct feed *feed_new(struct loop *l, const char *url, const struct feed_sink *sink);
void feed_free(struct feed *f);
const char *feed_why(const struct feed *f);
/*
 * Which ids were told after the entry `after`, each once, oldest first; at most about `most`
 * entries back.  False: that cannot be said: the entry is not there any more, one behind it is
 * missing or says "anything", there are too many, or Redis is away.  done() may be called at once.
 */
typedef void (*feed_history_fn)(void *arg, bool is_whole, const struct uuid *ids, size_t n);
void feed_history(
    struct kv *kv, struct feed_id after, size_t most, feed_history_fn done, void *arg);

/* The newest place that was heard of. */
struct feed_id feed_last(const struct feed *f);

#endif
