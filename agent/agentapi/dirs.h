/* SPDX-License-Identifier: Apache-2.0 */
/* dirs.h - directories that come and go with the server. */
#ifndef AGENT_AGENTAPI_DIRS_H
#define AGENT_AGENTAPI_DIRS_H

/* The directories above `path`, those that are missing with mode 0700. */
void dirs_make_parents(const char *path);

/* A directory and what is in it; links are removed, not followed. */
void dirs_remove(const char *path);

#endif
