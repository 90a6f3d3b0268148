/* SPDX-License-Identifier: Apache-2.0 */
/* samples.c - quantiles by rank of sorted samples: no buckets, nothing is rounded away. */
#include "tests/bench/samples.h"

#include <stdlib.h>

void samples_add(struct samples *s, int64_t us)
{
    *(int64_t *)vec_push(&s->us) = us;
}

void samples_done(struct samples *s)
{
    vec_done(&s->us);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* In milliseconds; 0 without samples. */
static double quantile(const struct samples *s, double q)
{
    if (s->us.n == 0)
        return 0;
    size_t rank = (size_t)(q * (double)s->us.n);
    return (double)s->us.v[rank < s->us.n ? rank : s->us.n - 1] / 1000;
}

void samples_put(struct samples *s, const char *name, struct strbuf *out)
{
    if (s->us.n > 0)
        qsort(s->us.v, s->us.n, sizeof(s->us.v[0]), by_size);
    strbuf_addf(out,
        "\"%s\":{\"n\":%zu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", name,
        s->us.n, quantile(s, 0.5), quantile(s, 0.9), quantile(s, 0.99), quantile(s, 1));
}
