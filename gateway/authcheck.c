/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authcheck.c - POST /authcheck: which of these may I do?  Clients ask so that they show no button
 * that would be refused; what counts is asked again when it is pressed.
 *
 *   {"checks": {"any name": {"object": {"resource_type": "task", "owner_id": "me"},
 *                            "action": "create"}}}      ->      {"any name": true}
 */
#include <string.h>

#include "gateway/json_out.h"
#include "gateway/request.h"

#define CHECKS_MAX 128
#define INVALID    "Validation failed."

static const struct {
    const char *type;
    enum right_object object;
} resources[] = {
    {"api_key",             OBJECT_KEY         },
    {"audit_log",           OBJECT_AUDIT       },
    {"file",                OBJECT_TEMPLATE    },
    {"group",               OBJECT_ORGANIZATION},
    {"organization",        OBJECT_ORGANIZATION},
    {"organization_member", OBJECT_ORGANIZATION},
    {"provisioner_daemon",  OBJECT_ORGANIZATION},
    {"provisioner_jobs",    OBJECT_TASK        },
    {"task",                OBJECT_TASK        },
    {"template",            OBJECT_TEMPLATE    },
    {"user",                OBJECT_USER        },
    {"workspace",           OBJECT_TASK        },
};

/* Making and removing people is not what one does with oneself. */
static enum right_action action_of(enum right_object object, const char *name)
{
    if (strcmp(name, "read") == 0 || strcmp(name, "use") == 0)
        return ACTION_READ;
    bool manages = strcmp(name, "create") == 0 || strcmp(name, "delete") == 0;
    return object == OBJECT_USER && manages ? ACTION_MANAGE : ACTION_UPDATE;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* Whose it is: a person's, or (false) anybody's. */
static bool read_owner(const struct request *r, const json_t *object, struct uuid *ret_owner)
{
    const char *word = text_of(object, "owner_id");
    if (find_is_self(r, word)) {
        *ret_owner = r->who.id;
        return true;
    }
    return word[0] != '\0' && uuid_parse(word, ret_owner);
}

static bool may(const struct request *r, const json_t *check)
{
    const json_t *object = json_object_get(check, "object");
    const char *type = text_of(object, "resource_type");
    struct uuid owner;
    bool has_owner = read_owner(r, object, &owner);
    for (size_t i = 0; i < COUNT(resources); i++)
        if (strcmp(resources[i].type, type) == 0) {
            enum right_action action = action_of(resources[i].object, text_of(check, "action"));
            return rights_may(&r->who, resources[i].object, action, has_owner ? &owner : NULL);
        }
    return rights_may(&r->who, OBJECT_ORGANIZATION, ACTION_UPDATE, NULL);
}

void authcheck(struct request *r)
{
    const char *name;
    json_t *check;
    if (request_json(r) == NULL)
        return;
    json_t *checks = json_object_get(r->json, "checks");
    if (!json_is_object(checks) || json_object_size(checks) > CHECKS_MAX) {
        answer_invalid(r, 400, INVALID, "checks", "must be an object of at most 128 members");
        return;
    }
    json_open(&r->out, '{');
    json_object_foreach(checks, name, check)
    {
        json_text(&r->out, name);
        strbuf_addch(&r->out, ':');
        strbuf_addstr(&r->out, may(r, check) ? "true" : "false");
    }
    json_close(&r->out, '}');
    answer_json(r, 200);
}
