/* SPDX-License-Identifier: Apache-2.0 */
/* task_watch.h - follow a task until it rests; used by watch, create, send and resume. */
#ifndef CLI_TASK_WATCH_H
#define CLI_TASK_WATCH_H

#include "cli/command.h"
#include "cli/task.h"

/* What to leave out.  All zero: nothing. */
struct watch_from {
    const char *stale;            /* time of a report that is no rest: it was there before */
    const struct task_log *after; /* only output after what this one has seen */
    bool no_input;                /* what was put in is known to the reader */
    bool no_output;
};

/*
 * Show every change of status on stderr and the output on stdout, until the task rests; sets the
 * exit status that says how.  Takes the task; gives back its last reading, NULL when it was deleted
 * meanwhile.
 */
enum err must_check task_watch_until_rest(
    struct cli *cli, json_t *take_task, const struct watch_from *from, json_t **ret_task);

/* --watch and --wait of a command that has just set `task` going: follow it and print how it ends,
 * or do nothing when neither was given.  Takes the task. */
enum err must_check task_watch_if_asked(struct cli *cli, const struct call *call, json_t *take_task,
    struct watch_from from, json_t **ret_task);

#endif
