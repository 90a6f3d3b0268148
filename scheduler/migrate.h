/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate.h - bring the schema forward: sql/migration/NNNN_words.sql, each once, in order.
 *
 * Several may run it at once: an advisory lock lets one through at a time.  A schema newer than
 * this binary knows is refused, so an old binary never writes into tables it does not understand.
 */
#ifndef SCHEDULER_MIGRATE_H
#define SCHEDULER_MIGRATE_H

#include "core/base/err.h"

enum err must_check migrate(const char *database_url, struct errctx *ctx);

/* ERR_SCHEMA with the next step unless the schema is exactly the one this binary knows. */
enum err must_check migrate_check(const char *database_url, struct errctx *ctx);

#endif
