/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_client.h - one line to the agent's control socket (agent/control.h), one line back.
 */
#ifndef AGENT_MCP_CONTROL_CLIENT_H
#define AGENT_MCP_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/loop/loop.h"

struct control_call;

/*
 * ERR_OK: the agent has taken it.  Else `text` is a sentence, and `was_answered` tells the agent's
 * own refusal from not having reached it.  The call is gone when this runs.
 */
typedef void (*control_done_fn)(void *arg, enum err e, const char *text, bool was_answered);

/* `line` is copied, and given a line end.  done() follows once, never from inside. */
struct control_call *control_call_start(struct loop *l, const char *path, const char *line,
    int64_t timeout_ms, control_done_fn done, void *arg);
/* No done() any more. */
void control_call_cancel(struct control_call *c);

#endif
