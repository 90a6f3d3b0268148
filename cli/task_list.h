/* SPDX-License-Identifier: Apache-2.0 */
/* task_list.h - the list of tasks, once or as it changes. */
#ifndef CLI_TASK_LIST_H
#define CLI_TASK_LIST_H

#include "cli/command.h"
#include "cli/table.h"

/* Whose and which; NULL: all. */
struct list_wanted {
    const char *user; /* "me", a name or an id */
    const char *status;
};

/* {"tasks": […]}, newest first. */
enum err must_check task_list_fetch(
    struct cli *cli, const struct list_wanted *wanted, json_t **ret_list);
/* Show what changes, until Ctrl-C. */
enum err must_check task_list_watch(struct cli *cli, const struct call *call,
    const struct list_wanted *wanted, const struct column *columns);

#endif
