/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - between the event streams: of all tasks (events.c), of one (task_events.c).
 */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include "core/kv/feed.h"
#include "gateway/stream.h"

/* False: the request is for something else than an event stream, and has been answered. */
bool events_check(struct request *r);
/* `event: reset`, `{}`: forget what you know. */
void events_put_reset(struct request *r);
/* `event: deleted`, `{"id": …}`; `id` NULL: none of the stream's own. */
void events_put_deleted(struct request *r, const char *id, const struct uuid *task_id);

#endif
