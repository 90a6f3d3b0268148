/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_events.h - how far a reader of one task's events has come.
 */
#ifndef GATEWAY_TASK_EVENTS_H
#define GATEWAY_TASK_EVENTS_H

#include "core/base/uuid.h"
#include "core/kv/feed.h"

struct task_cursor {
    struct feed_id feed;
    int64_t message;   /* the last one of the conversation; -1: none yet */
    char said[17];     /* the hash of what was said of it */
    struct uuid job;   /* of the build whose log was read; nil: none yet */
    int64_t job_line;  /* the last one */
    struct uuid agent; /* likewise */
    int64_t agent_line;
};

#define TASK_EVENT_ID_SIZE 256

void task_cursor_write(const struct task_cursor *c, char ret_text[static TASK_EVENT_ID_SIZE]);
/* False: no such text was written; *ret is the beginning of everything. */
bool task_cursor_read(const char *text, struct task_cursor *ret);

#endif
