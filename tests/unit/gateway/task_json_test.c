/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_json_test.c - a task's JSON from its row, and the rules behind what no column says.
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
#include "gateway/json_out.h"
#include "gateway/task.h"

/* An active task whose app works. */
static struct task_row active(void)
{
    struct task_row t = {
        .owner_username = "anna",
        .owner_avatar_url = "",
        .name = "fix-it",
        .display_name = "Fix it",
        .prompt = "fix <it>\n",
        .template_name = "shell",
        .template_display_name = "",
        .template_icon = "",
        .workspace_name = "fix-it",
        .build_number = 2,
        .transition = "start",
        .job_state = "succeeded",
        .agent_lifecycle = "ready",
        .app_health = "disabled",
        .status = "active",
        .state = "working",
        .state_message = "compiling",
        .state_uri = "",
        .state_at = 1800000000500000,
        .agent_connected_at = 1800000000000000,
        .build_created_at = 1799999999000000,
        .created_at = 1799999998000000,
        .workspace_updated_at = 1800000001000000,
    };
    t.id.b[0] = 1, t.workspace_id.b[0] = 2, t.agent_id.b[0] = 3, t.app_id.b[0] = 4;
    return t;
}

static json_t *rendered(const struct task_row *t)
{
    struct strbuf out;
    strbuf_init(&out);
    task_row_write(t, &out);
    json_t *json = json_loadb(out.s, out.len, 0, NULL);
    assert_non_null(json);
    strbuf_done(&out);
    return json;
}

static const char *text(json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void an_active_task_has_every_field(void **state)
{
    (void)state;
    static const char *const keys[] = {"id", "organization_id", "owner_id", "owner_name", "name",
        "display_name", "template_id", "template_version_id", "template_name",
        "template_display_name", "template_icon", "workspace_id", "workspace_name",
        "workspace_status", "workspace_build_number", "workspace_agent_id",
        "workspace_agent_lifecycle", "workspace_agent_health", "workspace_app_id", "initial_prompt",
        "status", "current_state", "created_at", "updated_at"};
    struct task_row t = active();
    json_t *json = rendered(&t);
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_non_null(json_object_get(json, keys[i]));
    assert_int_equal(json_object_size(json), COUNT(keys));
    assert_string_equal(text(json, "id"), "01000000-0000-0000-0000-000000000000");
    assert_string_equal(text(json, "initial_prompt"), "fix <it>\n");
    assert_string_equal(text(json, "workspace_status"), "running");
    assert_string_equal(text(json, "updated_at"), "2027-01-15T08:00:01Z");
    json_t *current = json_object_get(json, "current_state");
    assert_string_equal(text(current, "state"), "working");
    assert_string_equal(text(current, "timestamp"), "2027-01-15T08:00:00.5Z");
    assert_true(
        json_is_true(json_object_get(json_object_get(json, "workspace_agent_health"), "healthy")));
    json_decref(json);
}

static void what_is_absent_is_null_or_left_out(void **state)
{
    (void)state;
    static const char *const nulls[] = {"workspace_agent_id", "workspace_agent_lifecycle",
        "workspace_agent_health", "workspace_app_id", "current_state"};
    struct task_row t = active();
    t.agent_id = t.app_id = (struct uuid){0};
    t.agent_lifecycle = t.app_health = t.state = "";
    t.transition = "stop";
    t.status = "paused";
    json_t *json = rendered(&t);
    for (size_t i = 0; i < COUNT(nulls); i++)
        assert_true(json_is_null(json_object_get(json, nulls[i])));
    assert_null(json_object_get(json, "owner_avatar_url"));
    assert_string_equal(text(json, "workspace_status"), "stopped");
    json_decref(json);
}

static const struct {
    const char *transition, *job, *expected;
} workspaces[] = {
    {"start",  "pending",   "pending"  },
    {"start",  "running",   "starting" },
    {"start",  "succeeded", "running"  },
    {"start",  "failed",    "failed"   },
    {"start",  "canceling", "canceling"},
    {"start",  "canceled",  "canceled" },
    {"stop",   "pending",   "pending"  },
    {"stop",   "running",   "stopping" },
    {"stop",   "succeeded", "stopped"  },
    {"delete", "running",   "deleting" },
    {"delete", "succeeded", "deleted"  },
    {"delete", "failed",    "failed"   },
};

static void workspace_status_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(workspaces); i++)
        assert_string_equal(
            workspace_status(workspaces[i].transition, workspaces[i].job), workspaces[i].expected);
}

static const struct {
    const char *status, *job, *reported, *state; /* NULL: null */
} states[] = {
    {"active",       "succeeded", "working",  "working" },
    {"active",       "succeeded", "idle",     "idle"    },
    {"active",       "succeeded", "complete", "complete"},
    {"active",       "succeeded", "failure",  "failed"  },
    {"active",       "succeeded", "",         NULL      },
    {"pending",      "pending",   "",         NULL      },
    {"paused",       "succeeded", "complete", "complete"},
    {"paused",       "succeeded", "",         NULL      },
    {"error",        "failed",    "",         NULL      },
    {"unknown",      "running",   "",         NULL      },
    {"initializing", "succeeded", "working",  "working" },
};

static void what_was_reported_is_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(states); i++) {
        struct task_row t = active();
        struct task_current_state got;
        t.status = states[i].status, t.job_state = states[i].job, t.state = states[i].reported;
        assert_int_equal(task_current_state(&t, &got), states[i].state != NULL);
        if (states[i].state == NULL)
            continue;
        assert_string_equal(got.state, states[i].state);
        assert_string_equal(got.message, "compiling");
        assert_int_equal(got.at, t.state_at);
    }
}

static const struct {
    const char *job, *lifecycle, *health, *message;
} waits[] = {
    {"running",   "",         "",             "Workspace is starting"              },
    {"pending",   "",         "",             "Workspace is pending"               },
    {"succeeded", "created",  "disabled",     "Agent is connecting"                },
    {"succeeded", "starting", "disabled",     "Agent is starting"                  },
    {"succeeded", "ready",    "initializing", "App is initializing"                },
    {"succeeded", "ready",    "healthy",      "Initializing workspace applications"},
    {"succeeded", "",         "",             "Initializing workspace agent"       },
    {"succeeded", "off",      "",             "Initializing workspace"             },
};

static void an_initializing_task_says_what_it_waits_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(waits); i++) {
        struct task_row t = active();
        struct task_current_state got;
        t.status = "initializing", t.state = "", t.job_state = waits[i].job;
        t.agent_lifecycle = waits[i].lifecycle, t.app_health = waits[i].health;
        assert_true(task_current_state(&t, &got));
        assert_string_equal(got.state, "working");
        assert_string_equal(got.message, waits[i].message);
        assert_string_equal(got.uri, "");
        assert_int_equal(got.at, t.build_created_at);
    }
}

static void health_has_a_reason_when_it_is_bad(void **state)
{
    (void)state;
    assert_null(agent_unhealthy_reason("ready", true));
    assert_null(agent_unhealthy_reason("starting", true));
    assert_null(agent_unhealthy_reason("start_timeout", true));
    assert_string_equal(agent_unhealthy_reason("created", false), "agent has not yet connected");
    assert_string_equal(
        agent_unhealthy_reason("start_error", true), "agent startup script exited with an error");
    assert_string_equal(agent_unhealthy_reason("off", true), "agent is shutting down");
}

static void text_is_escaped_as_go_does(void **state)
{
    (void)state;
    struct strbuf out;
    strbuf_init(&out);
    json_open(&out, '[');
    json_text(&out, "a\"\\\n\r\t\x01<&>\x7f\xc3\xa4\xe2\x80\xa8z\xe2\x80\xa6");
    json_text(&out, "");
    json_int(&out, 0);
    json_int(&out, INT64_MIN);
    json_close(&out, ']');
    assert_string_equal(out.s, "[\"a\\\"\\\\\\n\\r\\t\\u0001\\u003c\\u0026\\u003e\x7f\xc3\xa4\\u202"
                               "8z\xe2\x80\xa6\",\"\",0,"
                               "-9223372036854775808]");
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_active_task_has_every_field),
        cmocka_unit_test(what_is_absent_is_null_or_left_out),
        cmocka_unit_test(workspace_status_by_table),
        cmocka_unit_test(what_was_reported_is_shown),
        cmocka_unit_test(an_initializing_task_says_what_it_waits_for),
        cmocka_unit_test(health_has_a_reason_when_it_is_bad),
        cmocka_unit_test(text_is_escaped_as_go_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
