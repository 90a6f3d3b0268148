/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_json_test.c - an agent's connection and health by Coder's rules, and its JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/cleanup.h"
#include "gateway/agent.h"

#define SLOW    "agent is taking too long to connect"
#define FAILED  "agent startup script exited with an error"
#define ENDING  "agent is shutting down"
#define STOPPED "agent is not running"
#define LOST    "agent has lost connection"

static const struct {
    struct agent_seen seen;
    const char *connection;
    const char *illness; /* NULL: well */
} rows[] = {
    {{"created", false, false, false, false, 0},          "connecting",   NULL   },
    {{"created", false, false, true, false, 5},           "connecting",   NULL   },
    {{"created", false, false, true, false, 120},         "connecting",   NULL   },
    {{"created", false, false, true, false, 121},         "timeout",      SLOW   },
    {{"starting", true, false, true, false, 500},         "connected",    NULL   },
    {{"ready", true, false, true, false, 500},            "connected",    NULL   },
    {{"start_timeout", true, false, true, false, 500},    "connected",    NULL   },
    {{"start_error", true, false, true, false, 500},      "connected",    FAILED },
    {{"shutting_down", true, false, true, false, 500},    "connected",    ENDING },
    {{"off", true, false, true, false, 500},              "disconnected", STOPPED},
    {{"shutdown_error", true, false, true, false, 500},   "disconnected", LOST   },
    {{"shutdown_timeout", true, false, true, false, 500}, "disconnected", LOST   },
    {{"ready", true, false, true, true, 500},             "disconnected", LOST   },
    {{"ready", true, true, true, false, 500},             "disconnected", LOST   },
    {{"off", true, false, true, true, 500},               "disconnected", STOPPED},
};

static void connection_and_health_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *connection = agent_connection(&rows[i].seen);
        assert_string_equal(connection, rows[i].connection);
        const char *illness = agent_illness(connection, rows[i].seen.lifecycle);
        if (rows[i].illness == NULL)
            assert_null(illness);
        else
            assert_string_equal(illness, rows[i].illness);
    }
}

static void an_agent_has_every_field(void **state)
{
    (void)state;
    static const char *const keys[] = {"id", "parent_id", "created_at", "updated_at",
        "first_connected_at", "status", "lifecycle_state", "name", "resource_id", "architecture",
        "environment_variables", "operating_system", "version", "api_version", "apps",
        "connection_timeout_seconds", "troubleshooting_url", "subsystems", "health", "display_apps",
        "log_sources", "logs_length", "logs_overflowed", "scripts", "startup_script_behavior"};
    const struct agent_row a = {
        .name = "main",
        .created_at = 1800000000000000,
        .connected_at = 1800000001000000,
        .disconnected_at = INT64_MIN,
        .seen = {.lifecycle = "ready", .has_connected = true, .is_started = true}
    };
    struct strbuf out;
    strbuf_init(&out);
    agent_write(&a, &(struct agent_parts){0}, &out);
    json_t *json = json_loadb(out.s, out.len, 0, NULL);
    assert_non_null(json);
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_non_null(json_object_get(json, keys[i]));
    assert_int_equal(json_object_size(json), COUNT(keys));
    assert_string_equal(json_string_value(json_object_get(json, "status")), "connected");
    assert_true(json_is_true(json_object_get(json_object_get(json, "health"), "healthy")));
    json_decref(json);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_and_health_by_table),
        cmocka_unit_test(an_agent_has_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
