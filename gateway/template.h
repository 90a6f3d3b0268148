/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - finding templates, for their own routes and those of their versions. */
#ifndef GATEWAY_TEMPLATE_H
#define GATEWAY_TEMPLATE_H

#include "gateway/request.h"

/* NULL and negative: any. */
struct template_filter {
    struct uuid id;
    const char *name, *name_part;
    int has_ai_task, is_deprecated;
};

#define TEMPLATE_ANY                           \
    {                                          \
        .has_ai_task = -1, .is_deprecated = -1 \
    }

/* Rows of template_list. */
void template_ask(struct request *r, const struct template_filter *f, ask_db_fn done);
/* False: a 403 has been answered. */
bool template_may_write(struct request *r);

#endif
