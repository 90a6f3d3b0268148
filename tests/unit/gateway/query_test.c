/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query_test.c - words of queries by table: what is true, what a workspace's status stands for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/query.h"
#include "gateway/task.h"

static void true_and_false(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int expected; /* -1: neither */
    } rows[] = {
        {"true",  1 },
        {"TRUE",  1 },
        {"True",  1 },
        {"t",     1 },
        {"1",     1 },
        {"false", 0 },
        {"F",     0 },
        {"0",     0 },
        {"",      -1},
        {"tRUE",  -1},
        {"yes",   -1},
        {"2",     -1},
        {"true ", -1},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(query_bool_of(rows[i].word), rows[i].expected);
}

/* Each status that a build can have is found by its name again, and nothing else is. */
static void a_workspace_status_there_and_back(void **state)
{
    (void)state;
    static const char *const transitions[] = {"start", "stop", "delete"};
    static const char *const states[] = {
        "pending", "running", "canceling", "succeeded", "failed", "canceled"};
    static const char *const unknown[] = {
        "", "active", "Running", "running ", "succeeded", "start"};
    const char *job_state, *transition;
    for (size_t t = 0; t < COUNT(transitions); t++)
        for (size_t s = 0; s < COUNT(states); s++) {
            const char *status = workspace_status(transitions[t], states[s]);
            assert_true(workspace_status_parse(status, &job_state, &transition));
            assert_string_equal(job_state, states[s]);
            if (transition != NULL)
                assert_string_equal(transition, transitions[t]);
        }
    for (size_t i = 0; i < COUNT(unknown); i++)
        assert_false(workspace_status_parse(unknown[i], &job_state, &transition));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(true_and_false),
        cmocka_unit_test(a_workspace_status_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
