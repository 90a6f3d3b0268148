/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.h - "here I am, this is what I run, this is what I have room for", again and again.
 *
 * One poll is always out.  The scheduler holds it for up to a second, so it can grow old: when what
 * it says would keep work away from us (no room, though now there is) or keeps back news (an agent
 * has left, we drain), a second one is sent at once, and the scheduler answers the first.
 */
#ifndef WORKER_POLL_H
#define WORKER_POLL_H

#include "core/bus/bus.h"
#include "core/loop/loop.h"
#include "worker/hands.h"
#include "worker/sessions.h"

struct poll_identity {
    struct uuid worker_id;
    const char *name;
    const char *host;
    const char *agent_url; /* "": none */
};

struct poll;

/* Borrows all.  `on_first` is called when the scheduler has answered for the first time. */
struct poll *poll_new(struct loop *l, struct bus_client *scheduler, const struct poll_identity *id,
    struct hands *hands, struct sessions *sessions, void (*on_first)(void *arg), void *arg);
void poll_free(struct poll *p);

/* At the end of a turn: send one if one is due. */
void poll_refresh(struct poll *p);
/* The scheduler does not answer at present. */
bool poll_is_away(const struct poll *p);
/* The scheduler knows that we drain. */
bool poll_has_told_drain(const struct poll *p);

#endif
