/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cron.h - when a script is due: five fields, as crontab(5) has them.
 *
 *   minute 0-59   hour 0-23   day of month 1-31   month 1-12 or jan-dec   weekday 0-7 or sun-sat
 *
 * Each is "*" or a list of numbers and ranges ("1,5-8"), each with an optional step ("0-30/10",
 * every tenth; "5/15", from 5 on).  Weekday 0 and 7 are Sunday.  When both the day of the month and
 * the weekday are given (neither begins with "*"), either is enough.
 *
 * Shared by the provisioner, who checks it, and the agent, who goes by it.
 *
 * Pure: no clock but the caller's; the wall clock of the machine's time zone.
 */
#ifndef CORE_BASE_CRON_H
#define CORE_BASE_CRON_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/base/err.h"

struct cron {
    /* Bit n: n is among them. */
    uint64_t minutes, hours, days, months, weekdays;
    bool has_days, has_weekdays; /* given, not "*" */
};

/* ERR_INVALID with a sentence that names the field. */
enum err must_check cron_parse(const char *text, struct cron *ret_cron, struct errctx *ctx);

/* The first instant after `after` at which it is due (seconds since 1970, a whole minute); -1 when
 * there is none within eight years ("0 0 30 2 *").  An hour that a change of the clock leaves out
 * is not made up for; one that comes twice counts twice. */
time_t cron_next(const struct cron *c, time_t after);

#endif
