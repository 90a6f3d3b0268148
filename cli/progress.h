/* SPDX-License-Identifier: Apache-2.0 */
/*
 * progress.h - a sign of life on stderr for whatever takes longer than a second.
 *
 * At a terminal one line that is redrawn; elsewhere a line for each change, and nothing at all for
 * what is over within the first second.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"

struct progress {
    struct cli *cli;
    int64_t begin_mono_ms;
    unsigned tick;
    bool drawn;
    char last[160];
};

void progress_begin(struct progress *p, struct cli *cli);
/* Say what is going on; call it at every turn of the waiting. */
void progress_step(struct progress *p, const char *fmt, ...) printf_like(2, 3);
/* Take the line away, so that others may write.  Harmless when repeated. */
void progress_clear(struct progress *p);
int64_t progress_elapsed_ms(const struct progress *p);

/* How long to wait between two looks: 250 ms after a change, longer up to a second while nothing
 * moves. */
struct pace {
    int64_t wait_ms;
};

void pace_changed(struct pace *p);
void pace_wait(struct pace *p, struct cli *cli);

#endif
