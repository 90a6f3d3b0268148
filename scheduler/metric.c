/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/metric.h"

struct metric scheduler_metrics[SCHEDULER_METRIC_COUNT] = {
#define METRIC(type_, name_, field_, help_) \
    [METRIC_##field_] = {.name = #name_, .type = METRIC_##type_, .help = help_},
#include "scheduler/metric.def"
};
