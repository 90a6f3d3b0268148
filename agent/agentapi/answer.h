/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - what the agent has said, told from two screens: before a message and now.
 *
 *   before            now
 *   Welcome           Welcome
 *   ─────────         ❯ hello             the echo of the message: left out
 *   ❯                                     blank at an end: left out
 *   ─────────         ● Hi there!         the answer
 *   ? for help        ─────────           the input box and below: left out
 *                     ❯
 */
#ifndef AGENT_AGENTAPI_ANSWER_H
#define AGENT_AGENTAPI_ANSWER_H

#include "agent/agentapi/agent_type.h"
#include "core/base/strbuf.h"

/* Append the answer to `out`.  `before` NULL: all of the screen is new; `said` NULL: nobody has
 * said anything. */
void answer_tell(enum agent_type type, const struct strbuf *before, const struct strbuf *now,
    const char *said, struct strbuf *out);

#endif
