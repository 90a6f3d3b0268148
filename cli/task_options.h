/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_options.h - what a task can be told beyond Coder's: priority, labels, parameters, when it
 * may start, how long it may run.
 */
#ifndef CLI_TASK_OPTIONS_H
#define CLI_TASK_OPTIONS_H

#include <jansson.h>

#include "cli/command.h"

/* The flags' rows, for the table of a command. */
#define TASK_OPTION_FLAGS                                                                    \
    FLAG(0, "preset", "NAME", "Values of parameters, as the template's preset has them."),   \
        FLAG(0, "parameter", "NAME=VALUE", "A parameter of the template; may be repeated."), \
        FLAG(0, "label", "NAME=VALUE", "A label, to find it again by; may be repeated."),    \
        FLAG(0, "priority", "N", "-100 to 100; who has more waits less. 0 when left out."),  \
        FLAG(0, "start-after", "TIME",                                                       \
            "Not before: a time like 2026-11-20T16:00:00Z, or from now on, like 2h."),       \
        FLAG(0, "time-limit", "TIME", "So long after a start it is paused, like 90m."),      \
        FLAG(0, "idle-timeout", "TIME", "So long at rest and it is paused, like 30m; 0: never.")

/* Was one of them given?  Then Stint's own route is wanted. */
bool task_options_given(const struct call *call);
/* Set members of `body`.  ERR_USAGE names what is wrong. */
enum err must_check task_options_read(struct cli *cli, const struct call *call, json_t *body);

#endif
