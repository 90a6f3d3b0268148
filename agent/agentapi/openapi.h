/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.h - the API's description of itself. */
#ifndef AGENT_AGENTAPI_OPENAPI_H
#define AGENT_AGENTAPI_OPENAPI_H

/* OpenAPI 3.0 as indented JSON; freed by the caller. */
char *openapi_text(void);

#endif
