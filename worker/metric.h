/* SPDX-License-Identifier: Apache-2.0 */
/* metric.h - the worker's metrics; the rows are in metric.def. */
#ifndef WORKER_METRIC_H
#define WORKER_METRIC_H

#include "core/base/metric.h"

enum worker_metric {
#define METRIC(type, name, field, help) METRIC_##field,
#include "worker/metric.def"
    WORKER_METRIC_COUNT
};

extern struct metric worker_metrics[WORKER_METRIC_COUNT];

#define METRIC_ADD(field, n) metric_add(&worker_metrics[METRIC_##field], (int64_t)(n))
#define METRIC_SET(field, v) metric_set(&worker_metrics[METRIC_##field], (int64_t)(v))

#endif
