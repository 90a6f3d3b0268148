/* SPDX-License-Identifier: Apache-2.0 */
/* page.h - a plain page to read the conversation on and to write a message. */
#ifndef AGENT_AGENTAPI_PAGE_H
#define AGENT_AGENTAPI_PAGE_H

/* Only the page's own script and style, which stand in it. */
#define PAGE_POLICY                                                                  \
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src " \
    "'unsafe-inline'; base-uri 'none'; form-action 'none'"

extern const char page_text[];

#endif
