/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the eleven rules, looked at where they could be broken.
 *
 *    1  check_reply: what is said is committed        7  check_prompt, check_heard
 *    2  worlds with crashes settle                    8  check_status, check_watermark, _told_
 *    3  check_job: tokens, states                     9  worlds with Redis failing settle
 *    4  check_stale_epoch                            10  worlds with workers dying settle
 *    5  check_after_commit, check_sandbox            11  worlds with clocks jumping settle
 *    6  check_at_the_end: one sandbox where one should be, none elsewhere
 *
 * Liveness goes by rule 0.
 */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "core/wire/wire.h"
#include "tests/sim/world.h"

struct pg_job;
struct pg_build;
struct pg_agent;
struct place;
struct record;

struct checks *checks_new(void);
void checks_free(struct checks *c);
/* The world's cap. */
int64_t check_cap(void);

/* ---- Postgres ---- */
void check_unique(bool is_unique, const char *table);
void check_build(const struct pg_build *b);
void check_job_new(const struct pg_job *j);
void check_job(const struct pg_job *was, const struct pg_job *now);
void check_stale_epoch(uint64_t epoch);
void check_status(const struct pg_agent *a, int64_t seq, const char *state, const char *message);
void check_watermark(const struct pg_agent *a);
void check_after_commit(void);

/* ---- what is said ---- */
void check_reply(
    const struct proc *p, Stint__V1__Envelope__BodyCase asked, const Stint__V1__Envelope *e);
void check_told_watermark(const struct record *r, uint64_t watermark);

/* ---- workspaces ---- */
void check_sandbox(const struct place *place);
void check_prompt(const struct place *place, bool had);
void check_heard(struct place *place, const struct uuid *message_id);
/* Somebody was told that it never will be heard. */
void check_withdrawn(const struct uuid *message_id);

/* ---- the end ---- */
/* Everything that people wanted has come to its end. */
bool check_is_settled(void);
/* What has not. */
const char *check_unsettled(void);
void check_at_the_end(void);

#endif
