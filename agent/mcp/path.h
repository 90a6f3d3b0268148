/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - words made fit for a URL. */
#ifndef AGENT_MCP_PATH_H
#define AGENT_MCP_PATH_H

#include "core/base/strbuf.h"

/* Append `text`, everything percent-encoded but letters, digits and "-._~". */
void path_add(struct strbuf *path, const char *text);

#endif
