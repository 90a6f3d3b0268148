/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - messages that wait until a task's app can take them, as the gateway tells them.
 *
 * Like a task, a message is its JSON: {id, content, state, detail, position, …}.  States: queued,
 * delivered, withdrawn, refused.
 */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/table.h"

extern const struct column message_columns[];

/* Queue it; sent again under the same id when no answer came, so that it is queued once. */
enum err must_check message_queue(
    struct cli *cli, const json_t *task, const char *content, json_t **ret_message);
/* Those that wait, first to last, then the newest others. */
enum err must_check message_list(struct cli *cli, const json_t *task, json_t **ret_messages);
enum err must_check message_refresh(
    struct cli *cli, const json_t *task, const json_t *message, json_t **ret_message);
/* Take it back: `id` is an id, or the beginning of that of one message that waits. */
enum err must_check message_withdraw(struct cli *cli, const json_t *task, const char *id);

bool message_waits(const json_t *message);
json_int_t message_place(const json_t *message);

#endif
