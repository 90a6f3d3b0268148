/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_follow.h - a task's life as it goes on: out of the gateway's event stream, or, where there
 * is none (a Coder), by looking again and again.
 */
#ifndef CLI_TASK_FOLLOW_H
#define CLI_TASK_FOLLOW_H

#include "cli/progress.h"
#include "cli/task.h"

/* An error or *ret_done ends the following. */
typedef enum err (*follow_fn)(void *arg, const json_t *value, bool *ret_done);

/* Who wants to know what; each may be NULL. */
struct task_follower {
    /* The task as it is now, once and after each change; the output before that has been told. */
    follow_fn on_task;
    /* An array of messages of the conversation that are news to `log`; needs `log`. */
    follow_fn on_output;
    /* A line of the workspace's scripts and apps, or of its builds ("source" says which); a message
     * that waited, and what has become of it.  Only from a stream. */
    follow_fn on_log, on_queued;
    /* The task, only without a stream, at each look, before on_task: ask for what no stream tells.
     */
    follow_fn on_look;
    /* A sign of life: four times a second from a stream, else at each look.  False: enough. */
    bool (*on_tick)(void *arg);
    void *arg;
    struct task_log *log;
    struct progress *progress; /* cleared before anything else is written; may be NULL */
};

/* ERR_OK: a follower has ended it; *task is the last reading.  ERR_NOT_FOUND: it was deleted, and
 * *task is what was last known of it. */
enum err must_check task_follow(
    struct cli *cli, json_t **task, const struct task_follower *follower);

#endif
