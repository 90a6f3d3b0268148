/* SPDX-License-Identifier: Apache-2.0 */
/* store_row.h - rows of effects as columns of a statement.  For store.c and its parts. */
#ifndef SCHEDULER_STORE_ROW_H
#define SCHEDULER_STORE_ROW_H

#include "core/db/db.h"

/* One column: COLUMN(b, DB_UUID, uuid, rows, &row->id) fills an array from every row. */
#define COLUMN(b, type, kind, rows, value)              \
    do {                                                \
        struct db_array *a_ = db_array_new(type);       \
        for (size_t i_ = 0; i_ < (rows)->n; i_++) {     \
            __typeof__((rows)->v) row = &(rows)->v[i_]; \
            db_array_##kind(a_, (value));               \
        }                                               \
        db_add_array(b, a_);                            \
    } while (0)

#endif
