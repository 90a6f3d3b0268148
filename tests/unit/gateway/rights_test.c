/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights_test.c - who may do what, said again by hand for every role and object, so that a change
 * of the table is a change of two places.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "gateway/request.h"

/* r read, u update, m manage, - nothing, of each object in its order:
 * task user key template organization audit */
static const struct {
    const char *role, *own, *others;
} expected[] = {
    {"member",                  "rum ru rum r r -",        "- - - r r -"            },
    {"template-admin",          "rum ru rum rum r -",      "- - - rum r -"          },
    {"auditor",                 "rum ru rum r r r",        "r r - r r r"            },
    {"owner",                   "rum rum rum rum rum rum", "rum rum rum rum rum rum"},
    {"nobody-knows-it,auditor", "rum ru rum r r r",        "r r - r r r"            },
    {"",                        "rum ru rum r r -",        "- - - r r -"            },
};

/* The letters of one object: the n-th word. */
static bool says(const char *words, size_t n, char letter)
{
    for (; n > 0; n--)
        words = strchr(words, ' ') + 1;
    const char *found = strchr(words, letter);
    return found != NULL && found < words + strcspn(words, " ");
}

static void check(const struct principal *who, enum right_object object, const struct uuid *owner,
    const char *words)
{
    static const struct {
        char letter;
        enum right_action action;
    } actions[] = {
        {'r', ACTION_READ  },
        {'u', ACTION_UPDATE},
        {'m', ACTION_MANAGE},
    };
    for (size_t i = 0; i < COUNT(actions); i++)
        assert_int_equal(rights_may(who, object, actions[i].action, owner),
            says(words, object, actions[i].letter));
}

static void roles_by_table(void **state)
{
    (void)state;
    struct uuid mine = {.b = {1}}, others = {.b = {2}};
    for (size_t i = 0; i < COUNT(expected); i++) {
        struct principal who = {.id = mine, .roles = rights_roles_parse(expected[i].role)};
        for (enum right_object o = 0; o < OBJECT_COUNT; o++) {
            check(&who, o, &mine, expected[i].own);
            check(&who, o, &others, expected[i].others);
            check(&who, o, NULL, expected[i].others);
        }
    }
}

static void several_roles_add_up(void **state)
{
    (void)state;
    struct principal who = {.roles = rights_roles_parse("auditor,template-admin")};
    assert_true(rights_may(&who, OBJECT_AUDIT, ACTION_READ, NULL));
    assert_true(rights_may(&who, OBJECT_TEMPLATE, ACTION_UPDATE, NULL));
    assert_false(rights_may(&who, OBJECT_TASK, ACTION_UPDATE, NULL));
    assert_false(rights_may(&who, OBJECT_TASK, ACTION_READ | ACTION_UPDATE, NULL));
}

static void role_names(void **state)
{
    (void)state;
    const char *display;
    for (size_t i = 0; rights_role_at(i, &display) != NULL; i++)
        assert_true(rights_role_is_known(rights_role_at(i, &display)));
    assert_true(rights_role_is_known("member"));
    assert_false(rights_role_is_known("user-admin"));
    assert_false(rights_role_is_known(""));
    assert_int_equal(rights_roles_parse("own,er,"), ROLE_MEMBER);
}

static const struct {
    const char *scope;
    enum http_method method;
    const char *path;
    bool ok;
} scoped_calls[] = {
    {"all",                       METHOD_DELETE, "/api/v2/tasks/me/a",             true },
    {"coder:all",                 METHOD_POST,   "/api/v2/users/me/keys",          true },
    {"read",                      METHOD_GET,    "/api/v2/tasks/me/a",             true },
    {"read",                      METHOD_POST,   "/api/v2/tasks/me",               false},
    {"read",                      METHOD_POST,   "/api/v2/users/me/keys",          false},
    {"application_connect",       METHOD_GET,    "/api/experimental/tasks/me/a",   true },
    {"application_connect",       METHOD_POST,   "/api/v2/tasks/me/a/send",        true },
    {"coder:application_connect", METHOD_POST,   "/api/stint/v1/tasks/a/messages", true },
    {"application_connect",       METHOD_DELETE, "/api/v2/tasks/me/a",             false},
    {"application_connect",       METHOD_POST,   "/api/v2/tasks/me",               false},
    {"application_connect",       METHOD_POST,   "/api/v2/tasks/me/a/pause",       false},
    {"application_connect",       METHOD_POST,   "/api/v2/users/me/keys",          false},
    {"application_connect",       METHOD_GET,    "/api/v2/templates",              false},
};

static void scopes_by_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(scoped_calls); i++) {
        enum key_scope scope;
        const struct route *route;
        struct route_params params;
        assert_true(rights_scope_parse(scoped_calls[i].scope, &scope));
        assert_int_equal(
            route_find(scoped_calls[i].method, scoped_calls[i].path, &route, &params), ROUTE_FOUND);
        assert_int_equal(rights_scope_allows(scope, route), scoped_calls[i].ok);
    }
    enum key_scope scope;
    assert_false(rights_scope_parse("", &scope));
    assert_false(rights_scope_parse("everything", &scope));
    assert_string_equal(rights_scope_name(SCOPE_ALL), "all");
    assert_string_equal(rights_scope_name(SCOPE_APPLICATION_CONNECT), "application_connect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_by_table),
        cmocka_unit_test(several_roles_add_up),
        cmocka_unit_test(role_names),
        cmocka_unit_test(scopes_by_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
