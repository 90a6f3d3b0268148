/* SPDX-License-Identifier: Apache-2.0 */
/* task_options.c - flags into members of the request: one row per option. */
#include "cli/task_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/conf.h"
#include "core/base/mem.h"

typedef enum err (*read_fn)(struct cli *cli, const char *flag, const char *text, json_t *at);

static enum err read_text(struct cli *cli, const char *key, const char *text, json_t *body)
{
    if (json_object_set_new(body, key, json_string(text)) == 0)
        return ERR_OK;
    return cli_fail(cli, ERR_USAGE, "--%s is not UTF-8 text", key);
}

/* "name=value" into the object of that name. */
static enum err read_pair(struct cli *cli, const char *flag, const char *text, json_t *object)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return cli_fail(cli, ERR_USAGE, "--%s \"%s\" is not NAME=VALUE", flag, text);
    scoped_free char *name = mem_strndup(text, (size_t)(equals - text));
    if (json_object_get(object, name) != NULL)
        return cli_fail(cli, ERR_USAGE, "--%s \"%s\" is given twice", flag, name);
    if (json_object_set_new(object, name, json_string(equals + 1)) == 0)
        return ERR_OK;
    return cli_fail(cli, ERR_USAGE, "--%s \"%s\" is not UTF-8 text", flag, text);
}

static enum err read_priority(struct cli *cli, const char *key, const char *text, json_t *body)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < -100 || n > 100)
        return cli_fail(
            cli, ERR_USAGE, "--priority \"%s\" is no whole number from -100 to 100", text);
    json_object_set_new(body, key, json_integer(n));
    return ERR_OK;
}

static enum err read_duration(struct cli *cli, const char *key, const char *text, json_t *body)
{
    int64_t ms;
    if (conf_parse_duration_ms(text, &ms) != ERR_OK || ms < 0)
        return cli_fail(cli, ERR_USAGE, "\"%s\" is no time like 90s, 30m or 2h", text);
    json_object_set_new(body, key, json_integer(ms));
    return ERR_OK;
}

static enum err read_time(struct cli *cli, const char *key, const char *text, json_t *body)
{
    int64_t us, ms;
    char when[CLOCK_TEXT_SIZE];
    if (conf_parse_duration_ms(text, &ms) == ERR_OK && ms >= 0)
        us = clock_wall_us() + ms * 1000;
    else if (!clock_parse(text, &us))
        return cli_fail(cli, ERR_USAGE,
            "--start-after \"%s\" is neither a time like 2026-11-20T16:00:00Z nor one from now on, "
            "like 2h",
            text);
    clock_format(us, when);
    json_object_set_new(body, key, json_string(when));
    return ERR_OK;
}

static const struct {
    const char *flag, *key;
    read_fn read;
    bool is_map; /* the members of an object, one for each time it is given */
} options[] = {
    {"preset",       "preset",        read_text,     false},
    {"parameter",    "parameters",    read_pair,     true },
    {"label",        "labels",        read_pair,     true },
    {"priority",     "priority",      read_priority, false},
    {"start-after",  "start_after",   read_time,     false},
    {"time-limit",   "time_limit_ms", read_duration, false},
    {"idle-timeout", "ttl_ms",        read_duration, false},
};

bool task_options_given(const struct call *call)
{
    bool any = false;
    for (size_t i = 0; i < COUNT(options); i++)
        any |= call_has(call, options[i].flag);
    return any;
}

static enum err read_map(struct cli *cli, const struct call *call, size_t row, json_t *body)
{
    const char *text;
    enum err e = ERR_OK;
    json_t *object = json_object();
    json_object_set_new(body, options[row].key, object);
    for (size_t i = 0; e == ERR_OK && (text = call_text_at(call, options[row].flag, i)) != NULL;
         i++)
        e = options[row].read(cli, options[row].flag, text, object);
    return e;
}

enum err task_options_read(struct cli *cli, const struct call *call, json_t *body)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < COUNT(options) && e == ERR_OK; i++) {
        const char *text = call_text(call, options[i].flag);
        if (text == NULL)
            continue;
        e = options[i].is_map ? read_map(cli, call, i, body)
                              : options[i].read(cli, options[i].key, text, body);
    }
    return e;
}
