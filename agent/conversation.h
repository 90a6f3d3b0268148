/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.h - what AgentAPI says, taken apart.  Pure.
 *
 *   GET /status    {"status": "running" | "stable", ...}
 *   GET /messages  {"messages": [{"id": 0, "role": "agent" | "user", "content": "…",
 *                                 "time": "…"}]}
 *   events         status_change  {"status": …}
 *                  message_update {"id": 0, "role": …, "message": "…", "time": "…"}
 *                  agent_error    {"message": "…", "level": "error" | "warning", "time": "…"}
 *   a refusal      {"title", "status", "detail", "errors": [{"message"}]}
 *
 * Ids are positions: the first message has 0, and none is left out.
 */
#ifndef AGENT_CONVERSATION_H
#define AGENT_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONVERSATION_MESSAGES_MAX 16384

struct conversation_message {
    uint64_t id;
    bool is_user;
    const char *content; /* n bytes and a NUL; there may be NULs within */
    size_t n;
    const char *time; /* "" when it has none */
};

struct conversation {
    struct conversation_message *v;
    size_t n;
    void *root; /* what the messages borrow from */
};

/* False, and nothing to be freed: that is not what AgentAPI says. */
bool conversation_parse(const char *json, size_t n, struct conversation *ret);
/* One message_update. */
bool conversation_parse_update(const char *json, size_t n, struct conversation *ret);
void conversation_done(struct conversation *c);

bool conversation_parse_status(const char *json, size_t n, bool *ret_is_running);

/* The most telling text of an agent_error or a refusal, on one line, at most 159 bytes; "" if there
 * is none. */
void conversation_explain(const char *json, size_t n, char ret_text[static 160]);

#endif
