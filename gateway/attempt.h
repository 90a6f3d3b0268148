/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.h - passwords cannot be guessed by trying many.
 *
 * Tries are counted per account from one address, per account, and per address; a good password
 * takes back what its own account had.  After login_failures_max of them each further try has to
 * wait, twice as long as the one before, up to a quarter of an hour.  Accounts that do not exist
 * are counted like those that do, so nothing can be told by it.
 */
#ifndef GATEWAY_ATTEMPT_H
#define GATEWAY_ATTEMPT_H

#include "gateway/request.h"

struct attempts;

struct attempts *attempts_new(void);
void attempts_free(struct attempts *a);

/* Counts a try and goes on, or answers 429.  `account` outlives the request's handler. */
void attempt_begin(struct request *r, const char *account, request_fn then);
void attempt_succeeded(struct request *r, const char *account);

#endif
