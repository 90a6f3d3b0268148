/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changes.h - what has changed lately, read and rendered once for all streams that want to say so.
 *
 *   change feed --> changes_heard() --> waiting --one read at a time--> ring of rendered changes
 *                                                                        ^        ^
 *                                                              one stream's place, another's
 *
 * While nobody listens nothing is read.  While one read is under way the next one gathers, so a
 * storm costs as many reads as there is time for.  A change that is followed by a newer one of the
 * same task before a listener got there is passed over: what counts is how the task is now.
 */
#ifndef GATEWAY_CHANGES_H
#define GATEWAY_CHANGES_H

#include "core/base/list.h"
#include "core/kv/feed.h"
#include "gateway/gateway.h"

/* So far behind a listener has to begin anew. */
#define CHANGES_MAX       4096
#define CHANGES_BYTES_MAX (16 * 1024 * 1024)

/* How a task is since; or, with n 0, that it is no more. */
struct change {
    struct feed_id id;
    struct uuid task_id, owner_id;
    char *text; /* JSON, on one line */
    size_t n;
    bool is_over; /* a newer one of this task is there */
};

struct listener {
    struct list link;
    uint64_t next; /* the place of the change it wants next */
    bool is_lost;  /* changes were missed: begin anew */
    void (*wake)(struct listener *l);
};

struct changes;

struct changes *changes_new(struct gateway *gw);
void changes_free(struct changes *c);

/* From the feed. */
void changes_heard(struct changes *c, struct feed_id id, const struct uuid *ids, size_t n);
void changes_lost(struct changes *c);

/* Listen from now on.  What is read from the database afterwards is not older than what will be
 * heard. */
void changes_join(struct changes *c, struct listener *l);
void changes_leave(struct changes *c, struct listener *l);
/* Go on from what is now, whatever was missed. */
void changes_catch_up(struct changes *c, struct listener *l);
/* The next one; NULL: none yet, or l->is_lost.  Borrowed until the next turn of the loop. */
const struct change *changes_next(struct changes *c, struct listener *l);
/* Is the one after it of the same entry of the feed?  Then its id may not be said yet. */
bool changes_goes_on(const struct changes *c, const struct listener *l, struct feed_id id);

#endif
