/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.h - outcomes on their way to the scheduler: all of a turn in one request, sent again
 * until it is acknowledged.
 */
#ifndef WORKER_RESULTS_H
#define WORKER_RESULTS_H

#include "core/bus/bus.h"
#include "core/loop/loop.h"
#include "worker/slots.h"

struct results;

/* All are borrowed. */
struct results *results_new(struct loop *l, struct bus_client *scheduler, struct slots *slots,
    const struct uuid *worker_id, const char *host);
void results_free(struct results *r);

/* At the end of a turn: send the DONE jobs that are not in flight. */
void results_flush(struct results *r);

#endif
