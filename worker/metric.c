/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/metric.h"

struct metric worker_metrics[WORKER_METRIC_COUNT] = {
#define METRIC(type_, name_, field_, help_) \
    [METRIC_##field_] = {.name = #name_, .type = METRIC_##type_, .help = help_},
#include "worker/metric.def"
};
