/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - regular expressions that strangers write, for values that other strangers give.
 *
 * POSIX extended ones as the C library has them, and of the wider dialect what people write without
 * thinking: \d \D \s \S \w \W, inside brackets too, and (?:...).  What would make matching dear or
 * mean something else is refused: back references, other (?...), repeats of repeats (but .*? is
 * .*), what is longer than 256 characters with its repeats written out, more than 512 bytes.  Bytes
 * are matched, not characters; unless anchored, anywhere.
 */
#ifndef CORE_BASE_PATTERN_H
#define CORE_BASE_PATTERN_H

#include <stdbool.h>

#include "core/base/err.h"

#define PATTERN_BYTES_MAX 512
/* A longer value matches nothing: the C library's time grows with the square of it. */
#define PATTERN_VALUE_MAX 512

/* ERR_CONFIG: it is no pattern, and ctx says why. */
enum err must_check pattern_check(const char *text, struct errctx *ctx);
/* False, too, when it is no pattern. */
bool pattern_matches(const char *text, const char *value);

#endif
