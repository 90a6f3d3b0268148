/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts.h - who may ask: lists of host names and of origins.
 *
 * A list is separated by commas or blanks; "*" alone means everybody.
 */
#ifndef AGENT_AGENTAPI_HOSTS_H
#define AGENT_AGENTAPI_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"

/* A list with ", " between its words, appended to `out`. */
enum err must_check hosts_parse(const char *list, struct strbuf *out, struct errctx *ctx);
enum err must_check origins_parse(const char *list, struct strbuf *out, struct errctx *ctx);

/* `header`: the value of Host, with or without a port; NULL: none was sent. */
bool hosts_allow(const char *list, const char *header);
bool origins_allow(const char *list, const char *origin);

#endif
