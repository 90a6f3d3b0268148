/* SPDX-License-Identifier: Apache-2.0 */
/* resource_json.c - rows of one column to objects. */
#include "gateway/resource_json.h"

#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "gateway/json_out.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "";
}

/* The same for the same resource of the same build, and for no other. */
static struct uuid id_of(const struct resource_set *set, const char *address)
{
    struct uuid id;
    crypto_generichash(id.b, sizeof(id.b), (const unsigned char *)address, strlen(address),
        set->owner_id.b, sizeof(set->owner_id.b));
    id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40);
    id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
    return id;
}

static void write_metadata(const json_t *rows, struct strbuf *out)
{
    size_t i;
    json_t *row;
    json_key(out, "metadata");
    json_open(out, '[');
    json_array_foreach(rows, i, row)
    {
        bool is_secret = json_is_true(json_object_get(row, "sensitive"));
        json_open(out, '{');
        json_put_text(out, "key", text_of(row, "key"));
        json_put_text(out, "value", is_secret ? "" : text_of(row, "value"));
        json_put_bool(out, "sensitive", is_secret);
        json_close(out, '}');
    }
    json_close(out, ']');
}

static void write_one(
    const struct resource_set *set, const json_t *row, bool has_agent, struct strbuf *out)
{
    const struct uuid id = has_agent ? set->owner_id : id_of(set, text_of(row, "address"));
    json_open(out, '{');
    json_put_uuid(out, "id", &id);
    json_put_time(out, "created_at", set->created_at);
    json_put_uuid(out, "job_id", &set->job_id);
    json_put_text(out, "workspace_transition", set->transition);
    json_put_text(out, "type", text_of(row, "type"));
    json_put_text(out, "name", text_of(row, "name"));
    json_put_bool(out, "hide", json_is_true(json_object_get(row, "hide")));
    json_put_text(out, "icon", text_of(row, "icon"));
    json_key(out, "agents");
    json_open(out, '[');
    if (has_agent && set->write_agent != NULL)
        set->write_agent(set->arg, out);
    json_close(out, ']');
    write_metadata(json_object_get(row, "metadata"), out);
    json_put_int(out, "daily_cost", json_integer_value(json_object_get(row, "daily_cost")));
    json_close(out, '}');
}

static bool is_shown(const struct resource_set *set, const json_t *row)
{
    return !set->only_kept || !json_is_true(json_object_get(row, "ephemeral"));
}

/* The one that says so; else, where the import did not plan that far, the first that a stop takes
 * away; else the first. */
static size_t place_of_agent(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (json_array_size(json_object_get(row, "agents")) > 0)
            return i;
    }
    json_array_foreach(rows, i, row)
    {
        if (json_is_true(json_object_get(row, "ephemeral")))
            return i;
    }
    return 0;
}

bool resources_write(const struct resource_set *set, struct strbuf *out)
{
    json_t *rows = set->json[0] != '\0' ? json_loads(set->json, 0, NULL) : NULL;
    bool any = json_array_size(rows) > 0;
    size_t with_agent = any ? place_of_agent(rows) : 0, i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (is_shown(set, row))
            write_one(set, row, set->write_agent != NULL && i == with_agent, out);
    }
    json_decref(rows);
    return any;
}
