/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parameters.h - which value does each parameter of a template version get?
 *
 *   given by the asker  >  the preset's  >  what the task had  >  the default  >  400
 *
 * Two steps, with a question to the database between them that is the caller's:
 *
 *   struct parameters_want w = {.version_id = ..., .preset_id = ..., .given = ..., .n_given = ...};
 *   parameters_read(&w, b);                               adds PARAMETERS_STATEMENTS statements
 *   parameters_resolve(&w, results, &values, &wrong)      results: those of the statements
 *
 * Messages are Coder's: `Unable to validate parameter "x"`.
 */
#ifndef GATEWAY_PARAMETERS_H
#define GATEWAY_PARAMETERS_H

#include <jansson.h>

#include "core/base/parameter.h"
#include "gateway/gateway.h"

#define PARAMETERS_STATEMENTS 4

struct parameter_given {
    const char *name, *value;
};

struct parameters_want {
    struct uuid version_id;
    struct uuid preset_id; /* nil: none */
    struct uuid task_id;   /* nil: a new task; else the one that starts again */
    const struct parameter_given *given;
    size_t n_given;
};

/* Every parameter of the version with its value, ready for the bus; in their own memory. */
struct parameters {
    Stint__V1__NamedText **list;
    size_t n;
};
void parameters_done(struct parameters *p);

struct parameters_wrong {
    char message[160], detail[640];
};

void parameters_read(const struct parameters_want *w, struct db_batch *b);
/* False: a 400 with what is in `wrong`.  Nothing is kept of the results and of what was given. */
bool parameters_resolve(const struct parameters_want *w, const struct db_result *const *results,
    struct parameters *ret, struct parameters_wrong *wrong);

/* What JSON gives: {"name": "value", ...}, numbers and booleans as they are written; or Coder's
 * [{"name": ..., "value": ...}, ...].  NULL and absent: nothing.  The texts live as long as `json`,
 * or, those of numbers, as `ret`; false: not of either shape. */
struct parameters_json {
    struct parameter_given given[PARAMETERS_MAX + 1]; /* one more, so that too many are seen */
    char numbers[PARAMETERS_MAX + 1][32];
    size_t n;
};
bool parameters_from_json(json_t *json, struct parameters_json *ret);

#endif
