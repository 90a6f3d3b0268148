/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - the two clocks.
 *
 * Monotonic time runs timers and measures; it starts anywhere.  Wall time is only ever shown to
 * people: no decision hangs on it (leases live on the database's clock).
 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

/* Microseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_us(void);

#define CLOCK_TEXT_SIZE 40
/* RFC 3339 in UTC with as many digits as the microseconds need, e.g. 2026-11-20T16:01:02.5Z. */
void clock_format(int64_t wall_us, char ret_text[static CLOCK_TEXT_SIZE]);

/* RFC 3339 with any offset, of the years 1970 to 9999; further digits than microseconds are
 * dropped.  False: it is none. */
bool clock_parse(const char *text, int64_t *ret_wall_us);

#endif
