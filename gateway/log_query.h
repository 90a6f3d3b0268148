/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_query.h - what every log of lines is asked by: ?after=, ?before=, ?format=json|text.
 */
#ifndef GATEWAY_LOG_QUERY_H
#define GATEWAY_LOG_QUERY_H

#include "gateway/request.h"

struct log_query {
    int64_t after, before; /* ids; -1 and INT64_MAX: no bound */
    bool text;
    bool follow; /* go on, as a stream */
};

/* Lines that a stream asks for at a time. */
#define LOG_PAGE_LINES 256
/* Even when nothing has woken it: while Redis is away nobody tells of changes. */
#define LOG_FOLLOW_MS 2000

/* False: a 400 in Coder's words has been answered. */
bool log_query_read(struct request *r, struct log_query *ret_query);
/* A stream's last word: an event "done" where there are events, and then its end. */
void log_follow_end(struct request *r);
/* A line of the text form: "2026-11-20T16:01:02.5Z [info] [agent.main|start] cloning". */
void log_query_add_text(struct strbuf *out, int64_t at, const char *level, const char *who,
    const char *source, const char *output);
void log_query_answer_text(struct request *r);

#endif
