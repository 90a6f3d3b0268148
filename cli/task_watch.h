/* SPDX-License-Identifier: Apache-2.0 */
/* task_watch.h - follow a task until it rests; used by watch, create, send and resume. */
#ifndef CLI_TASK_WATCH_H
#define CLI_TASK_WATCH_H

#include "cli/command.h"
#include "cli/task.h"

/*
 * Show every change of status on stderr and, unless `quiet`, every line of output on stdout, until
 * the task rests; sets the exit status that says how.  `stale` is the time of a report from before
 * (of what was just answered by a message): it does not count as rest; "" for none.
 * Takes the task; gives back its last reading, NULL when it was deleted meanwhile.
 */
enum err must_check task_watch_until_rest(
    struct cli *cli, json_t *take_task, const char *stale, bool quiet, json_t **ret_task);

/* --watch and --wait of a command that has just set `task` going: follow it and print how it ends,
 * or do nothing when neither was given.  Takes the task. */
enum err must_check task_watch_if_asked(struct cli *cli, const struct call *call, json_t *take_task,
    const char *stale, json_t **ret_task);

#endif
