/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway.h - what a gateway does for a request: it asks the scheduler, and tells the answer.
 *
 * A gateway that dies takes its requests with it: whoever asked hears nothing.
 */
#ifndef TESTS_SIM_GATEWAY_H
#define TESTS_SIM_GATEWAY_H

#include "core/wire/wire.h"
#include "tests/sim/world.h"

/* The question, made in the gateway; borrowed during the call of fill(). */
typedef void (*gateway_fill_fn)(void *arg, Stint__V1__Envelope *e);
/* `reply` is NULL when none came. */
typedef void (*gateway_reply_fn)(void *arg, uint64_t number, const Stint__V1__Envelope *reply);

/* Through this one, if it lives. */
void gateway_ask(
    struct proc *gateway, uint64_t number, gateway_fill_fn fill, gateway_reply_fn reply, void *arg);

#endif
