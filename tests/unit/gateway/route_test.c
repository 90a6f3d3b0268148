/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_test.c - paths and the handlers they reach.  The handlers are stood in for by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/route.h"

static const struct {
    void (*handler)(struct request *r);
    const char *name;
} names[] = {
#define ROUTE(method, prefixes, pattern, auth, limit, handler) {handler, #handler},
#include "gateway/route.def"
};

static const char *name_of(const struct route *route)
{
    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].handler == route->handler)
            return names[i].name;
    return "?";
}

static const struct {
    enum http_method method;
    const char *path;
    const char *expected; /* handler and parameters, or "404", "405" */
} rows[] = {
    {METHOD_GET,    "/api/v2/tasks",                                   "task_list"                },
    {METHOD_GET,    "/api/experimental/tasks",                         "task_list"                },
    {METHOD_POST,   "/api/v2/tasks/me",                                "task_create me"           },
    {METHOD_GET,    "/api/v2/tasks/me/fix-it",                         "task_get me fix-it"       },
    {METHOD_DELETE, "/api/experimental/tasks/bob/x",                   "task_delete bob x"        },
    {METHOD_PATCH,  "/api/v2/tasks/me/x/input",                        "task_update_input me x"   },
    {METHOD_POST,   "/api/v2/tasks/me/x/pause",                        "task_pause me x"          },
    {METHOD_GET,    "/api/v2/tasks/me/x/logs",                         "task_logs me x"           },
    {METHOD_GET,    "/api/v2/users/first",                             "user_first_get"           },
    {METHOD_GET,    "/api/v2/users/firsty",                            "user_get firsty"          },
    {METHOD_GET,    "/api/v2/organizations/o/templates/t/versions/v",  "version_get_by_name o t v"},
    {METHOD_PATCH,  "/api/v2/workspaceagents/me/app-status",           "agent_app_status"         },
    {METHOD_GET,    "/api/v2/workspaceagents/a/logs",                  "agent_logs a"             },
    {METHOD_GET,    "/api/v2/workspaceagents/a",                       "agent_get a"              },
    {METHOD_PATCH,  "/api/v2/templates/t",                             "template_update t"        },
    {METHOD_PATCH,  "/api/v2/templates/t/versions",                    "template_set_active t"    },
    {METHOD_POST,   "/api/stint/v1/tasks/x/messages",                  "message_create x"         },
    {METHOD_DELETE, "/api/stint/v1/tasks/x/messages/m",                "message_delete x m"       },
    {METHOD_GET,    "/api/stint/v1/tasks/x/agent",                     "task_agent x"             },
    {METHOD_GET,    "/api/stint/v1/tasks/me/x",                        "404"                      },
    {METHOD_GET,    "/api/v2/tasks/x/messages",                        "task_get x messages"      },
    {METHOD_PUT,    "/api/stint/v1/tasks/x/messages",                  "405"                      },
    {METHOD_GET,    "/api/stint/v1",                                   "404"                      },
    {METHOD_GET,    "/livez",                                          "probe_live"               },
    {METHOD_GET,    "/api/v2/livez",                                   "404"                      },
    {METHOD_GET,    "/tasks",                                          "404"                      },
    {METHOD_GET,    "/api/v3/tasks",                                   "404"                      },
    {METHOD_GET,    "/api/v2",                                         "404"                      },
    {METHOD_GET,    "/api/v2/",                                        "404"                      },
    {METHOD_GET,    "/api/v2/tasks/",                                  "404"                      },
    {METHOD_GET,    "/api/v2/tasks/me/x/",                             "404"                      },
    {METHOD_GET,    "/api/v2/tasks//x",                                "404"                      },
    {METHOD_GET,    "/api/v2/tasksx",                                  "404"                      },
    {METHOD_GET,    "/api/v2/tasks/me/x/pause/y",                      "404"                      },
    {METHOD_GET,    "/api/experimental/users/me",                      "404"                      },
    {METHOD_GET,    "/api/experimental/workspaceagents/me/app-status", "404"                      },
    {METHOD_PUT,    "/api/v2/tasks",                                   "405"                      },
    {METHOD_DELETE, "/api/v2/tasks/me/x/pause",                        "405"                      },
    {METHOD_GET,    "",                                                "404"                      },
    {METHOD_GET,    "/",                                               "404"                      },
};

static void show(enum http_method method, const char *path, char *buf, size_t size)
{
    const struct route *route;
    struct route_params params;
    switch (route_find(method, path, &route, &params)) {
    case ROUTE_FOUND:
        snprintf(buf, size, "%s", name_of(route));
        for (size_t i = 0; i < params.n; i++)
            snprintf(buf + strlen(buf), size - strlen(buf), " %.*s", params.v[i].n,
                path + params.v[i].at);
        break;
    case ROUTE_UNKNOWN:
        snprintf(buf, size, "404");
        break;
    case ROUTE_OTHER_METHOD:
        snprintf(buf, size, "405");
        break;
    }
}

static void paths_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[256];
        show(rows[i].method, rows[i].path, got, sizeof(got));
        assert_string_equal(got, rows[i].expected);
    }
}

static void prefixes_by_table(void **state)
{
    (void)state;
    assert_int_equal(route_prefix_of("/api/stint/v1", NULL), PREFIX_STINT);
    assert_int_equal(route_prefix_of("/api/stint/v1/x", NULL), PREFIX_STINT);
    assert_int_equal(route_prefix_of("/api/stint/v10/x", NULL), PREFIX_ROOT);
    assert_int_equal(route_prefix_of("/api/v2/x", NULL), PREFIX_V2);
    assert_int_equal(route_prefix_of("", NULL), PREFIX_ROOT);
}

static void a_very_long_segment_is_no_route(void **state)
{
    (void)state;
    static char path[70000] = "/api/v2/tasks/";
    const struct route *route;
    struct route_params params;
    memset(path + 14, 'x', sizeof(path) - 15);
    assert_int_equal(route_find(METHOD_POST, path, &route, &params), ROUTE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_by_table),
        cmocka_unit_test(prefixes_by_table),
        cmocka_unit_test(a_very_long_segment_is_no_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
