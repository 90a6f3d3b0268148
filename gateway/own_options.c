/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_options.c - reading and checking, a function for each option.
 */
#include "gateway/own_options.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#define WHITE_SPACE " \t\r\n"

bool own_options_has(const struct task_options *o, Stint__V1__TaskOption option)
{
    return (o->set & 1u << option) != 0;
}

bool own_read_text(const json_t *json, const char *key, const char **ret, struct own_problem *p)
{
    const json_t *v = json_object_get(json, key);
    *ret = NULL;
    if (v == NULL || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return own_problem_invalid(p, key, "\"%s\" must be a text.", key);
    *ret = json_string_value(v);
    return true;
}

bool own_check_members(const json_t *json, const char *const *known, struct own_problem *p)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)json, key, v)
    {
        const char *const *k = known;
        while (*k != NULL && strcmp(*k, key) != 0)
            k++;
        if (*k == NULL)
            return own_problem_invalid(p, key, "There is no member \"%.64s\" here.", key);
    }
    return true;
}

/* ---- the options ---- */

static bool read_display_name(const json_t *v, struct task_options *o, struct own_problem *p)
{
    const char *s = json_string_value(v);
    if (s == NULL)
        return own_problem_invalid(p, "display_name", "\"display_name\" must be a text.");
    s += strspn(s, WHITE_SPACE);
    size_t n = strlen(s);
    while (n > 0 && strchr(WHITE_SPACE, s[n - 1]) != NULL)
        n--;
    if (n > TASK_DISPLAY_NAME_MAX)
        return own_problem_invalid(p, "display_name",
            "\"display_name\" has %zu bytes; the limit is %d.", n, TASK_DISPLAY_NAME_MAX);
    memcpy(o->display_name, s, n);
    o->display_name[n] = '\0';
    return true;
}

static bool read_priority(const json_t *v, struct task_options *o, struct own_problem *p)
{
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < -TASK_PRIORITY_MAX || n > TASK_PRIORITY_MAX)
        return own_problem_invalid(
            p, "priority", "\"priority\" must be a whole number from -100 to 100.");
    o->priority = (int32_t)n;
    return true;
}

/* null: none. */
static bool read_start(const json_t *v, struct task_options *o, struct own_problem *p)
{
    if (json_is_null(v))
        return true;
    if (!json_is_string(v) || !clock_parse(json_string_value(v), &o->start_after_us))
        return own_problem_invalid(p, "start_after",
            "\"start_after\" must be a time such as 2026-11-20T16:01:02Z, or null.");
    return true;
}

static bool read_ms(const json_t *v, const char *key, int64_t *ret, struct own_problem *p)
{
    json_int_t n = json_integer_value(v);
    if (!json_is_null(v) && (!json_is_integer(v) || n < 0 || n > TASK_MS_MAX))
        return own_problem_invalid(p, key,
            "\"%s\" must be a whole number of milliseconds up to %lld, or null for none.", key,
            (long long)TASK_MS_MAX);
    *ret = json_is_null(v) ? 0 : n;
    return true;
}

static bool read_time_limit(const json_t *v, struct task_options *o, struct own_problem *p)
{
    return read_ms(v, "time_limit_ms", &o->time_limit_ms, p);
}

static bool read_ttl(const json_t *v, struct task_options *o, struct own_problem *p)
{
    return read_ms(v, "ttl_ms", &o->ttl_ms, p);
}

static bool read_labels(const json_t *v, struct task_options *o, struct own_problem *p)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return own_problem_invalid(p, "labels", "\"labels\" must be an object of texts.");
    if (json_object_size(v) > LABELS_MAX)
        return own_problem_invalid(p, "labels", "At most %d labels are possible.", LABELS_MAX);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        if (key[0] == '\0' || strlen(key) > LABEL_NAME_MAX)
            return own_problem_invalid(
                p, "labels", "A label's name must have 1 to %d bytes.", LABEL_NAME_MAX);
        if (!json_is_string(value) || json_string_length(value) > LABEL_VALUE_MAX)
            return own_problem_invalid(p, "labels",
                "The value of \"%.64s\" must be a text of at most %d bytes.", key, LABEL_VALUE_MAX);
    }
    o->labels = v;
    return true;
}

bool own_options_read(const json_t *json, struct task_options *ret, struct own_problem *p)
{
    static const struct {
        const char *name;
        Stint__V1__TaskOption option;
        bool (*read)(const json_t *v, struct task_options *o, struct own_problem *p);
    } rows[] = {
        {"display_name",  STINT__V1__TASK_OPTION__TASK_OPTION_DISPLAY_NAME, read_display_name},
        {"priority",      STINT__V1__TASK_OPTION__TASK_OPTION_PRIORITY,     read_priority    },
        {"start_after",   STINT__V1__TASK_OPTION__TASK_OPTION_START_AFTER,  read_start       },
        {"time_limit_ms", STINT__V1__TASK_OPTION__TASK_OPTION_TIME_LIMIT,   read_time_limit  },
        {"ttl_ms",        STINT__V1__TASK_OPTION__TASK_OPTION_TTL,          read_ttl         },
        {"labels",        STINT__V1__TASK_OPTION__TASK_OPTION_LABELS,       read_labels      },
    };
    *ret = (struct task_options){0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const json_t *v = json_object_get(json, rows[i].name);
        if (v == NULL)
            continue;
        if (!rows[i].read(v, ret, p))
            return false;
        ret->set |= 1u << rows[i].option;
    }
    return true;
}

Stint__V1__NamedText **own_texts(const json_t *json, size_t *ret_n)
{
    const char *key;
    json_t *value;
    size_t n = json_object_size(json), i = 0;
    *ret_n = n;
    if (n == 0)
        return NULL;
    Stint__V1__NamedText **list = mem_alloc(n * (sizeof(*list) + sizeof(**list)));
    Stint__V1__NamedText *texts = (Stint__V1__NamedText *)(list + n);
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        list[i] = &texts[i];
        stint__v1__named_text__init(list[i]);
        list[i]->name = (char *)(uintptr_t)key;
        list[i++]->value = (char *)(uintptr_t)json_string_value(value);
    }
    return list;
}
