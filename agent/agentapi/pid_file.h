/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pid_file.h - "<pid>\n", mode 0600: who serves here.
 */
#ifndef AGENT_AGENTAPI_PID_FILE_H
#define AGENT_AGENTAPI_PID_FILE_H

#include "core/base/err.h"

/* ERR_CONFLICT while the process that wrote it is alive.  A process that began only after the file
 * was written has its number by chance. */
enum err must_check pid_file_take(const char *path, struct errctx *ctx);

/* Remove it when it is ours. */
void pid_file_drop(const char *path);

#endif
