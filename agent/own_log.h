/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_log.h - the agent's own log, the workspace's sandbox.log, stays bounded however long it runs.
 *
 * It is looked at once a minute; beyond OWN_LOG_BYTES_MAX it begins anew.  A standard error that is
 * no file opened for appending is left alone.
 */
#ifndef AGENT_OWN_LOG_H
#define AGENT_OWN_LOG_H

#include "core/loop/loop.h"

#define OWN_LOG_BYTES_MAX (4 * 1024 * 1024)

struct own_log;

struct own_log *own_log_new(struct loop *l);
void own_log_free(struct own_log *o);

/* The look itself, at the file behind `fd`. */
void own_log_look(int fd);

#endif
