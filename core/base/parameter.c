/* SPDX-License-Identifier: Apache-2.0 */
/* parameter.c - one check per type, then the rules on numbers, texts and options. */
#include "core/base/parameter.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/pattern.h"
#include "core/base/text.h"

#define SHOWN_MAX 100 /* bytes of a value in a sentence */

bool parameter_is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= PARAMETER_NAME_MAX && name[n] == '\0';
}

void parameter_variable(const char *name, char ret[static PARAMETER_VARIABLE_MAX + 1])
{
    snprintf(ret, PARAMETER_VARIABLE_MAX + 1, "CODER_PARAMETER_%s", name);
    for (char *p = ret + strlen("CODER_PARAMETER_"); *p != '\0'; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

/* ---- one check each; NULL: it will do ---- */

typedef const char *(*check_fn)(
    const struct parameter_rule *r, const char *value, struct parameter_why *why);

static int shown(const char *value)
{
    return (int)text_utf8_prefix(value, strlen(value), SHOWN_MAX);
}

static const char *check_length(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    (void)r;
    if (strlen(value) <= PARAMETER_VALUE_MAX)
        return NULL;
    snprintf(
        why->s, sizeof(why->s), "parameter value is longer than %d bytes", PARAMETER_VALUE_MAX);
    return why->s;
}

static const char *check_options(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    for (size_t i = 0; i < r->n_options; i++)
        if (strcmp(r->options[i], value) == 0)
            return NULL;
    if (r->n_options == 0)
        return NULL;
    size_t n =
        (size_t)snprintf(why->s, sizeof(why->s), "parameter value must match one of options: [");
    for (size_t i = 0; i < r->n_options && n + SHOWN_MAX + 8 < sizeof(why->s); i++)
        n += (size_t)snprintf(why->s + n, sizeof(why->s) - n, "%s%.*s", i > 0 ? " " : "",
            shown(r->options[i]), r->options[i]);
    snprintf(why->s + n, sizeof(why->s) - n, "]");
    return why->s;
}

static const char *check_number(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool is_number = end != value && *end == '\0' && errno == 0 && !isspace((unsigned char)*value);
    if (!is_number)
        snprintf(why->s, sizeof(why->s), "value \"%.*s\" is not a number", shown(value), value);
    else if (r->has_min && n < r->min)
        snprintf(why->s, sizeof(why->s), "value %lld is less than the minimum %lld", n,
            (long long)r->min);
    else if (r->has_max && n > r->max)
        snprintf(why->s, sizeof(why->s), "value %lld is more than the maximum %lld", n,
            (long long)r->max);
    else
        return NULL;
    return why->s;
}

static const char *check_bool(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    (void)r;
    (void)why;
    bool is_bool = strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    return is_bool ? NULL : "boolean value can be either \"true\" or \"false\"";
}

/* After a JSON string: the byte behind its closing quote, NULL when it is none. */
static const char *skip_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    while (*p != '"') {
        if ((unsigned char)*p < 0x20)
            return NULL;
        if (*p == '\\' && strchr("\"\\/bfnrtu", p[1]) != NULL && p[1] != '\0')
            p++;
        else if (*p == '\\')
            return NULL;
        p++;
    }
    return p + 1;
}

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static const char *check_list(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    (void)r;
    const char *p = skip_space(value);
    bool is_list = *p == '[';
    if (is_list)
        p = skip_space(p + 1);
    for (bool first = true; is_list && *p != ']'; first = false) {
        if (!first)
            p = *p == ',' ? skip_space(p + 1) : "";
        p = skip_string(p);
        is_list = p != NULL;
        if (is_list)
            p = skip_space(p);
    }
    if (is_list && *skip_space(p + 1) == '\0')
        return NULL;
    snprintf(why->s, sizeof(why->s), "value \"%.*s\" is not a valid list of strings", shown(value),
        value);
    return why->s;
}

static const char *check_regex(
    const struct parameter_rule *r, const char *value, struct parameter_why *why)
{
    if (r->regex[0] == '\0' || pattern_matches(r->regex, value))
        return NULL;
    snprintf(why->s, sizeof(why->s), "%.*s (value \"%.*s\" does not match \"%.*s\")",
        shown(r->error), r->error, shown(value), value, shown(r->regex), r->regex);
    return why->s;
}

const char *parameter_refuses(
    const struct parameter_rule *rule, const char *value, struct parameter_why *why)
{
    static const struct {
        const char *type; /* NULL: any */
        check_fn check;
    } checks[] = {
        {NULL,           check_length },
        {NULL,           check_options},
        {"number",       check_number },
        {"bool",         check_bool   },
        {"list(string)", check_list   },
        {"string",       check_regex  },
    };
    const char *refusal = NULL;
    for (size_t i = 0; refusal == NULL && i < sizeof(checks) / sizeof(checks[0]); i++)
        if (checks[i].type == NULL || strcmp(checks[i].type, rule->type) == 0)
            refusal = checks[i].check(rule, value, why);
    return refusal;
}
