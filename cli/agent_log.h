/* SPDX-License-Identifier: Apache-2.0 */
/* agent_log.h - what scripts and apps of a task's workspace have written, for `task logs --agent`.
 */
#ifndef CLI_AGENT_LOG_H
#define CLI_AGENT_LOG_H

#include <jansson.h>

#include "cli/command.h"

/* Prints the lines of the task's newest agent; with `follows` stays until nothing more can come.
 * Refreshes *task. */
enum err must_check agent_log_show(struct cli *cli, json_t **task, bool follows, bool as_json);

#endif
