/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - messages that wait, as readers see them.
 */
#ifndef GATEWAY_MESSAGE_H
#define GATEWAY_MESSAGE_H

#include "core/base/strbuf.h"
#include "core/db/db.h"

/* Of each message of a list; a message asked for by its id is shown whole. */
#define QUEUED_CONTENT_MAX 16384

/* Row i of queued_message_get or queued_message_list. */
void queued_message_write(const struct db_result *m, size_t i, struct strbuf *out);
/* Does it still wait? */
bool queued_message_waits(const struct db_result *m, size_t i);

#endif
