/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parameter.h - parameters of templates: their limits, and which values they take.  The worker asks
 * when a template is imported, the gateway when a task is created or resumed.
 */
#ifndef CORE_BASE_PARAMETER_H
#define CORE_BASE_PARAMETER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARAMETERS_MAX       64 /* of a template version */
#define PARAMETER_NAME_MAX   64
#define PARAMETER_VALUE_MAX  (8 * 1024)
#define PARAMETERS_BYTES_MAX (64 * 1024) /* names and values of a task together */
#define OPTIONS_MAX          128         /* of a parameter */
#define PRESETS_MAX          32          /* of a template version */

/* Labels of a task. */
#define LABELS_MAX      32
#define LABEL_NAME_MAX  63
#define LABEL_VALUE_MAX 255

/* What a value must fulfil; strings are borrowed, "" where there is none. */
struct parameter_rule {
    const char *type; /* string, number, bool, list(string) */
    const char *regex, *error;
    const char *const *options; /* the values that are allowed */
    size_t n_options;           /* 0: any */
    bool has_min, has_max;      /* of numbers */
    int64_t min, max;
};

struct parameter_why {
    char s[512];
};

/* 1-64 of [a-zA-Z0-9_-]. */
bool parameter_is_name(const char *name);
/* NULL when the value will do, else why not, in Coder's words. */
const char *parameter_refuses(
    const struct parameter_rule *rule, const char *value, struct parameter_why *why);

/* The variable by which scripts and apps know it: CODER_PARAMETER_ and its name in capitals, '-' as
 * '_'. */
#define PARAMETER_VARIABLE_MAX (16 + PARAMETER_NAME_MAX)
void parameter_variable(const char *name, char ret[static PARAMETER_VARIABLE_MAX + 1]);

#endif
