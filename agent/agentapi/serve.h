/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.h - one server's life: a command on a terminal, its conversation over HTTP.
 *
 *   pid file, listen, command ── snapshots every 25 ms ──> signal: save, stop HTTP (5 s), end the
 *                                                          command (5 s)
 *                                                      └─> the command ends: save, stop HTTP
 */
#ifndef AGENT_AGENTAPI_SERVE_H
#define AGENT_AGENTAPI_SERVE_H

#include "agent/agentapi/flags.h"

/* ERR_OK: a signal came, or the command ended with 0.  ERR_FAILED: it ended otherwise. */
enum err must_check agentapi_serve(const struct flags *f, struct errctx *ctx);

#endif
