/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scripts.h - the template's scripts: at the start, by the clock, at the stop.
 *
 *   start   those that block run one after the other in the manifest's order, each when the one
 *           before has ended, whatever it came to; the others run beside from the beginning.  The
 *           first blocking one that fails decides what the start came to.
 *   cron    from the end of the start to the stop; a run is left out while the last one still goes.
 *   stop    one after the other, in order, within the time that is given.
 *
 * A script that runs into its timeout gets TERM, and KILL two seconds later (process.h): one that
 * ignores TERM holds up nothing for longer than that.
 *
 * All calls on the loop's thread.
 */
#ifndef AGENT_SCRIPTS_H
#define AGENT_SCRIPTS_H

#include "agent/agent_log.h"
#include "agent/child.h"
#include "agent/manifest.h"
#include "core/loop/loop.h"

struct scripts;

enum scripts_outcome { SCRIPTS_OK, SCRIPTS_ERROR, SCRIPTS_TIMEOUT };
typedef void (*scripts_done_fn)(void *arg, enum scripts_outcome outcome);

struct scripts_conf {
    struct loop *loop;
    struct children *children;
    struct agent_log *log;
    const struct manifest *manifest;
    char *const *env;
    /* Seconds since 1970, for cron; NULL: the wall clock. */
    int64_t (*now)(void);
    /* It may be set meanwhile: it is looked at this often.  0: 30,000; tests are impatient. */
    int64_t look_ms;
};

/* `conf` is copied, what it points to borrowed. */
struct scripts *scripts_new(const struct scripts_conf *conf);
/* Scripts that run go on without it. */
void scripts_free(struct scripts *s);

/* done(arg, …) follows when those that block have ended, never from inside this call. */
void scripts_start(struct scripts *s, scripts_done_fn done, void *arg);
void scripts_begin_cron(struct scripts *s);

/* Ends cron and the waiting for the start (its done() is not called any more; what runs goes on
 * until children_end()), and runs the stop scripts.  done(arg, …) follows, never from inside this
 * call and not much later than `budget_ms`. */
void scripts_stop(struct scripts *s, int64_t budget_ms, scripts_done_fn done, void *arg);

#endif
