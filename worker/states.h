/* SPDX-License-Identifier: Apache-2.0 */
/*
 * states.h - Terraform's state to and from the scheduler, for actions on pool threads.
 *
 * An action blocks until the scheduler has answered; the loop asks.  A scheduler that is away is
 * asked again for as long as the job is ours.
 */
#ifndef WORKER_STATES_H
#define WORKER_STATES_H

#include "core/bus/bus.h"
#include "core/loop/loop.h"
#include "worker/provisioner/provisioner.h"

struct states;

/* All are borrowed, and outlive every action. */
struct states *states_new(
    struct loop *l, struct bus_client *scheduler, const struct uuid *worker_id);
void states_free(struct states *s);
/* For struct job_io; good as long as `s`. */
const struct job_states *states_of_jobs(const struct states *s);

#endif
