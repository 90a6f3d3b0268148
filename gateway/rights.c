/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights.c - the table of rights, folded once into a square of roles and objects, and the scopes of
 * keys.
 */
#include "gateway/rights.h"

#include <string.h>

#include "core/base/cleanup.h"
#include "gateway/request.h"

static const struct right {
    enum role role;
    enum right_object object;
    unsigned own, others; /* enum right_action */
} rights[] = {
#define NOTHING    ACTION_NOTHING
#define READ       ACTION_READ
#define UPDATE     ACTION_UPDATE
#define EVERYTHING ACTION_EVERYTHING
#define RIGHT(role_, object_, own_, others_) \
    {.role = ROLE_##role_, .object = OBJECT_##object_, .own = own_, .others = others_},
#include "gateway/rights.def"
#undef NOTHING
#undef READ
#undef UPDATE
#undef EVERYTHING
};

bool rights_may(const struct principal *who, enum right_object object, unsigned actions,
    const struct uuid *owner)
{
    unsigned roles = who->roles | ROLE_MEMBER, may = ACTION_NOTHING;
    bool is_own = owner != NULL && uuid_eq(owner, &who->id);
    for (size_t i = 0; i < COUNT(rights); i++)
        if (rights[i].object == object && (rights[i].role & roles) != 0)
            may |= rights[i].others | (is_own ? rights[i].own : ACTION_NOTHING);
    return (may & actions) == actions;
}

enum right_action rights_action_of(const struct request *r)
{
    return r->method == METHOD_GET ? ACTION_READ : ACTION_UPDATE;
}

/* ---- roles ---- */

static const struct {
    const char *name, *display_name;
    enum role role;
} roles[] = {
    {"owner",          "Owner",          ROLE_OWNER         },
    {"template-admin", "Template Admin", ROLE_TEMPLATE_ADMIN},
    {"auditor",        "Auditor",        ROLE_AUDITOR       },
    {"member",         "Member",         ROLE_MEMBER        },
};

unsigned rights_roles_parse(const char *names)
{
    unsigned set = ROLE_MEMBER;
    for (size_t n; *names != '\0'; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        for (size_t i = 0; i < COUNT(roles); i++)
            if (strlen(roles[i].name) == n && memcmp(names, roles[i].name, n) == 0)
                set |= roles[i].role;
    }
    return set;
}

bool rights_role_is_known(const char *name)
{
    for (size_t i = 0; i < COUNT(roles); i++)
        if (strcmp(roles[i].name, name) == 0)
            return true;
    return false;
}

const char *rights_role_at(size_t i, const char **ret_display_name)
{
    if (i >= COUNT(roles) || roles[i].role == ROLE_MEMBER)
        return NULL;
    *ret_display_name = roles[i].display_name;
    return roles[i].name;
}

/* ---- scopes ---- */

/* The first name of a scope is the one it is shown by. */
static const struct {
    const char *name;
    enum key_scope scope;
} scopes[] = {
    {"all",                       SCOPE_ALL                },
    {"coder:all",                 SCOPE_ALL                },
    {"application_connect",       SCOPE_APPLICATION_CONNECT},
    {"coder:application_connect", SCOPE_APPLICATION_CONNECT},
    {"read",                      SCOPE_READ               },
};

bool rights_scope_parse(const char *name, enum key_scope *ret_scope)
{
    for (size_t i = 0; i < COUNT(scopes); i++)
        if (strcmp(scopes[i].name, name) == 0) {
            *ret_scope = scopes[i].scope;
            return true;
        }
    return false;
}

const char *rights_scope_name(enum key_scope scope)
{
    for (size_t i = 0; i < COUNT(scopes); i++)
        if (scopes[i].scope == scope)
            return scopes[i].name;
    return "all";
}

/* What talking to the app of a task takes, and to learn which tasks there are. */
static const struct {
    enum http_method method;
    const char *pattern;
} app_routes[] = {
    {METHOD_GET,    "/users/{user}"                   },
    {METHOD_GET,    "/tasks"                          },
    {METHOD_GET,    "/tasks/{user}/{task}"            },
    {METHOD_GET,    "/tasks/{user}/{task}/logs"       },
    {METHOD_POST,   "/tasks/{user}/{task}/send"       },
    {METHOD_GET,    "/tasks/{task}/agent"             },
    {METHOD_GET,    "/tasks/{task}/events"            },
    {METHOD_GET,    "/tasks/{task}/messages"          },
    {METHOD_POST,   "/tasks/{task}/messages"          },
    {METHOD_GET,    "/tasks/{task}/messages/{message}"},
    {METHOD_DELETE, "/tasks/{task}/messages/{message}"},
};

static bool is_app_route(const struct route *route)
{
    for (size_t i = 0; i < COUNT(app_routes); i++)
        if (app_routes[i].method == route->method &&
            strcmp(app_routes[i].pattern, route->pattern) == 0)
            return true;
    return false;
}

bool rights_scope_allows(enum key_scope scope, const struct route *route)
{
    switch (scope) {
    case SCOPE_NOTHING:
        return false;
    case SCOPE_ALL:
        return true;
    case SCOPE_READ:
        return route->method == METHOD_GET;
    case SCOPE_APPLICATION_CONNECT:
        return is_app_route(route);
    }
    return false;
}
