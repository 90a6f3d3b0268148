/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people.h - those who ask: one for each task, with a mind of their own.
 *
 *   create ──> some of pause, resume, input, message, cancel, update … ──> delete, or leave it
 *
 * A wish is asked for through some gateway, with the same ids until it is answered; what was
 * acknowledged must be true for ever.
 */
#ifndef TESTS_SIM_PEOPLE_H
#define TESTS_SIM_PEOPLE_H

#include "tests/sim/world.h"

struct people *people_new(void);
void people_free(struct people *p);
bool people_are_done(void);
/* What was acknowledged is there. */
void people_check(void);

#endif
