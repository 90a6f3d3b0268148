/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights.h - who may do what: roles × objects × actions (rights.def), and what the scope of a key
 * leaves of it.
 *
 * Every handler asks here.  What somebody may not read does not exist for him: 404.  What he may
 * read and not change is 403 (templates), but a task, user or key of others that he may not change
 * is 404 too, so that a refusal tells nobody more than the table does.
 */
#ifndef GATEWAY_RIGHTS_H
#define GATEWAY_RIGHTS_H

#include <stdbool.h>

#include "core/base/uuid.h"
#include "gateway/route.h"

struct principal;
struct request;

enum role {
    ROLE_MEMBER = 1 << 0, /* everybody */
    ROLE_OWNER = 1 << 1,
    ROLE_TEMPLATE_ADMIN = 1 << 2,
    ROLE_AUDITOR = 1 << 3,
};

enum right_object {
    OBJECT_TASK,
    OBJECT_USER,
    OBJECT_KEY,
    OBJECT_TEMPLATE,
    OBJECT_ORGANIZATION,
    OBJECT_AUDIT,
    OBJECT_COUNT,
};

/* MANAGE: what a user may not do with himself: roles, status, removal. */
enum right_action {
    ACTION_NOTHING = 0,
    ACTION_READ = 1 << 0,
    ACTION_UPDATE = 1 << 1, /* create and delete, too */
    ACTION_MANAGE = 1 << 2,
    ACTION_EVERYTHING = ACTION_READ | ACTION_UPDATE | ACTION_MANAGE,
};

/* What a key may be used for, whoever holds it. */
enum key_scope { SCOPE_NOTHING, SCOPE_ALL, SCOPE_READ, SCOPE_APPLICATION_CONNECT };

/* `owner` NULL: an object of anybody's. */
bool rights_may(const struct principal *who, enum right_object object, unsigned actions,
    const struct uuid *owner);
/* READ for GET, else UPDATE. */
enum right_action rights_action_of(const struct request *r);

/* Role names, comma-separated, as SQL gives them. */
unsigned rights_roles_parse(const char *names);
/* Is there such a role to be given?  "member" is: it adds nothing. */
bool rights_role_is_known(const char *name);
/* The i-th role that can be given, NULL at the end: its name, and as people read it. */
const char *rights_role_at(size_t i, const char **ret_display_name);

/* Coder's names for scopes, old and new; false: there is no such scope. */
bool rights_scope_parse(const char *name, enum key_scope *ret_scope);
const char *rights_scope_name(enum key_scope scope);
/* May a key of this scope call this route at all? */
bool rights_scope_allows(enum key_scope scope, const struct route *route);

#endif
