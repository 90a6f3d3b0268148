/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.h - counters and gauges as rows, in Prometheus' text form.
 *
 *   METRIC(COUNTER, stint_scheduler_commits_total, commits, "Batches committed.")
 *
 * Values are atomics: any thread may count.
 */
#ifndef CORE_BASE_METRIC_H
#define CORE_BASE_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name;
    enum metric_type type;
    const char *help;
    _Atomic int64_t value;
};

static inline void metric_add(struct metric *m, int64_t n)
{
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

static inline void metric_set(struct metric *m, int64_t v)
{
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
}

/* Append `n` metrics as text/plain; version=0.0.4. */
void metric_render(struct strbuf *out, struct metric *metrics, size_t n);

#endif
