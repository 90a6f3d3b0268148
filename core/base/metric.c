/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metric.c - Prometheus' text form.  A name may carry labels, `stint_x_total{code="200"}`: rows
 * that follow each other with the same name before the brace share their HELP and TYPE lines.
 */
#include "core/base/metric.h"

#include <inttypes.h>
#include <string.h>

static size_t family_size(const struct metric *m)
{
    return strcspn(m->name, "{");
}

static bool same_family(const struct metric *a, const struct metric *b)
{
    size_t n = family_size(a);
    return n == family_size(b) && memcmp(a->name, b->name, n) == 0;
}

void metric_render(struct strbuf *out, struct metric *metrics, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct metric *m = &metrics[i];
        int family = (int)family_size(m);
        if (i == 0 || !same_family(m, m - 1))
            strbuf_addf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", family, m->name, m->help, family,
                m->name, m->type == METRIC_COUNTER ? "counter" : "gauge");
        int64_t value = atomic_load_explicit(&m->value, memory_order_relaxed);
        strbuf_addf(out, "%s %" PRId64 "\n", m->name, value);
    }
}
