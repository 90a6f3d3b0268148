/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_template.h - what a create takes from the template and the version it is made of.
 */
#ifndef GATEWAY_TASK_TEMPLATE_H
#define GATEWAY_TASK_TEMPLATE_H

#include "core/base/text.h"
#include "core/db/db.h"
#include "core/wire/wire.h"

struct task_template {
    struct uuid organization_id, id, file_id;
    char name[TASK_NAME_MAX + 1], provisioner[33], app_slug[65];
    int64_t ttl_ms, activity_bump_ms;
};

/* The first row of template_version_for_task or own_template_find, whose first columns are the
 * same. */
void task_template_read(struct task_template *t, const struct db_result *row);
/* Borrows from `t`. */
void task_template_fill(const struct task_template *t, Stint__V1__TaskCreate *m);

#endif
