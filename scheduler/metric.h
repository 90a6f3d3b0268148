/* SPDX-License-Identifier: Apache-2.0 */
/* metric.h - the scheduler's metrics; the rows are in metric.def. */
#ifndef SCHEDULER_METRIC_H
#define SCHEDULER_METRIC_H

#include "core/base/metric.h"

enum scheduler_metric {
#define METRIC(type, name, field, help) METRIC_##field,
#include "scheduler/metric.def"
    SCHEDULER_METRIC_COUNT
};

extern struct metric scheduler_metrics[SCHEDULER_METRIC_COUNT];

#define METRIC_ADD(field, n) metric_add(&scheduler_metrics[METRIC_##field], (int64_t)(n))
#define METRIC_SET(field, v) metric_set(&scheduler_metrics[METRIC_##field], (int64_t)(v))

#endif
