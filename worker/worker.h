/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - the daemon: its parts, what happens at the end of a turn, and how it ends.
 *
 *   poll.c ---jobs---> hands.c ---actions---> provisioner/   (pool threads)
 *     ^                  |    \
 *     | what is in hand  |     +--lines--> progress.c --> Redis stint:logs
 *   slots.c <------------+
 *     |  DONE jobs
 *     +--------------> results.c --> scheduler
 *
 *   agents <--> sessions.c --> Redis stint:reports        Redis stint:watermark --> here
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "core/base/err.h"
#include "core/loop/reload.h"
#include "worker/conf.h"

/* Run until SIGTERM has been answered.  A failure to start is returned with a sentence. */
enum err must_check worker_run(
    const struct worker_conf *conf, struct reload *reload, struct errctx *ctx);

#endif
