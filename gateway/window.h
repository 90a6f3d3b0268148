/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.h - how often within the last minute?  Two counters, not a list of times:
 *
 *        minute before        this minute
 *     |------ previous ------|-- now --.......|
 *              [------ the last 60 s --]
 *
 * The estimate is what this minute has had, and of the minute before as large a part as the last 60
 * seconds still reach into it.
 *
 * The count of this minute is shared: `total` is what all gateways together had when they last told
 * each other, own requests that had been told among it; `sent` is being told, `own` has yet to be.
 * Pure: the time is an argument.
 */
#ifndef GATEWAY_WINDOW_H
#define GATEWAY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_MS 60000

struct window {
    int64_t minute; /* since 1970 */
    uint32_t previous, total, sent, own;
    bool is_shared; /* in this minute */
};

/* To be called before any other with a new time. */
void window_turn(struct window *w, int64_t wall_ms);
/* The estimate, rounded. */
uint32_t window_rate(const struct window *w, int64_t wall_ms);
void window_count(struct window *w);

/* `own` is on its way now: returns how many. */
uint32_t window_send(struct window *w);
/* All gateways together, after ours had been added. */
void window_sent(struct window *w, uint32_t total);
/* It did not get through: to be sent again. */
void window_send_failed(struct window *w);
/* What others had in the minute before. */
void window_learn_previous(struct window *w, uint32_t previous);

#endif
