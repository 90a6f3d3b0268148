/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - where do waiting tasks stand?  The scheduler knows; its answers are good for half a
 * second, and one question to it is open at a time: what is asked meanwhile goes with the next.
 */
#ifndef GATEWAY_QUEUE_H
#define GATEWAY_QUEUE_H

#include "gateway/gateway.h"

struct queue;

struct queue_place {
    uint32_t position; /* 0: does not wait in the queue, or cannot be told */
    uint32_t size;
    uint64_t eta_ms;
    uint64_t starts_in_ms; /* waits outside the queue for its earliest start; 0: does not */
};

struct queue *queue_new(struct gateway *gw);
void queue_free(struct queue *q);

/* Calls done(arg), perhaps at once, when queue_place() is as good as it gets for all of these. */
void queue_ask(struct queue *q, const struct uuid *ids, size_t n, loop_fn done, void *arg);
struct queue_place queue_place(const struct queue *q, const struct uuid *id);

#endif
