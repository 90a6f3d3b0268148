/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_options.h - options of a task as JSON has them: display name, priority, labels, earliest
 * start, time limit, idle timeout.
 */
#ifndef GATEWAY_OWN_OPTIONS_H
#define GATEWAY_OWN_OPTIONS_H

#include <jansson.h>

#include "core/base/text.h"
#include "gateway/own_problem.h"

#define LABELS_MAX        32
#define LABEL_NAME_MAX    63
#define LABEL_VALUE_MAX   255
#define TASK_PRIORITY_MAX 100
#define TASK_MS_MAX       INT64_C(315576000000) /* ten years */

/* What is not in `set` (1u << Stint__V1__TaskOption) was not given. */
struct task_options {
    unsigned set;
    char display_name[TASK_DISPLAY_NAME_MAX + 1];
    int32_t priority;
    int64_t start_after_us, time_limit_ms, ttl_ms; /* 0: none */
    const json_t *labels;                          /* borrowed; an object of texts */
};

bool own_options_has(const struct task_options *o, Stint__V1__TaskOption option);
/* From an object's members; false: the problem says which is not as it must be. */
bool own_options_read(const json_t *json, struct task_options *ret, struct own_problem *p);

/* A member that must be a text, NULL when it is absent or null. */
bool own_read_text(const json_t *json, const char *key, const char **ret, struct own_problem *p);
/* All members are among `known`, which ends with NULL. */
bool own_check_members(const json_t *json, const char *const *known, struct own_problem *p);

/* For messages: pointers into `json` in one allocation, which free() frees; NULL for none. */
Stint__V1__NamedText **own_texts(const json_t *json, size_t *ret_n);

#endif
