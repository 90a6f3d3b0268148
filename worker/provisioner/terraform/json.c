/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/provisioner/terraform/json.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/strbuf.h"

const char *tf_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

char *tf_copy(const json_t *o, const char *key)
{
    return mem_strdup(tf_text(o, key));
}

bool tf_true(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

const json_t *tf_block(const json_t *o, const char *key)
{
    return json_array_get(json_object_get(o, key), 0);
}

void tf_take(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        json_t *v = json_object_get(from, *keys);
        if (v != NULL && !json_is_null(v))
            json_object_set(to, *keys, v);
    }
}

char *tf_plain_address(const char *address)
{
    char *out = mem_strdup(address), *to = out;
    bool inside = false, quoted = false;
    for (const char *p = address; *p != '\0'; p++) {
        if (inside && *p == '"' && p[-1] != '\\')
            quoted = !quoted;
        else if (!inside && *p == '[')
            inside = true;
        else if (inside && !quoted && *p == ']')
            inside = false;
        else if (!inside)
            *to++ = *p;
    }
    *to = '\0';
    return out;
}

char *tf_instance_address(const json_t *resource, const json_t *instance)
{
    struct strbuf b;
    const char *module = tf_text(resource, "module");
    const json_t *key = json_object_get(instance, "index_key");
    strbuf_init(&b);
    strbuf_addf(&b, "%s%s%s.%s", module, module[0] != '\0' ? "." : "", tf_text(resource, "type"),
        tf_text(resource, "name"));
    if (json_is_integer(key))
        strbuf_addf(&b, "[%lld]", (long long)json_integer_value(key));
    else if (json_is_string(key))
        strbuf_addf(&b, "[\"%s\"]", json_string_value(key));
    return strbuf_detach(&b);
}
