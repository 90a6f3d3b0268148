/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apps.h - the processes of the template's apps: started, and started again when they crash.
 *
 *            apps_start            it ends, and `restart` wants it
 *   (none) -------------> RUNNING ---------------------------------> WAITING
 *                            ^                                          |
 *                            +---- 1 s, 2 s, 4 s … 60 s later ----------+
 *
 * The waiting begins at 1 s again after an app has run for a minute.  One that cannot be started at
 * all counts as one that has crashed: what it needs may be on its way.  It is never given up: an
 * app that crashes for ever costs one start a minute, and a line of log each.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_APPS_H
#define AGENT_APPS_H

#include "agent/agent_log.h"
#include "agent/child.h"
#include "agent/manifest.h"
#include "core/loop/loop.h"

struct apps;

struct apps_conf {
    struct loop *loop;
    struct children *children;
    struct agent_log *log;
    const struct manifest *manifest;
    const char *control_path; /* of the agent's socket, for their environment */
    const char *prompt_file;  /* NULL: the apps are not told the prompt */
    /* The process of an app has started; has ended, and whether it is started again. */
    void (*on_started)(void *arg, const struct manifest_app *app);
    void (*on_ended)(
        void *arg, const struct manifest_app *app, int wait_status, bool is_started_again);
    void *arg;
    int64_t delay_ms; /* the first waiting; 0: 1,000.  Tests are impatient. */
};

/* `conf` is copied, what it points to borrowed. */
struct apps *apps_new(const struct apps_conf *conf);
/* Apps that run go on without it. */
void apps_free(struct apps *a);

/* Those that have a command. */
void apps_start(struct apps *a);
/* None is started again any more.  Whoever calls this ends them (children_end()). */
void apps_stop(struct apps *a);

#endif
