/* SPDX-License-Identifier: Apache-2.0 */
/*
 * via.h - the two ways by which a create reaches the scheduler: over the bus, as a gateway does it,
 * and over the gateway's REST, as everybody else does.
 */
#ifndef TESTS_BENCH_VIA_H
#define TESTS_BENCH_VIA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/uuid.h"
#include "core/loop/loop.h"

/* What is created; the same for all creates of a run. */
struct what {
    struct uuid organization_id, owner_id, template_id, version_id, file_id;
    const char *owner_name, *template_name, *app_slug, *prompt;
};

struct create {
    struct uuid task_id; /* chosen by the bus's way, told by the gateway */
    int64_t due_us;      /* monotonic: when it should have been sent */
    int64_t replied_us;  /* 0: not yet */
};

struct via {
    bool (*is_ready)(const struct via *v);
    void (*send)(struct via *v, struct create *c);
    void (*free)(struct via *v);
    /* Set by the user: called once for each create sent, never from inside send(). */
    void (*done)(void *arg, struct create *c, bool ok, const char *why);
    void *arg;
};

/* `url`: bus URLs. */
struct via *via_bus(struct loop *l, const char *url, const struct what *what);
/* `url`: http://127.0.0.1:port; `connections` kept alive; the token is the environment's
 * STINT_TOKEN. A create waits here while all connections are taken. */
struct via *via_http(
    struct loop *l, const char *url, unsigned connections, const struct what *what);

#endif
