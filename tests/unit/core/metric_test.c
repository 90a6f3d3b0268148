/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what /metrics says is what Prometheus reads.
 */
#include "tests/unit/core/unit.h"

#include "core/base/metric.h"

static void renders_families(void **state)
{
    (void)state;
    static struct metric metrics[] = {
        {"stint_tasks",                     METRIC_GAUGE,   "Tasks.",   0},
        {"stint_answers_total{code=\"2\"}", METRIC_COUNTER, "Answers.", 0},
        {"stint_answers_total{code=\"5\"}", METRIC_COUNTER, "Answers.", 0},
    };
    metric_set(&metrics[0], -3);
    metric_add(&metrics[1], 40);
    metric_add(&metrics[1], 2);
    struct strbuf b;
    strbuf_init(&b);
    metric_render(&b, metrics, 3);
    assert_string_equal(b.s, "# HELP stint_tasks Tasks.\n"
                             "# TYPE stint_tasks gauge\n"
                             "stint_tasks -3\n"
                             "# HELP stint_answers_total Answers.\n"
                             "# TYPE stint_answers_total counter\n"
                             "stint_answers_total{code=\"2\"} 42\n"
                             "stint_answers_total{code=\"5\"} 0\n");
    strbuf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(renders_families)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
