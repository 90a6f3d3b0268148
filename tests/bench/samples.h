/* SPDX-License-Identifier: Apache-2.0 */
/* samples.h - durations, all of them kept, and what is said of them. */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include <stdint.h>

#include "core/base/strbuf.h"
#include "core/base/vec.h"

struct samples {
    VEC(int64_t) us;
};

void samples_add(struct samples *s, int64_t us);
void samples_done(struct samples *s);
/* Adds  "name":{"n":…,"p50_ms":…,"p90_ms":…,"p99_ms":…,"max_ms":…}  and sorts the samples. */
void samples_put(struct samples *s, const char *name, struct strbuf *out);

#endif
