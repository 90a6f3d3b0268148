/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_dir.h - <data_dir>/agents: one socket per live worker of this host.
 *
 * Beside, in <data_dir>/workers, each worker holds a lock of its own for as long as it lives; that
 * is how others tell a dead worker's socket.  (Connecting to find out would be rude: nng's listener
 * does not bear a peer that hangs up at once.)
 */
#ifndef WORKER_SOCKET_DIR_H
#define WORKER_SOCKET_DIR_H

#include "core/base/cleanup.h"
#include "core/base/err.h"
#include "core/base/uuid.h"

struct socket_dir;

/* Takes the lock; before listening. */
enum err must_check socket_dir_open(const char *data_dir, const struct uuid *worker_id,
    struct socket_dir **ret_dir, struct errctx *ctx);
/* Removes our socket and lock. */
void socket_dir_close(struct socket_dir *d);

/* Where we listen. */
const char *socket_dir_socket(const struct socket_dir *d);
/* Remove the sockets of workers that are dead. */
void socket_dir_sweep(struct socket_dir *d);

#endif
