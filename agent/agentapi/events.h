/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - what happens, told to everybody who listens (server-sent events).
 *
 * Who comes is told first how things stand: every message, the status, the last troubles.
 */
#ifndef AGENT_AGENTAPI_EVENTS_H
#define AGENT_AGENTAPI_EVENTS_H

#include "agent/agentapi/http_server.h"
#include "agent/agentapi/tracker.h"

#define EVENTS_ERRORS_MAX 100 /* that are told again */

struct events;

/* Texts for JSON: "running", "agent", … */
const char *events_status_text(enum tracker_status status);
const char *events_role_text(enum tracker_role role);

struct events *events_new(enum agent_type type);
void events_free(struct events *e);

/* Answers the exchange with the stream of messages and status. */
void events_subscribe(struct events *e, struct exchange *x, const struct tracker *t);
/* Answers it with the stream of screens. */
void events_subscribe_screen(struct events *e, struct exchange *x, const struct strbuf *screen);

void events_message(struct events *e, const struct tracker_message *m);
void events_status(struct events *e, enum tracker_status status);
void events_screen(struct events *e, const struct strbuf *screen);
void events_error(struct events *e, bool is_warning, const char *message, int64_t time_us);

#endif
