/* SPDX-License-Identifier: Apache-2.0 */
/*
 * organization.h - the one organization there is, as the paths name it.
 */
#ifndef GATEWAY_ORGANIZATION_H
#define GATEWAY_ORGANIZATION_H

#include "gateway/request.h"

/* Does this name or id mean ours? */
bool organization_is(const struct gateway *gw, const char *word);
/* The {organization} of the path (word 0).  False: answered. */
bool organization_check(struct request *r);
/* Reads it; calls `done` when it is known.  For the start and after a reconnect. */
void organization_load(struct gateway *gw, void (*done)(struct gateway *gw));
void organization_write(const struct organization *o, struct strbuf *out);

#endif
