/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - a conversation in a file, for the next start.
 *
 *   {"version": 1, "messages": [{"id": 0, "message": "…", "role": "agent"|"user", "time": "…"}, …],
 *    "initial_prompt": "…", "initial_prompt_sent": true}
 *
 * The file is replaced in one step and is on disk before the save returns.  What cannot be read is
 * somebody's conversation all the same: it is moved aside, never overwritten.
 */
#ifndef AGENT_AGENTAPI_STATE_H
#define AGENT_AGENTAPI_STATE_H

#include "agent/agentapi/tracker.h"

#define STATE_BYTES_MAX (64 * 1024 * 1024)

struct state {
    struct tracker_message *messages; /* n of them */
    size_t n;
    char *prompt; /* never NULL */
    bool prompt_sent;
};
void state_done(struct state *s);

/* ERR_NOT_FOUND: there is none.  ERR_INVALID: cut short, of another version, or no state at all;
 * it lies beside under the name that ctx tells.  ERR_IO: it cannot be read, nor moved. */
enum err must_check state_load(const char *path, struct state *ret_state, struct errctx *ctx);

/* From JSON; for state_load(). */
enum err must_check state_parse(
    const char *text, size_t n, struct state *ret_state, struct errctx *ctx);

/* Makes the directory (0700) when there is none; the file is 0600. */
enum err must_check state_save(const char *path, const struct tracker *t, struct errctx *ctx);

#endif
