/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - /livez, /readyz and /metrics of a daemon, on nng's HTTP server.
 *
 * Handlers run on nng's threads and read only atomics: `ready` and the metrics.
 */
#ifndef CORE_BUS_ADMIN_H
#define CORE_BUS_ADMIN_H

#include <stdatomic.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/base/metric.h"

struct admin;

/* `address`: "host:port"; port 0 picks a free one, see admin_url().  NULL or "": no server, and
 * *ret_admin is NULL. */
enum err must_check admin_listen(const char *address, const atomic_bool *ready,
    struct metric *metrics, size_t n_metrics, struct admin **ret_admin, struct errctx *ctx);
void admin_free(struct admin *a);
/* "http://127.0.0.1:43211" */
const char *admin_url(const struct admin *a);

#endif
