/* SPDX-License-Identifier: Apache-2.0 */
/* task_template.c - from the row to the message. */
#include "gateway/task_template.h"

#include <stdio.h>

enum column {
    ORGANIZATION_ID,
    ID,
    NAME,
    PROVISIONER = 5,
    APP_SLUG,
    FILE_ID,
    TTL_MS = 12,
    ACTIVITY_BUMP_MS
};

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

void task_template_read(struct task_template *t, const struct db_result *row)
{
    t->organization_id = db_uuid(row, 0, ORGANIZATION_ID);
    t->id = db_uuid(row, 0, ID);
    t->file_id = db_uuid(row, 0, FILE_ID);
    t->ttl_ms = db_int(row, 0, TTL_MS);
    t->activity_bump_ms = db_int(row, 0, ACTIVITY_BUMP_MS);
    COPY(t->name, db_text(row, 0, NAME));
    COPY(t->provisioner, db_text(row, 0, PROVISIONER));
    COPY(t->app_slug, db_text(row, 0, APP_SLUG));
}

void task_template_fill(const struct task_template *t, Stint__V1__TaskCreate *m)
{
    m->organization_id = wire_uuid(&t->organization_id);
    m->template_id = wire_uuid(&t->id);
    m->template_name = (char *)(uintptr_t)t->name;
    m->file_id = wire_uuid(&t->file_id);
    m->provisioner = (char *)(uintptr_t)t->provisioner;
    m->app_slug = (char *)(uintptr_t)t->app_slug;
    m->ttl_ms = (uint64_t)t->ttl_ms;
    m->activity_bump_ms = (uint64_t)t->activity_bump_ms;
}
