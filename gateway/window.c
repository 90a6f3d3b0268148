/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - the sliding estimate, and sharing it. */
#include "gateway/window.h"

static uint32_t current(const struct window *w)
{
    return w->total + w->sent + w->own;
}

void window_turn(struct window *w, int64_t wall_ms)
{
    int64_t minute = wall_ms / WINDOW_MS;
    if (minute == w->minute)
        return;
    uint32_t previous = minute == w->minute + 1 ? current(w) : 0;
    *w = (struct window){.minute = minute, .previous = previous};
}

uint32_t window_rate(const struct window *w, int64_t wall_ms)
{
    int64_t left = WINDOW_MS - wall_ms % WINDOW_MS;
    int64_t before = ((int64_t)w->previous * left + WINDOW_MS / 2) / WINDOW_MS;
    return current(w) + (uint32_t)before;
}

void window_count(struct window *w)
{
    w->own++;
}

uint32_t window_send(struct window *w)
{
    w->sent = w->own;
    w->own = 0;
    w->is_shared = true;
    return w->sent;
}

/* A store that has forgotten everything says too little: what was known before is kept. */
void window_sent(struct window *w, uint32_t total)
{
    uint32_t known = w->total + w->sent;
    w->total = total > known ? total : known;
    w->sent = 0;
}

void window_send_failed(struct window *w)
{
    w->own += w->sent;
    w->sent = 0;
    w->is_shared = false;
}

void window_learn_previous(struct window *w, uint32_t previous)
{
    if (previous > w->previous)
        w->previous = previous;
}
